"""Settings of the policy gate."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class PolicySettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    default_allow: bool = Field(
        True,
        description="true or false: the answer while no policy set and no hook is loaded at all. As soon as one is "
        "loaded, only what it permits is allowed. Source: so that a first run does something.",
    )
    met_obligations: frozenset[str] = Field(
        frozenset(),
        description="obligations of your own (`x.<name>`) that whoever acts on decisions here meets; those of "
        "executors.met_obligations count too. An allow that obliges to another one is a deny. Source: ours.",
    )
    opa_url: str | None = Field(
        None,
        description="URL of a rule of an Open Policy Agent, such as http://127.0.0.1:8181/v1/data/maestro/decision; "
        "none = OPA is not asked. It is asked beside all other policies and must allow too. Source: OPA's API.",
    )
    opa_timeout_s: float = Field(
        0.1, gt=0, le=2, description="s for one answer of OPA, in which the layer that asks waits; a later one is a "
        "deny. Source: ours; a sidecar answers in about 1 ms.",
    )  # fmt: skip
    opa_rest_s: float = Field(
        1.0, ge=0, le=60, description="s for which OPA is not asked again after a failure; all that asks is denied at "
        "once. Source: ours, so that many candidates do not wait one after the other.",
    )  # fmt: skip
    opa_remember_s: float = Field(
        0.5, ge=0, le=60, description="s for which the answer to the very same question is used again; 0 = never. "
        "Source: ours, so that a change of OPA's policies counts within a second.",
    )  # fmt: skip

    @field_validator("opa_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc):
            raise ValueError("not a URL that begins with http:// or https://")
        return value
