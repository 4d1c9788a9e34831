"""The rows of `maestro bench discovery`, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from topology.bench.discovery import changes, growth

LISTED = (
    "all on `assets` {s:.1f} s after the start of discover, {merge_s:.1f} s after its first word; {uses}; "
    "load average {load_average:.1f}"
)
TEXTS = {
    "cluster": "{assets:,} services of a cluster: " + LISTED,
    "listing": "{assets:,} assets of one source: " + LISTED,
    "again": "{assets:,} assets listed again, one more: {merge_s:.1f} s; worker {worker_cpu_us:.0f} us CPU an asset, "
    "{worker_mib:.0f} MiB; load average {load_average:.1f}",
    "growth": "{from_assets:,} to {assets:,} assets: {ratio:.2f} times the time an asset; for each more, discover "
    "{discover_cpu_us:.0f} us CPU and {discover_bytes:,.0f} bytes, worker {worker_cpu_us:.0f} us and "
    "{worker_bytes:,.0f} bytes",
}
USES = (
    "discover {discover_cpu_us:.0f} us CPU an asset, {discover_mib:.0f} MiB; worker {worker_cpu_us:.0f} us, "
    "{worker_mib:.0f} MiB"
)


def figures(
    services: int, count: int, per_s: float, assets: Sequence[int], config: Path | None = None
) -> Iterator[dict[str, object]]:
    """`count` changes, 0 = none, in the cluster that `config` names, None = one of its own. Raises SideError."""
    if count:
        yield from changes.figures(services, count, per_s, config)
    found: list[dict[str, object]] = []
    for number in sorted(set(assets) - {0}):
        for row in growth.rows(number):
            found.append(row)
            yield row
    yield from growth.growth(found)


def text(row: Mapping[str, Any]) -> str:
    if row["what"] != "change":
        return TEXTS[row["what"]].format(**row, uses=USES.format(**row) if "discover_mib" in row else "")
    begun = "{changes} changes in a watched cluster of {services:,} services, {per_s:g}/s: "
    if row["p50_ms"] is None:
        return (begun + "too few to say").format(**row)
    return (
        begun + "on `lifecycle-events` after p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms, most {most_ms} ms, "
        "load average {load_average:.1f}"
    ).format(**row)
