"""Whatever the order in which sources get a word in: the same registry. And the registry is what a plain model says."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Asset, DiscoveryEvent, LifecycleEvent, Op, RegisteredAsset
from streams.discovery.engine import DiscoveryLayer
from streams.discovery.merge import canonical, version_hash
from streams.discovery.settings import DiscoverySettings
from streams.kit.layer import Emission, Event
from streams.kit.partition import Partition

SOURCES = ("manual:a", "k8s:p", "k8s:q", "other")
IDS = ("one", "two", "three")
NO_GUARD = DiscoverySettings(mass_delete_share=1.0)

assets = st.builds(
    Asset,
    id=st.sampled_from(IDS),
    name=st.sampled_from(["", "x", "y"]),
    region=st.sampled_from([None, "eu", "us"]),
    labels=st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["1", "2"])),
    compliance=st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple),
)
times = st.integers(0, 20)


def run(events: Iterable[DiscoveryEvent], conf: DiscoverySettings = NO_GUARD) -> list[Emission]:
    layer = DiscoveryLayer(conf)
    partition = Partition(layer, layer.new_view())
    emissions = []
    for line, event in enumerate(events):
        emissions += partition.on_event(Event("discovery-events", event.asset_id or "", event, event.at, f"e:{line}"))
    return emissions


def registry_of(emissions: list[Emission]) -> dict[str, RegisteredAsset]:
    registry: dict[str, RegisteredAsset] = {}
    for e in emissions:
        if isinstance(e.value, RegisteredAsset):
            registry[e.key] = e.value
        elif e.topic == "assets":
            del registry[e.key]
    return registry


def said(source: str, op: Op, at: int, **fields: object) -> DiscoveryEvent:
    return DiscoveryEvent.model_validate({"source": source, "scope": "all", "op": op, "at": at, **fields})


@st.composite
def words_of_a_source(draw: st.DrawFn, source: str) -> list[DiscoveryEvent]:
    """Upserts and deletes in order of time, as one source sends them."""
    words = []
    for at in sorted(draw(st.lists(times, max_size=5))):
        if draw(st.integers(0, 4)) == 0:
            words.append(said(source, Op.DELETE, at, asset_id=draw(st.sampled_from(IDS))))
        else:
            words.append(said(source, Op.UPSERT, at, asset=draw(assets)))
    return words


def visible(registry: dict[str, RegisteredAsset]) -> dict[str, object]:
    out = {}
    for key, r in registry.items():
        own = Asset(**{name: getattr(r, name) for name in Asset.model_fields})
        out[key] = (own, r.provenance, r.version_hash, [x.source for x in r.sources])
    return out


@settings(max_examples=60, deadline=None)
@given(st.tuples(*(words_of_a_source(source) for source in SOURCES)), st.randoms(use_true_random=False))
def test_the_order_between_sources_does_not_change_the_merged_result(streams, rnd):
    in_turn = list(itertools.chain.from_iterable(streams))
    queues = [list(words) for words in streams if words]
    shuffled = []
    while queues:
        queue = rnd.choice(queues)
        shuffled.append(queue.pop(0))
        queues = [q for q in queues if q]
    assert visible(registry_of(run(in_turn))) == visible(registry_of(run(shuffled)))


snapshots = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.lists(assets, max_size=4), st.sampled_from("cfx")), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(snapshots)
def test_the_registry_is_what_complete_snapshots_leave(scans):
    """Model: a source's set is added to by every listing, and cut down to it by a complete one only."""
    events, model = [], {source: set() for source in SOURCES}
    for at, (source, listing, end) in enumerate(scans):
        name = f"s{at}"
        events.append(said(source, Op.SNAPSHOT_BEGIN, at, snapshot_id=name))
        events += [said(source, Op.UPSERT, at, snapshot_id=name, asset=asset) for asset in listing]
        model[source] |= {asset.id for asset in listing}
        if end == "c":
            events.append(said(source, Op.SNAPSHOT_COMPLETE, at, snapshot_id=name))
            model[source] = {asset.id for asset in listing}
        elif end == "f":
            events.append(said(source, Op.SOURCE_FAILED, at))
    emissions = run(events)
    assert set(registry_of(emissions)) == set().union(*model.values())
    check_stories(emissions)


def check_stories(emissions: list[Emission]) -> None:
    """Each asset: registered first, removed last, ids once, and no lifecycle event without a visible difference."""
    ids = [e.value.id for e in emissions if isinstance(e.value, LifecycleEvent)]
    assert len(set(ids)) == len(ids)
    shown: dict[str, tuple[str, str]] = {}
    for before, e in itertools.pairwise([None, *emissions]):
        if not isinstance(e.value, LifecycleEvent) or e.value.change in ("warned", "held"):
            continue
        record = before.value
        assert (before.topic, before.key) == ("assets", e.key)
        if e.value.change == "removed":
            assert record is None
            assert e.key in shown
            del shown[e.key]
            continue
        assert (e.value.change == "registered") == (e.key not in shown)
        now_shown = (record.version_hash, "stale" if record.state == "stale" else "fresh")
        assert shown.get(e.key) != now_shown
        shown[e.key] = now_shown


@given(assets)
def test_canonical_is_stable_and_keeps_the_meaning(asset):
    once = canonical(asset)
    assert canonical(once) == once
    assert set(once.compliance) == set(asset.compliance)
    assert version_hash(once) == version_hash(
        canonical(asset.model_copy(update={"compliance": asset.compliance[::-1]}))
    )


def test_ten_thousand_assets_time_and_growth(capsys):
    """Printed, not asserted by time: what a listing of 10,000 costs the first time, unchanged, and with a failure."""
    fleet = [Asset(id=f"svc-{i:05}", name=f"n{i}", region="eu", labels={"a": "b"}) for i in range(10_000)]
    layer = DiscoveryLayer()
    partition = Partition(layer, layer.new_view())

    def scan(number: int) -> tuple[int, float]:
        name, at = f"s{number}", 60_000 * number
        events = [said("k8s:p", Op.SNAPSHOT_BEGIN, at, snapshot_id=name)]
        events += [said("k8s:p", Op.UPSERT, at, snapshot_id=name, asset=asset) for asset in fleet]
        events.append(said("k8s:p", Op.SNAPSHOT_COMPLETE, at, snapshot_id=name))
        started = time.process_time()
        told = sum(len(partition.on_event(Event("discovery-events", "", e, e.at, "c"))) for e in events)
        return told, time.process_time() - started

    told, sizes, seconds = [], [], []
    for number in range(4):
        emitted, cpu_s = scan(number)
        told.append(emitted)
        seconds.append(f"{cpu_s:.2f}")
        sizes.append(sum(len(layer.encode_row(row)) for row in partition.rows.values()))
    with capsys.disabled():
        print(
            f"\n10,000 assets: CPU s of each listing {', '.join(seconds)}; table {[f'{x / 1e6:.1f} MB' for x in sizes]}"
        )
    assert told == [20_000, 0, 0, 0]
    assert len(partition.rows) <= 10_000 + 1 + 256 * (1 + 8)  # each row of members split once
    assert sizes[-1] < sizes[0] * 1.05
