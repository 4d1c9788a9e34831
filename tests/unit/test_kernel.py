"""Compiled functions are kept on disk, and never used after a source that went into them has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

INNER = "from streams.kit.kernel import kernel\n@kernel\ndef inner(x: int) -> int:\n    return x + {}\n"
OUTER = """
from streams.kit.kernel import kernel
from parts.inner import inner
@kernel
def outer(x: int) -> int:
    return inner(x)
print(outer(40), sum(outer.stats.cache_hits.values()))
"""


def run(folder: Path, **environment: str) -> str:
    command = [sys.executable, "-c", "import parts.outer"]
    path = os.pathsep.join([str(folder), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def package(folder: Path) -> Path:
    parts = folder / "parts"
    parts.mkdir()
    (parts / "inner.py").write_text(INNER.format(1))
    (parts / "outer.py").write_text(OUTER)
    return parts


def test_a_change_of_what_was_inlined_compiles_anew(tmp_path: Path) -> None:
    parts = package(tmp_path)
    assert run(tmp_path) == "41 0"
    assert run(tmp_path) == "41 1"
    (parts / "inner.py").write_text(INNER.format(2))
    assert run(tmp_path) == "42 0"


def test_where_no_file_can_be_kept_it_works_all_the_same(tmp_path: Path) -> None:
    parts = package(tmp_path)
    for blocked in (parts / "__pycache__", tmp_path / "home"):
        blocked.write_text("")  # a file, so that no folder can be made there
    home = str(tmp_path / "home")
    assert run(tmp_path, HOME=home, XDG_CACHE_HOME=home) == "41 0"
