"""Which effects were begun and how they ended: what makes a repeated order harmless when a process dies in between."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from schemas.records import ActionOutcome
from streams.kit.ids import derive


class OutcomeLog(Protocol):
    """`begin` is durable before it returns, so that an effect is never begun unnoticed."""

    def find(self, action_id: str) -> ActionOutcome | None: ...

    def has_begun(self, action_id: str) -> bool:
        """Whether `begin` was called for it in any life of this log."""

    def begin(self, action_id: str) -> bool:
        """False if this action was begun before and has not ended: its effect may or may not have happened."""

    def end(self, outcome: ActionOutcome) -> None: ...


class MemoryOutcomeLog:
    """For tests, and where the caller's own table remembers."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._ended: dict[str, ActionOutcome] = {}

    def find(self, action_id: str) -> ActionOutcome | None:
        return self._ended.get(action_id)

    def has_begun(self, action_id: str) -> bool:
        return action_id in self._begun

    def begin(self, action_id: str) -> bool:
        fresh = action_id not in self._begun
        self._begun.add(action_id)
        return fresh

    def end(self, outcome: ActionOutcome) -> None:
        self._ended[outcome.action_id] = outcome


class FileOutcomeLog:
    """One small file per action in a folder; survives kill -9 of this process. Outcomes are replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, action_id: str, suffix: str) -> Path:
        return self._folder / f"{derive('effect', action_id)}.{suffix}"

    def find(self, action_id: str) -> ActionOutcome | None:
        path = self._path(action_id, "json")
        return ActionOutcome.model_validate_json(path.read_bytes()) if path.exists() else None

    def has_begun(self, action_id: str) -> bool:
        return self._path(action_id, "begun").exists()

    def begin(self, action_id: str) -> bool:
        try:
            handle = os.open(self._path(action_id, "begun"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        _synced(handle, action_id.encode())
        return True

    def end(self, outcome: ActionOutcome) -> None:
        target = self._path(outcome.action_id, "json")
        part = target.with_suffix(".part")
        _synced(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), outcome.model_dump_json().encode())
        part.replace(target)


def _synced(handle: int, data: bytes) -> None:
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
