"""Reads a folder of Cedar files; the only part of this package that touches the disk after import."""

from __future__ import annotations

from pathlib import Path

from streams.policy.cedar import CedarPolicySet, PolicyLoadError
from streams.policy.statements import Fault


def read_directory(path: Path) -> dict[str, str]:
    """Relative name (with /) -> text of each `*.cedar` and `*.cel` below `path`; PolicyLoadError if there is none."""
    if not path.is_dir():
        raise PolicyLoadError(str(path), (Fault(str(path), 0, "-", "no such folder"),))
    found = sorted([*path.rglob("*.cedar"), *path.rglob("*.cel")])
    if not found:
        raise PolicyLoadError(str(path), (Fault(str(path), 0, "-", "no *.cedar file in this folder"),))
    return {file.relative_to(path).as_posix(): _text(file) for file in found}


def load_directory(path: Path, name: str | None = None) -> CedarPolicySet:
    """The policy set of a folder; raises PolicyLoadError with every fault. Its name is the folder's unless given."""
    return CedarPolicySet(read_directory(path), name or path.name)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyLoadError(str(file.parent), (Fault(file.name, 0, "-", f"cannot be read: {error}"),)) from error
