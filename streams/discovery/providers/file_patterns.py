"""Which files a source of files means."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path


class NoFileError(ValueError):
    """A pattern without any file: an empty mount looks like that, and would look like a deletion."""


def matching(patterns: Sequence[str]) -> list[Path]:
    """The files by name, each once; `**` goes into folders. Raises NoFileError."""
    found: set[str] = set()
    for pattern in patterns:
        files = glob.glob(pattern, recursive=True)
        if not files:
            raise NoFileError(f"{pattern}: no such file")
        found.update(files)
    return [Path(name) for name in sorted(found)]
