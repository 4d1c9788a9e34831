"""Many assets of one source: until all are on `assets`, CPU and memory of `maestro discover` and of the worker.

The source is a CSV file with a mapping. It is listed twice: the second time there is one asset more, whose record ends
what the second listing is measured by. Each number of assets has a Kafka and processes of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from topology.bench.discovery.processes import Lab, Used, lab
from topology.bench.watched import load_average
from topology.clock import now_ms

AGAIN_S = 20.0
"""Between two listings."""
MIB = 2**20
COLUMNS = ("name", "kind", "region", "zone", "tenant", "owner", "team", "tier", "serial", "address", "needs")
MAPPING = {
    "csv": {"file": "fleet.csv"},
    "freshness_s": AGAIN_S,
    "asset": {
        "id": "fleet/{name}",
        "kind": {"field": "kind", "values": {"service": "microservice", "host": "infrastructure"}},
        "name": "{name}",
        "region": "{region}",
        "zone": "{zone}",
        "tenant": "{tenant}",
        "owner": "{owner}",
        "labels": {"team": "{team}", "tier": "{tier}"},
        "strong_keys": ["serial:{serial}"],
        "weak_keys": ["address:{address}"],
        "depends_on": [{"each": "needs", "separator": " ", "template": "fleet/{value}"}],
    },
}


def write_fleet(folder: Path, assets: int) -> Path:
    """Gives the mapping's path. Every fourth asset is a host; a service needs one host and the service before it."""
    with (folder / "fleet.new").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        lines.writerows(_row(number) for number in range(assets))
    (folder / "fleet.new").replace(folder / "fleet.csv")
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(MAPPING), encoding="utf-8")
    return path


def _row(number: int) -> tuple[str, ...]:
    host = number % 4 == 0
    region = f"eu-{number % 5}"
    needs = "" if host else f"{_name(number - number % 4)} {_name(number - 1)}"
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:8080"
    return (_name(number), "host" if host else "service", region, f"{region}-a", f"tenant-{number % 50}", "platform",
            f"team-{number % 40}", "gold", f"{number:08x}", address, needs)  # fmt: skip


def _name(number: int) -> str:
    return f"asset-{number:06d}"


def rows(assets: int) -> list[dict[str, object]]:
    """Of the first listing, and of the second. Raises SideError."""
    with lab() as at_work:
        mapping = write_fleet(at_work.folder, assets)
        begun_at = now_ms()
        discover = at_work.discover(["--cmdb", f"bench={mapping}"])
        uses = {"discover": discover, "worker": at_work.worker}
        at_work.until(uses, lambda: bool(at_work.told.spoken), "the source says nothing")
        write_fleet(at_work.folder, assets + 1)
        at_work.until(uses, lambda: len(at_work.told.assets) >= assets, "the first listing")
        merged_at = max(at_work.told.assets.values())
        first = {"what": "listing", **first_listing(at_work, uses, assets, begun_at, merged_at)}
        before = {"worker": at_work.worker.cpu_s()}
        at_work.until(uses, lambda: len(at_work.told.assets) > assets, "the second listing")
        again_at = at_work.told.spoken[assets + 2]
        again_s = (max(at_work.told.assets.values()) - max(again_at, merged_at)) / 1000
        again = {"what": "again", "assets": assets, "merge_s": again_s}
        # The second listing may be handed over before the first is merged: what it cost discover is not told apart.
        again |= used_by({"worker": at_work.worker}, assets, before)
        return [first, {**again, "load_average": load_average()}]


def first_listing(
    at_work: Lab, uses: Mapping[str, Used], assets: int, begun_at: int, merged_at: int
) -> dict[str, object]:
    """Seconds from the start of discover and from its first word until the last asset was merged, and what it took."""
    whole = {"s": (merged_at - begun_at) / 1000, "merge_s": (merged_at - at_work.told.spoken[0]) / 1000}
    return {"assets": assets, **whole, **used_by(uses, assets, {}), "load_average": load_average()}


def used_by(uses: Mapping[str, Used], assets: int, before: Mapping[str, float]) -> dict[str, float]:
    """CPU us an asset since `before`, and MiB resident at most."""
    found: dict[str, float] = {}
    for name, used in uses.items():
        found[f"{name}_cpu_us"] = (used.cpu_s() - before.get(name, 0.0)) / assets * 1e6
        found[f"{name}_mib"] = used.most_bytes / MIB
    return found


def growth(found: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, object]]:
    """From each number of assets to the next: the time of an asset by that of before, and what each more costs."""
    listings = sorted((row for row in found if row["what"] == "listing"), key=lambda row: row["assets"])
    for few, many in pairwise(listings):
        more = many["assets"] - few["assets"]
        per = {f"{n}_bytes": (many[f"{n}_mib"] - few[f"{n}_mib"]) * MIB / more for n in ("discover", "worker")}
        cpu = {
            f"{n}_cpu_us": (many[f"{n}_cpu_us"] * many["assets"] - few[f"{n}_cpu_us"] * few["assets"]) / more
            for n in ("discover", "worker")
        }
        time_ratio = (many["merge_s"] / many["assets"]) / (few["merge_s"] / few["assets"])
        yield {
            "what": "growth",
            "from_assets": few["assets"],
            "assets": many["assets"],
            "ratio": time_ratio,
            **per,
            **cpu,
        }
