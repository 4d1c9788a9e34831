"""The sentences of lifecycle events: what changed, from what to what."""

from __future__ import annotations

from schemas.records import Asset

_SHOWN = 4
"""Fields that are spelt out; the rest are in `changed_fields`."""
_VALUE_LENGTH = 80


def what_changed(old: Asset, new: Asset, fields: tuple[str, ...]) -> str:
    """`version '1' -> '2', labels.tier none -> 'gold' and 3 more`; empty if nothing did."""
    shown = ", ".join(f"{field} {_said(old, field)} -> {_said(new, field)}" for field in fields[:_SHOWN])
    more = len(fields) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def percent(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / max(1, whole):.0f} %)"


def some_of(names: tuple[str, ...], shown: int = 5) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")


def _said(asset: Asset, field: str) -> str:
    name, _, key = field.partition(".")
    value = asset.labels.get(key) if name == "labels" else getattr(asset, name)
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, tuple):
        text = "[" + ", ".join(str(getattr(v, "name", None) or getattr(v, "url", None) or v) for v in value) + "]"
    else:
        text = f"'{value}'" if isinstance(value, str) else f"{value:g}"
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 3] + "..."
