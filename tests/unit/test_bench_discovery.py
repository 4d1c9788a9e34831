"""The sources of `maestro bench discovery` are what their providers read, and its rows say what was measured."""

from __future__ import annotations

import asyncio
from pathlib import Path

from streams.discovery.ports import Change
from streams.discovery.providers.kubernetes import KubernetesProvider
from streams.discovery.providers.mapped import MappedProvider
from streams.remote.kubernetes_access import kubeconfig
from topology.bench.discovery.cluster import cluster
from topology.bench.discovery.growth import MIB, growth, write_fleet
from topology.bench.discovery.run import text


async def test_the_fleet_is_read_whole_and_needs_only_what_is_in_it(tmp_path: Path) -> None:
    assets = await MappedProvider(write_fleet(tmp_path, 300), "bench", {}).list()
    ids = {asset.id for asset in assets}
    assert len(ids) == 300
    assert all(set(asset.depends_on) <= ids for asset in assets)
    assert len({key for asset in assets for key in (*asset.strong_keys, *asset.weak_keys)}) == 600


async def test_the_cluster_is_listed_and_tells_changes_to_who_watches(tmp_path: Path) -> None:
    with cluster(3) as source:
        provider = KubernetesProvider(kubeconfig(source.kubeconfig(tmp_path)), "bench")
        listed = await asyncio.to_thread(list, await provider.list())
        assert [asset.id for asset in listed] == [source.asset_id(f"svc-00000{n}") for n in range(3)]
        watch = provider.watch()
        source.put("svc-000001", 7)
        source.put("new", 1)
        source.delete("svc-000002")
        async with asyncio.timeout(10):
            changed, added, deleted = [await anext(watch) for _ in range(3)]
        await watch.aclose()  # type: ignore[attr-defined]
    assert isinstance(changed, Change)
    assert changed.asset is not None
    assert changed.asset.labels["revision"] == "7"
    assert isinstance(added, Change)
    assert added.asset_id == source.asset_id("new")
    assert deleted == Change(source.asset_id("svc-000002"), None)


def listing(assets: int, merge_s: float, mib: float, cpu_us: float) -> dict[str, object]:
    uses = {f"{n}_{what}": v for n in ("discover", "worker") for what, v in (("mib", mib), ("cpu_us", cpu_us))}
    return {"what": "listing", "assets": assets, "s": merge_s + 2, "merge_s": merge_s, **uses, "load_average": 0.5}


def test_growth_is_the_time_of_an_asset_and_what_each_more_costs() -> None:
    few, many = listing(1_000, 1.0, 100.0, 50.0), listing(10_000, 20.0, 100.0 + 9_000 * 1_024 / MIB, 32.0)
    again = {**few, "what": "again"}
    (row,) = growth([many, few, again])
    assert (row["from_assets"], row["assets"], row["ratio"]) == (1_000, 10_000, 2.0)
    assert row["worker_bytes"] == 1_024.0
    assert row["worker_cpu_us"] == (32.0 * 10_000 - 50.0 * 1_000) / 9_000
    assert text(row) == (
        "1,000 to 10,000 assets: 2.00 times the time an asset; for each more, discover 30 us CPU and 1,024 bytes, "
        "worker 30 us and 1,024 bytes"
    )
    assert list(growth([few, again])) == []


def test_the_rows_say_what_was_measured() -> None:
    told = text(listing(1_000, 1.0, 100.0, 50.0))
    assert told == (
        "1,000 assets of one source: all on `assets` 3.0 s after the start of discover, 1.0 s after its first word; "
        "discover 50 us CPU an asset, 100 MiB; worker 50 us, 100 MiB; load average 0.5"
    )
    assert text({**listing(1_000, 0.4, 100.0, 50.0), "what": "again"}).startswith(
        "1,000 assets listed again, one more: 0.4 s; worker 50 us"
    )
    change = {"what": "change", "services": 1_000, "per_s": 10.0, "changes": 300, "load_average": 1.2}
    assert text({**change, "p50_ms": 8.0, "p99_ms": 15.97, "most_ms": 34}) == (
        "300 changes in a watched cluster of 1,000 services, 10/s: on `lifecycle-events` after p50 8 ms, p99 16 ms, "
        "most 34 ms, load average 1.2"
    )
    assert text({**change, "p50_ms": None}).endswith("10/s: too few to say")
