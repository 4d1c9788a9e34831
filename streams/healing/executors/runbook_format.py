"""Runbooks as files: YAML, checked whole at load, all errors at once. The only place where commands may come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.records import Scalar

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class RunbookError(Exception):
    """Runbooks that can't be used; the message lists all problems with file and step."""


class Http(BaseModel):
    """A request to an endpoint that the asset declares: `endpoint` is its type, `path` is appended to its URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    path: str = ""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    body: dict[str, Scalar] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _path_stays_below(self) -> Http:
        if ".." in self.path or "//" in self.path or "@" in self.path or (self.path and not self.path.startswith("/")):
            raise ValueError("`path` starts with / and has no .., // or @")
        return self


class Command(BaseModel):
    """A program without a shell; `{asset_id}` and `{destination_id}` in an argument are replaced."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    argv: tuple[str, ...] = Field(min_length=1)
    timeout_s: float | None = Field(None, gt=0, le=3600)


class Wait(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(gt=0, le=3600)


class Verify(BaseModel):
    """The health URL of a declared endpoint must answer 2xx within the timeout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    timeout_s: float = Field(30, gt=0, le=3600)


class ApprovalStep(BaseModel):
    """Waits for an approval record of `derive("approval", action id, step name)`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str


class Doing(BaseModel):
    """Exactly one thing to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http: Http | None = None
    command: Command | None = None
    wait: Wait | None = None
    verify: Verify | None = None
    approval: ApprovalStep | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Doing:
        kinds = ("http", "command", "wait", "verify", "approval")
        said = [n for n in kinds if getattr(self, n) is not None]
        if len(said) != 1:
            raise ValueError(f"a step has exactly one of {', '.join(kinds)}; this has {', '.join(said) or 'none'}")
        return self


class StepOf(Doing):
    """A step; `compensate` undoes it if a later one fails."""

    name: str = Field(min_length=1)
    compensate: Doing | None = None


class RunbookFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    steps: tuple[StepOf, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> RunbookFile:
        names = [s.name for s in self.steps]
        if len(set(names)) != len(names):
            raise ValueError("two steps have the same name")
        return self


def load(folders: Iterable[Path]) -> dict[str, RunbookFile]:
    """Every `<name>.yaml` in the folders. Raises RunbookError with everything that is wrong."""
    found: dict[str, RunbookFile] = {}
    problems: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            problems.append(f"{folder} is not a folder")
            continue
        for path in sorted(folder.glob("*.yaml")):
            if not _NAME.fullmatch(path.stem) or path.stem in found:
                problems.append(f"{path}: the name is taken or not of a-z, 0-9 and -")
                continue
            try:
                found[path.stem] = RunbookFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
            except (OSError, yaml.YAMLError, ValidationError) as error:
                problems.append(f"{path}: {error}")
    if problems:
        raise RunbookError("; ".join(problems))
    return found
