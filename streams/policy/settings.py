"""Settings of the policy gate."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PolicySettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    default_allow: bool = Field(
        True,
        description="true or false: the answer while no policy set and no hook is loaded at all. As soon as one is "
        "loaded, only what it permits is allowed. Source: so that a first run does something.",
    )
