"""Providers and the runner: listings and watches become events, failures are told, nobody waits for anybody."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import sys
import threading
import time

import pytest

from schemas.records import Asset, AssetState, DiscoveryEvent, Op
from streams.discovery.ports import Change, DiscoveryProvider, Listing, Relist, Watching
from streams.discovery.providers import host as host_module
from streams.discovery.providers.host import Host, HostProvider, Process, by_executable, process_asset, worth_showing
from streams.discovery.providers.poll import SourceRun, poll_once, retry_after_s, run_all
from streams.discovery.providers.static import StaticFileError, StaticFileProvider, read_assets
from streams.discovery.settings import PollSettings

FAST = PollSettings(timeout_s=0.05, retry_s=0.01)


START_MS = 1_700_000_000_000


class Fake:
    complete, freshness_s, scope = True, 0.02, "all"

    def __init__(self, source, *ids, fails_after=None, hangs=False):
        self.source, self.ids, self.fails_after, self.hangs = source, ids, fails_after, hangs
        self.calls = 0

    async def list(self):
        self.calls += 1
        if self.hangs:
            await asyncio.sleep(60)
        return self._lazily()

    def _lazily(self):
        for i, asset_id in enumerate(self.ids):
            if i == self.fails_after:
                raise ConnectionError("cut off")
            yield Asset(id=asset_id)


class FakeWatch(Fake):
    """Watches: each entry of `rounds` is what one watch sees before it breaks off; after the last it is quiet."""

    freshness_s = 30.0

    def __init__(self, source, *ids, rounds=()):
        super().__init__(source, *ids)
        self.rounds = list(rounds)

    async def watch(self):
        if self.rounds:
            for change in self.rounds.pop(0):
                yield change
            raise ConnectionError("410 gone")
        await asyncio.sleep(60)


def clock():
    times = itertools.count(START_MS)
    return lambda: next(times)


def ops(events):
    return [e.op.value for e in events]


async def gather(providers, until, settings=FAST):
    """Runs the providers until `until(events)`; 5 s at most."""
    events: list[DiscoveryEvent] = []
    done = asyncio.Event()

    async def publish(event):
        events.append(event)
        if until(events):
            done.set()

    task = asyncio.create_task(run_all(providers, publish, clock(), settings))
    try:
        await asyncio.wait_for(done.wait(), 5)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return events


async def test_a_listing_is_a_complete_snapshot():
    events = await poll_once(Fake("k8s:p", "a", "b"), clock(), FAST)
    assert ops(events) == ["snapshot_begin", "upsert", "upsert", "snapshot_complete"]
    assert len({e.snapshot_id for e in events}) == 1
    assert [e.asset_id for e in events] == [None, "a", "b", None]


async def test_a_partial_provider_makes_no_snapshot():
    provider = Fake("cmdb:m", "a")
    provider.complete = False
    assert ops(await poll_once(provider, clock(), FAST)) == ["upsert"]


async def test_d5_half_a_listing_is_used_and_the_failure_told():
    in_time = FAST.model_copy(update={"timeout_s": 5.0})  # Another thread draws it, and two cores may be busy.
    events = await poll_once(Fake("k8s:p", "a", "b", "c", fails_after=1), clock(), in_time)
    assert ops(events) == ["snapshot_begin", "upsert", "source_failed"]
    assert events[-1].reason == "ConnectionError: cut off"


async def test_setting_timeout_s():
    events = await poll_once(Fake("k8s:p", "a", hangs=True), clock(), FAST)
    assert ops(events) == ["snapshot_begin", "source_failed"]
    assert events[-1].reason == "no listing within 0.05 s"


async def test_a_listing_that_blocks_in_its_lazy_part_times_out_too():
    class Blocking(Fake):
        def _lazily(self):
            yield Asset(id="a")
            time.sleep(0.2)

    events = await poll_once(Blocking("k8s:p"), clock(), FAST)
    assert ops(events) == ["snapshot_begin", "upsert", "source_failed"]


async def test_what_is_no_asset_is_a_failure():
    class Wrong(Fake):
        def _lazily(self):
            yield {"id": "a"}

    assert (await poll_once(Wrong("x"), clock(), PollSettings()))[-1].reason == "TypeError: list() gave dict, not Asset"


async def test_d4_others_go_on_while_one_fails_and_one_hangs(story):
    providers = [Fake("bad", "a", fails_after=0), Fake("slow", "b", hangs=True), Fake("good", "c")]
    events = await gather(providers, lambda seen: sum(e.op is Op.SNAPSHOT_COMPLETE for e in seen) >= 3)
    assert {e.source for e in events if e.op is Op.SNAPSHOT_COMPLETE} == {"good"}
    assert "bad" in {e.source for e in events if e.op is Op.SOURCE_FAILED}
    s = story()
    s.upsert("bad", Asset(id="a"), at=-1)
    for event in events:
        s.take(event, (event.at - START_MS) / 1000)
    assert s.registry["a"].state is AssetState.STALE
    assert s.registry["c"].state is AssetState.REGISTERED


@pytest.mark.parametrize(("retry_s", "waits"), [(5, [5, 10, 20, 40, 60, 60]), (50, [50, 60, 60, 60, 60, 60])])
def test_setting_retry_s_doubles_up_to_the_interval(retry_s, waits):
    settings = PollSettings(retry_s=retry_s)
    assert [retry_after_s(n, 60.0, settings) for n in range(1, 7)] == waits
    assert retry_after_s(10_000, 60.0, settings) == 60


async def test_a_watch_passes_changes_on_and_a_gap_lists_anew():
    provider = FakeWatch("k8s:p", "a", rounds=[[Change("b", Asset(id="b")), Change("a", None)]])
    events = await gather([provider], lambda seen: sum(e.op is Op.SNAPSHOT_COMPLETE for e in seen) == 2)
    snapshot = ["snapshot_begin", "upsert", "snapshot_complete"]
    assert ops(events) == [*snapshot, "upsert", "delete", *snapshot]
    assert [e.snapshot_id for e in events[3:5]] == [None, None]
    times = [e.at for e in events]
    assert times == sorted(times)


async def test_a_watch_that_stays_is_listed_anew_after_its_freshness():
    provider = FakeWatch("k8s:p", "a")
    provider.freshness_s = 0.02
    await gather([provider], lambda seen: provider.calls == 3)


class WatchOnly:
    """Has nothing to list. Each entry of `rounds` is one watch; then it breaks off."""

    source, scope, complete, freshness_s = "otel:o", "seen", False, 30.0

    def __init__(self, *rounds):
        self.rounds = list(rounds)

    async def watch(self):
        for change in self.rounds.pop(0) if self.rounds else ():
            yield change
        raise ConnectionError("no topic")


async def test_a_provider_that_only_watches():
    assert not isinstance(WatchOnly(), Listing)
    provider = WatchOnly([Change("a", Asset(id="a"))], [Change("b", Asset(id="b"))])
    events = await gather([provider], lambda seen: sum(e.op is Op.SOURCE_FAILED for e in seen) == 2)
    assert ops(events) == ["upsert", "source_failed", "upsert", "source_failed"]
    assert events[1].reason == "ConnectionError: no topic"


async def test_setting_relist_s_a_watch_that_asks_for_a_listing_gets_it_at_once():
    async def seconds_until_second_listing(relist_s):
        provider = FakeWatch("f:p", "a", rounds=[[Relist("b is gone")]])
        settings = PollSettings(retry_s=60, relist_s=relist_s)
        began = time.monotonic()
        events = await gather([provider], lambda seen: sum(e.op is Op.SNAPSHOT_COMPLETE for e in seen) == 2, settings)
        assert Op.SOURCE_FAILED not in {e.op for e in events}
        return time.monotonic() - began

    assert await seconds_until_second_listing(0.0) < 0.2
    assert await seconds_until_second_listing(0.3) > 0.3


async def test_a_watch_that_breaks_at_once_waits_longer_each_time():
    provider = FakeWatch("k8s:p", "a", rounds=[[]] * 20)
    run = asyncio.create_task(run_all([provider], _nowhere, clock(), PollSettings(retry_s=0.05)))
    await asyncio.sleep(0.4)
    run.cancel()
    assert 2 <= provider.calls <= 4  # at 0, 0.05, 0.15, 0.35 s


class SlowToClose(Fake):
    """A watch that needs a moment to let go of what it holds."""

    held = most_held = 0

    async def watch(self):
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        try:
            await asyncio.sleep(60)
            yield Change("a", Asset(id="a"))
        finally:
            await asyncio.sleep(0.05)
            self.held -= 1


async def test_a_watch_has_let_go_before_the_next_begins_and_before_the_source_ends():
    provider = SlowToClose("otel:o", "a")
    provider.freshness_s = 0.02
    await gather([provider], lambda seen: provider.calls == 3)
    assert (provider.most_held, provider.held) == (1, 0)


async def _nowhere(event):
    pass


async def test_listings_that_hang_for_ever_hold_up_nobody():
    """Each of many providers leaves one thread behind at most, and others still get theirs."""
    gate = threading.Event()

    class Hanging(Fake):
        def _lazily(self):
            yield Asset(id="a")
            gate.wait(20)

    providers = [Hanging(f"bad{i}") for i in range(20)]
    before = threading.active_count()
    try:
        good = Fake("good", "g")
        events = await gather([*providers, good], lambda seen: sum(e.source == "bad7" for e in seen) >= 8)
        assert sum(e.source == "good" and e.op is Op.SNAPSHOT_COMPLETE for e in events) >= 2
        assert threading.active_count() - before <= 21
        assert "StillHangsError" in [e.reason for e in events if e.source == "bad7" and e.reason][-1]
    finally:
        gate.set()


async def test_the_status_of_a_source():
    provider = Fake("k8s:p", "a", "b")
    run = SourceRun(provider, _nowhere, clock(), FAST)
    await run.listing()
    assert (run.status.listings, run.status.assets, run.status.failures, run.status.error) == (1, 2, 0, "")
    assert run.status.listed_at is not None
    provider.fails_after = 1
    await run.listing()
    await run.listing()
    assert (run.status.failures, run.status.failures_in_a_row) == (2, 2)
    assert (run.status.assets, run.status.error) == (2, "ConnectionError: cut off")


class OnlyWatch:
    """Fails twice, then tells one change and is quiet."""

    source, scope, complete, freshness_s, calls = "push:p", "all", False, 30.0, 0

    async def watch(self):
        self.calls += 1
        if self.calls <= 2:
            raise ConnectionError("refused")
        yield Change("a", Asset(id="a"))
        await asyncio.sleep(60)


async def test_the_status_of_a_source_that_only_watches_is_well_again_once_it_tells_something():
    told = asyncio.Event()
    seen = []

    async def publish(event):
        seen.append((event.op, run.status.failures_in_a_row, run.status.error))
        if event.op is Op.UPSERT:
            told.set()

    run = SourceRun(OnlyWatch(), publish, clock(), FAST)
    assert run.status.up is None
    task = asyncio.create_task(run.run())
    await asyncio.wait_for(told.wait(), 5)
    task.cancel()
    failed = (Op.SOURCE_FAILED, "ConnectionError: refused")
    assert [(op, error) for op, _, error in seen] == [failed, failed, (Op.UPSERT, "")]
    assert [in_a_row for _, in_a_row, _ in seen] == [1, 2, 0]
    assert (run.status.failures, run.status.watches_broken, run.status.up) == (2, 2, True)


async def test_a_watch_that_breaks_off_is_counted_though_its_listings_succeed():
    run = SourceRun(FakeWatch("k8s:p", "a", rounds=[[], []]), _nowhere, clock(), FAST)
    task = asyncio.create_task(run.run())
    async with asyncio.timeout(5):
        while run.status.listings < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    assert (run.status.watches_broken, run.status.failures, run.status.up) == (2, 0, True)


async def test_a_transport_that_fails_ends_the_run():
    async def publish(event):
        raise TimeoutError("broker away")

    with pytest.raises(ExceptionGroup) as caught:
        await run_all([FakeWatch("k8s:p", "a")], publish, clock(), FAST)
    assert caught.group_contains(TimeoutError, match="broker away")


def test_the_providers_that_ship_are_providers(tmp_path):
    assert isinstance(HostProvider("h"), DiscoveryProvider)
    assert isinstance(StaticFileProvider(tmp_path / "x.yaml"), DiscoveryProvider)
    assert isinstance(HostProvider("h"), Listing)
    assert isinstance(FakeWatch("x"), Watching)
    assert not isinstance(HostProvider("h"), Watching)


ENTRIES = [{"id": "a", "kind": "queue", "labels": {"x": "1"}}, {"id": "b"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fleet.json", json.dumps(ENTRIES)),
        ("fleet.json", json.dumps({"assets": ENTRIES}, indent="\t")),
        ("fleet.yaml", "assets:\n- {id: a, kind: queue, labels: {x: '1'}}\n- id: b\n"),
        ("fleet.yml", "- {id: a, kind: queue, labels: {x: '1'}}\n- id: b\n"),
    ],
)
async def test_static_files(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    provider = StaticFileProvider(tmp_path / name)
    assert provider.source == "static:fleet"
    assert await provider.list() == [Asset.model_validate(e) for e in ENTRIES]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.json", "{", "cannot be read"),
        ("x.yaml", "a: [", "cannot be read"),
        ("x.yaml", "", "expected a list"),
        ("x.yaml", "assets: 5", "expected a list"),
        ("x.yaml", "- {id: a, version: 1.2}\n- {id: ''}\n- 7", "asset a.version: .*; asset 1.id: .*; asset 2: "),
        ("x.yaml", "- {id: a, regoin: eu}", "asset a.regoin: Extra inputs"),
        ("x.json", '[{"id": "a", "cost_usd_per_hour": NaN}]', "asset a.cost_usd_per_hour"),
    ],
)
async def test_static_files_with_faults_are_a_failure_of_the_source(tmp_path, name, text, why):
    (tmp_path / name).write_text(text)
    with pytest.raises(StaticFileError, match=why):
        read_assets(tmp_path / name)
    events = await poll_once(StaticFileProvider(tmp_path / name), clock(), PollSettings())
    assert ops(events) == ["snapshot_begin", "source_failed"]


def test_a_missing_static_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(StaticFileError, match=r"gone\.yaml: cannot be read"):
        read_assets(tmp_path / "gone.yaml")


HOST = Host("h", "Linux", "6.1", "x86_64", 4, 1_000)


def test_processes_of_one_executable_are_one_asset_without_its_command_line():
    groups = by_executable(
        [
            Process("nginx", frozenset({443, 80}), 0.01),
            Process("nginx", frozenset({80}), 0.02),
            Process("x", frozenset(), 0),
        ]
    )
    asset = process_asset(HOST, groups["nginx"])
    assert groups["nginx"].memory_share == pytest.approx(0.03)
    assert [e.url for e in asset.endpoints] == ["tcp://h:80", "tcp://h:443"]
    assert asset.depends_on == ("host:h",)
    assert asset.labels == {"executable": "nginx"}


def test_processes_do_not_come_and_go_at_the_border():
    def shown(share, before):
        group = {"w": Process("w", frozenset(), share)}
        return worth_showing(group, frozenset(before), enter_share=0.01, leave_share=0.005, most=9) == {"w"}

    assert [shown(0.009, ()), shown(0.01, ()), shown(0.006, ("w",)), shown(0.004, ("w",))] == [False, True, True, False]


def test_at_most_so_many_services_first():
    groups = {n: Process(n, frozenset(p), s) for n, p, s in [("big", (), 0.9), ("svc", (80,), 0.0), ("mid", (), 0.5)]}
    assert worth_showing(groups, frozenset(), 0.01, 0.005, most=2) == {"svc", "big"}
    assert worth_showing(groups, frozenset({"mid"}), 0.01, 0.005, most=2) == {"svc", "mid"}


async def test_this_host_is_listed_for_real_and_tells_no_command_line():
    nap = (sys.executable, "-c", "import time; time.sleep(30)", "--password=hunter2")
    child = await asyncio.create_subprocess_exec(*nap)
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assets = await HostProvider("h").list()
    finally:
        child.kill()
        await child.wait()
    assert assets[0].id == "host:h"
    assert any(e.url == f"tcp://h:{port}" for a in assets for e in a.endpoints)
    assert all(a.depends_on == ("host:h",) for a in assets[1:])
    assert "hunter2" not in " ".join(a.model_dump_json() for a in assets)


def test_without_the_right_to_see_sockets_processes_are_still_found(monkeypatch):
    def denied(_kind):
        raise host_module.psutil.AccessDenied

    monkeypatch.setattr(host_module.psutil, "net_connections", denied)
    found = host_module.read_processes()
    assert found
    assert all(not p.ports for p in found)
