"""What a validation found, in words."""

from __future__ import annotations

from pydantic import ValidationError


def faults(error: ValidationError, most: int = 5, before: str = "") -> str:
    """Where and what, of the first `most`, each with `before` in front; without the values, which may be secret."""
    return "; ".join(f"{before}{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:most])
