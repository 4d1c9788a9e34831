"""What the demo says of a record: one line. What goes off together, or joins one action, is told in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.markup import escape

from schemas.records import (
    Anomaly,
    LifecycleEvent,
    Recommendation,
    Record,
    Remediation,
    RemediationStatus,
    RoutingDecision,
)

COLOURS = {"incident": "yellow", "action": "cyan", "advice": "magenta", "decision": "green", "asset": "blue"}


class Lines:
    """Remembers what was held back and why, which several incidents of an asset say in the same words."""

    def __init__(self) -> None:
        self._held: set[tuple[str, str, str]] = set()

    def of(self, values: Iterable[Record]) -> Iterator[str]:
        """Lines of records that were read together, with rich markup, in their order."""
        alike: dict[tuple[str, str, str], list[Anomaly]] = {}
        rows: list[str | tuple[str, str, str]] = []
        for value in values:
            if isinstance(value, Anomaly):
                key = (value.asset_id, f"{value.state} {value.kind} {value.severity}", _without_metric(value))
                if key not in alike:
                    rows.append(key)
                alike.setdefault(key, []).append(value)
            elif not self._told_already(value) and (told := line(value)):
                rows.append(told)
        for row in rows:
            yield row if isinstance(row, str) else _incidents(*row, alike[row])

    def _told_already(self, value: Record) -> bool:
        if not isinstance(value, Remediation) or value.status is not RemediationStatus.SUPPRESSED:
            return False
        key = (value.asset_id, value.strategy, value.reason)
        known = key in self._held
        self._held.add(key)
        return known


def line(value: Record) -> str:
    """Of one record that is no incident; "" for what is not worth one."""
    match value:
        case Remediation():
            return _told("action", f"{value.asset_id}", f"{value.strategy} {value.status}", value.reason)
        case Recommendation():
            what = f"{value.action} {value.from_units:g} -> {value.to_units:g}"
            return _told("advice", value.asset_id, "withdrawn" if value.withdrawn else what, value.reason)
        case RoutingDecision():
            return _told("decision", value.job_id, f"{value.outcome} {value.target_id or '-'}", value.reason)
        case LifecycleEvent():
            return _told("asset", value.asset_id, value.change, value.reason)
    return ""


def _without_metric(value: Anomaly) -> str:
    return value.reason.removeprefix(f"{value.metric} ")


def _incidents(asset: str, state: str, reason: str, alike: list[Anomaly]) -> str:
    metrics = ", ".join(dict.fromkeys(value.metric for value in alike))
    return _told("incident", f"{asset} {metrics}", state, alike[0].reason if len(alike) == 1 else reason)


def _told(kind: str, about: str, what: str, reason: str) -> str:
    return f"[{COLOURS[kind]}]{kind:8}[/] [bold]{escape(about)}[/] {escape(what)}: {escape(reason)}"
