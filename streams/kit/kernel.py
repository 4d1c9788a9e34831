"""`@kernel`: a function that numba compiles at its first call, and keeps compiled on disk for the next process.

numba's own cache looks only at the file of the function itself, not at the functions that were inlined into it from
others. Here the key has a digest of all sources of the package, so that no stale machine code survives a change. Where
neither the package's folder nor the user's cache can be written, each process compiles anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Strict IEEE arithmetic in the order as written: the same results on every machine and in every batch."""
    compiled: Any = njit(error_model="numpy", fastmath=False)(function)
    with suppress(RuntimeError):  # numba found no place for its files
        compiled._cache = _PackageCache(function)  # type: ignore[no-untyped-call]
    return cast(Function, compiled)


class _PackageCache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        package = Path(self._py_func.__code__.co_filename).parent
        return (*super()._index_key(sig, codegen), _digest(package))  # type: ignore[no-untyped-call]


@cache
def _digest(package: Path) -> str:
    sources = hashlib.sha256()
    for file in [Path(__file__), *sorted(package.glob("*.py"))]:
        sources.update(file.read_bytes())
    return sources.hexdigest()
