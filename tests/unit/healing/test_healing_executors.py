"""Executors against real servers and real processes; the ledger and the runner around them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
import yaml
from pydantic import SecretStr

from schemas.records import Action, Approval, AutonomyMode, Endpoint, ModeRule, Pause, PolicyRecord, Remediation
from streams.healing.executors.clearance import Clearance
from streams.healing.executors.delivery import Delivery, sign
from streams.healing.executors.ledger import ExecutorsLayer, LedgerError, outcome_of
from streams.healing.executors.outcome_log import FileOutcomeLog, MemoryOutcomeLog
from streams.healing.executors.processes import find
from streams.healing.executors.runbook_format import RunbookError, load
from streams.healing.executors.runner import ActionRunner
from streams.healing.executors.settings import ExecutorSettings, ProcessSpec
from streams.healing.executors.shipped import shipped_executors
from streams.healing.ports import Effect, ExecutionError, RefusedError
from streams.kit.ids import derive
from streams.kit.layer import Event
from streams.kit.partition import Partition
from streams.kit.world import World

T0 = 1_700_000_000_000
QUICK = {"http_retry_wait_s": 0.01, "health_poll_s": 0.02, "health_timeout_s": 5, "http_timeout_s": 2}


@dataclass
class Server:
    """A real HTTP server that keeps what it got; `answers` are given first, then 200."""

    answers: list[int] = field(default_factory=list)
    got: list[tuple[str, str, dict[str, str], dict[str, object]]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    well: bool = True
    looks: int = 0
    location: str = ""
    url: str = ""

    def actions(self) -> list[object]:
        return [body.get("action") for method, _, _, body in self.got if method == "POST"]


@pytest.fixture
def server() -> Iterator[Server]:
    kept = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            kept.raw.append(raw)
            headers = {k.lower(): v for k, v in self.headers.items()}
            kept.got.append(("POST", self.path, headers, json.loads(raw or b"{}")))
            self._answer(kept.answers.pop(0) if kept.answers else 200)

        def do_GET(self) -> None:
            kept.looks += 1
            self._answer(200 if kept.well else 503)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            if kept.location:
                self.send_header("location", kept.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    kept.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield kept
    http.shutdown()
    http.server_close()


def order(action: Action, **fields: object) -> Remediation:
    base: dict[str, object] = {
        "id": "remediation-1", "incident_id": "inc-1", "asset_id": action.target_id, "strategy": action.type,
        "status": "executing", "actions": (action,), "fencing_epoch": 1, "action_id": "action-1",
        "cause_id": "anomaly-1", "reason": "critical spike", "at": T0,
    } | fields  # fmt: skip
    return Remediation.model_validate(base)


FAILOVER = Action(type="failover", target_id="a", parameters={"destination_id": "b"})


@pytest.fixture
def world(make_bench, server) -> World:
    known = World()
    control = Endpoint(type="control", url=f"{server.url}/control/a", health_url=f"{server.url}/health")
    for asset in (make_bench.asset("a", endpoints=(control,)), make_bench.asset("b"), make_bench.asset("c")):
        known.assets[asset.id] = asset
    return known


def record(record_id: str, **body: object) -> PolicyRecord:
    return PolicyRecord.model_validate({"id": record_id, "kind": next(iter(body)), "version": "1", "at": T0, **body})


@pytest.fixture
def make_runner(make_bench):
    def make(settings: ExecutorSettings | None = None, policy=None, log=None, **clearance) -> ActionRunner:
        settings = settings or ExecutorSettings(**QUICK)
        clear = Clearance(policy or make_bench.AllowAll(), **clearance)
        return ActionRunner(shipped_executors(settings), clear, lambda: T0 + 5, log or MemoryOutcomeLog())

    return make


# --- control endpoints ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [FAILOVER, Action(type="failback", target_id="a", parameters={"destination_id": "b"}),
     Action(type="rebalance", target_id="a", parameters={"weight.a": 0.1}), Action(type="restart", target_id="a")],
    ids=lambda a: a.type,
)  # fmt: skip
async def test_control_endpoint_is_told(make_runner, world, server, action):
    outcome = await make_runner().run(order(action), world)
    assert outcome.succeeded, outcome.detail
    (_, path, headers, body), *more = server.got
    assert not more
    assert path == "/control/a"
    assert headers["idempotency-key"] == "action-1"
    assert body["action"] == action.type
    assert {"asset_id", "incident_id", "fencing_epoch", "reason", *action.parameters} <= set(body)
    assert outcome.rolled_back == (action.type == "failback")
    assert outcome.at == T0 + 5
    assert outcome.cause_id == "remediation-1"


async def test_failover_without_control_is_the_drain_and_says_so(make_runner, world, server):
    action = Action(type="failover", target_id="c", parameters={"destination_id": "b"})
    outcome = await make_runner().run(order(action), world)
    assert outcome.succeeded
    assert "no control endpoint to tell" in outcome.detail
    assert server.got == []


@pytest.mark.parametrize("unread", ["a", "b"])
async def test_a_failover_of_what_was_not_read_of_yet_is_refused(make_runner, world, server, unread):
    """Whom to tell is not known: that routing gives it no more work would not be all."""
    del world.assets[unread]
    outcome = await make_runner().run(order(FAILOVER), world)
    assert not outcome.succeeded
    assert outcome.detail == f"refused: {unread} is not in the registry as these executors have read it"
    assert server.got == []


async def test_a_failback_of_what_is_gone_has_nobody_to_tell(make_runner, world, server):
    del world.assets["a"]
    back = Action(type="failback", target_id="a", parameters={"destination_id": "b"})
    assert (await make_runner().run(order(back), world)).succeeded
    assert server.got == []


@pytest.mark.parametrize("kind", ["rebalance", "restart"])
async def test_what_needs_control_is_refused_without(make_runner, world, kind):
    outcome = await make_runner().run(order(Action(type=kind, target_id="c")), world)
    assert not outcome.succeeded
    assert outcome.detail.startswith("refused: ")


async def test_a_busy_endpoint_is_tried_again_with_the_same_key(make_runner, world, server):
    server.answers = [503, 429]
    outcome = await make_runner().run(order(FAILOVER), world)
    assert outcome.succeeded
    assert [h["idempotency-key"] for _, _, h, _ in server.got] == ["action-1"] * 3


async def test_an_endpoint_that_stays_away_is_a_failure(make_runner, world, server):
    server.answers = [500] * 9
    outcome = await make_runner().run(order(FAILOVER), world)
    assert not outcome.succeeded
    assert "status 500 (3 attempts)" in outcome.detail
    assert len(server.got) == 3


async def test_a_refusal_of_the_endpoint_is_not_repeated(make_runner, world, server):
    server.answers = [409]
    outcome = await make_runner().run(order(FAILOVER), world)
    assert "answered 409" in outcome.detail
    assert len(server.got) == 1


async def test_nobody_listens(make_runner, world, make_bench):
    dead = Endpoint(type="control", url="http://127.0.0.1:9/x")
    world.assets["a"] = make_bench.asset("a", endpoints=(dead,))
    outcome = await make_runner().run(order(FAILOVER), world)
    assert not outcome.succeeded
    assert "ConnectError" in outcome.detail


# --- safety ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://127.0.0.1/", "http://user:secret@127.0.0.1/", "http://169.254.169.254/latest",
     "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/", "http://0.0.0.0/", "http:///x"],
)  # fmt: skip
async def test_addresses_that_are_never_called(make_runner, world, make_bench, url):
    world.assets["a"] = make_bench.asset("a", endpoints=(Endpoint(type="control", url=url),))
    outcome = await make_runner().run(order(FAILOVER), world)
    assert outcome.detail.startswith("refused: "), outcome.detail


async def test_networks_may_be_blocked_by_setting(make_runner, world, server):
    settings = ExecutorSettings(**QUICK, blocked_networks=("127.0.0.0/8",))
    outcome = await make_runner(settings).run(order(FAILOVER), world)
    assert "in a network that is never called" in outcome.detail
    assert server.got == []


async def test_a_redirect_is_not_followed(make_runner, world, server):
    server.answers, server.location = [307], f"{server.url}/elsewhere"
    outcome = await make_runner().run(order(FAILOVER), world)
    assert not outcome.succeeded
    assert [path for _, path, _, _ in server.got] == ["/control/a"]


# --- webhook --------------------------------------------------------------------------------------------------

PAGE = Action(type="webhook", target_id="a", parameters={"severity": "critical"})


async def test_page_is_signed(make_runner, world, server):
    settings = ExecutorSettings(**QUICK, page_url=f"{server.url}/page", webhook_secret=SecretStr("s3cret"))
    outcome = await make_runner(settings).run(order(PAGE, strategy="page"), world)
    assert outcome.succeeded
    _, path, headers, body = server.got[0]
    assert (path, body["severity"]) == ("/page", "critical")
    assert headers["x-maestro-signature"] == "sha256=" + sign("s3cret", server.raw[0])


async def test_page_goes_to_the_asset_s_own_webhook_else_to_nobody(make_runner, world, server, make_bench):
    outcome = await make_runner().run(order(PAGE, strategy="page"), world)
    assert "nobody was told" in outcome.detail
    world.assets["a"] = make_bench.asset("a", endpoints=(Endpoint(type="webhook", url=f"{server.url}/own"),))
    again = await make_runner().run(order(PAGE, strategy="page"), world)
    assert again.succeeded
    assert "x-maestro-signature" not in server.got[0][2], "no secret, no signature"


# --- restart of a real process --------------------------------------------------------------------------------

CHILD = """
import http.server, signal, sys
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


def free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def child(tmp_path: Path):
    """(spec, port) of a process that healing may restart; whatever runs at the end is ended by its pid file."""
    port, program, pid_file = free_port(), tmp_path / "child.py", tmp_path / "child.pid"
    program.write_text(CHILD)

    def make(manner: str) -> tuple[ProcessSpec, int]:
        return ProcessSpec(argv=(sys.executable, str(program), str(port), manner), pid_file=pid_file), port

    yield make
    if pid_file.exists() and psutil.pid_exists(int(pid_file.read_text())):
        process = psutil.Process(int(pid_file.read_text()))
        process.kill()
        process.wait(5)


def start(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    """Returns when its command line can be read: for a moment after the fork it is empty."""
    process = subprocess.Popen(spec.argv)
    spec.pid_file.write_text(str(process.pid))
    while find(spec) is None and process.poll() is None:
        time.sleep(0.001)
    return process


def processed(make_bench, port: int):
    url = f"http://127.0.0.1:{port}/health"
    return make_bench.asset("a", endpoints=(Endpoint(type="process", url="process:web", health_url=url),))


@pytest.mark.parametrize("manner", ["polite", "stubborn"])
async def test_a_real_process_is_restarted(make_runner, world, make_bench, child, manner):
    spec, port = child(manner)
    old = start(spec)
    world.assets["a"] = processed(make_bench, port)
    settings = ExecutorSettings(**QUICK, processes={"web": spec}, stop_grace_s=0.5)
    while not await Delivery(settings).is_well(f"http://127.0.0.1:{port}/health"):  # noqa: ASYNC110 - a child
        await asyncio.sleep(0.02)
    outcome = await make_runner(settings).run(order(Action(type="restart", target_id="a")), world)
    assert outcome.succeeded, outcome.detail
    assert ("ended on SIGTERM" if manner == "polite" else "ignored SIGTERM for 0.5 s and was killed") in outcome.detail
    assert not psutil.pid_exists(old.pid)
    fresh = int(spec.pid_file.read_text())
    assert fresh != old.pid
    assert psutil.pid_exists(fresh)
    assert f"restarted as pid {fresh}" in outcome.detail
    assert "is well" in outcome.detail


async def test_a_dead_process_is_started(make_runner, world, make_bench, child):
    spec, port = child("polite")
    world.assets["a"] = processed(make_bench, port)
    settings = ExecutorSettings(**QUICK, processes={"web": spec})
    outcome = await make_runner(settings).run(order(Action(type="restart", target_id="a")), world)
    assert outcome.succeeded, outcome.detail
    assert "it was not running" in outcome.detail


@pytest.mark.parametrize("collected", [True, False], ids=["collected", "zombie"])
async def test_a_killed_process_is_started_anew(make_runner, world, make_bench, child, collected):
    """As after kill -9 by somebody else: its pid file names a pid that is gone, or one that nobody has waited for."""
    spec, port = child("polite")
    health = f"http://127.0.0.1:{port}/health"
    world.assets["a"] = processed(make_bench, port)
    settings = ExecutorSettings(**QUICK, processes={"web": spec})
    old = start(spec)
    while not await Delivery(settings).is_well(health):  # noqa: ASYNC110 - a child
        await asyncio.sleep(0.02)
    old.kill()
    if collected:
        old.wait(5)
    while await Delivery(settings).is_well(health):  # noqa: ASYNC110 - a child
        await asyncio.sleep(0.02)
    outcome = await make_runner(settings).run(order(Action(type="restart", target_id="a")), world)
    assert outcome.succeeded, outcome.detail
    fresh = int(spec.pid_file.read_text())
    assert fresh != old.pid
    assert outcome.detail == f"process web was restarted as pid {fresh} (it was not running); {health} is well"
    assert await Delivery(settings).is_well(health)
    old.wait(5)


async def test_a_pid_that_belongs_to_another_program_is_left_alone(make_runner, world, make_bench, child):
    spec, port = child("polite")
    spec.pid_file.write_text(str(os.getpid()))
    world.assets["a"] = processed(make_bench, port)
    settings = ExecutorSettings(**QUICK, processes={"web": spec})
    outcome = await make_runner(settings).run(order(Action(type="restart", target_id="a")), world)
    assert outcome.succeeded, outcome.detail
    assert psutil.pid_exists(os.getpid())


async def test_a_process_that_does_not_get_well_is_a_failure(make_runner, world, make_bench, child):
    spec, _ = child("polite")
    world.assets["a"] = processed(make_bench, free_port())
    settings = ExecutorSettings(**{**QUICK, "health_timeout_s": 0.2}, processes={"web": spec})
    outcome = await make_runner(settings).run(order(Action(type="restart", target_id="a")), world)
    assert not outcome.succeeded
    assert "is not well 0.2 s after the restart" in outcome.detail


async def test_processes_come_from_the_settings_only(make_runner, world, make_bench):
    world.assets["a"] = make_bench.asset("a", endpoints=(Endpoint(type="process", url="process:/bin/sh -c id"),))
    outcome = await make_runner().run(order(Action(type="restart", target_id="a")), world)
    assert outcome.detail.startswith("refused: ")


# --- runbooks -------------------------------------------------------------------------------------------------


def book(folder: Path, *steps: dict[str, object], name: str = "fix") -> ExecutorSettings:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"description": "x", "steps": list(steps)}))
    return ExecutorSettings(**QUICK, runbook_dirs=(folder,))


RUNBOOK = Action(type="runbook", target_id="a", runbook="fix")


def http(action: str) -> dict[str, object]:
    return {"http": {"endpoint": "control", "body": {"action": action}}}


async def test_runbook_does_its_steps_in_order(make_runner, world, server, tmp_path):
    mark = tmp_path / "mark"
    script = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    settings = book(
        tmp_path,
        {"name": "drain", **http("drain")},
        {"name": "wait", "wait": {"seconds": 0.01}},
        {"name": "run", "command": {"argv": [sys.executable, "-c", script, str(mark), "{asset_id}"]}},
        {"name": "look", "verify": {"endpoint": "control", "timeout_s": 1}},
    )
    outcome = await make_runner(settings).run(order(RUNBOOK), world)
    assert outcome.succeeded, outcome.detail
    assert server.actions() == ["drain"]
    assert mark.read_text() == "a"
    assert "4 steps done (drain, wait, run, look)" in outcome.detail


async def test_a_failed_step_is_compensated_in_reverse(make_runner, world, server, tmp_path):
    settings = book(
        tmp_path,
        {"name": "one", **http("do-1"), "compensate": http("undo-1")},
        {"name": "two", **http("do-2"), "compensate": http("undo-2")},
        {"name": "break", "command": {"argv": [sys.executable, "-c", "raise SystemExit(3)"]}},
    )
    outcome = await make_runner(settings).run(order(RUNBOOK), world)
    assert not outcome.succeeded
    assert server.actions() == ["do-1", "do-2", "undo-2", "undo-1"]
    assert "'break' failed" in outcome.detail
    assert "ended with 3" in outcome.detail
    keys = [h["idempotency-key"] for _, _, h, _ in server.got]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("undone", [True, False])
async def test_the_fourth_of_five_steps_fails(make_runner, world, server, tmp_path, undone):
    """Its own undoing and the fifth step are left out; an undoing that fails keeps no other one from being done."""
    numbers = range(1, 6)
    steps = [{"name": f"step-{n}", **http(f"do-{n}"), "compensate": http(f"undo-{n}")} for n in numbers]
    server.answers = [200, 200, 200, 409, *([] if undone else [200, 409])]
    outcome = await make_runner(book(tmp_path, *steps)).run(order(RUNBOOK), world)
    assert server.actions() == ["do-1", "do-2", "do-3", "do-4", "undo-3", "undo-2", "undo-1"]
    assert not outcome.succeeded
    assert "step 'step-4' failed: " in outcome.detail
    assert "'step-3' undone, 'step-2' " in outcome.detail
    assert ("'step-2' could not be undone: " in outcome.detail) is not undone
    assert outcome.detail.endswith("'step-1' undone")
    keys = [headers["idempotency-key"] for _, _, headers, _ in server.got]
    assert len(set(keys)) == len(keys)


async def test_a_fourth_step_that_is_refused_is_no_refusal_of_the_runbook(make_runner, world, server, tmp_path):
    """A refusal would say that nothing was done, and start no cooldown."""
    steps = [{"name": f"step-{n}", **http(f"do-{n}"), "compensate": http(f"undo-{n}")} for n in range(1, 6)]
    steps[3]["http"] = {"endpoint": "not-declared"}
    outcome = await make_runner(book(tmp_path, *steps)).run(order(RUNBOOK), world)
    assert server.actions() == ["do-1", "do-2", "do-3", "undo-3", "undo-2", "undo-1"]
    assert not outcome.detail.startswith("refused: ")
    assert "step 'step-4' failed: a declares no endpoint of type not-declared" in outcome.detail


async def test_a_command_that_hangs_is_killed(make_runner, world, tmp_path):
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    settings = book(tmp_path, {"name": "hang", "command": {"argv": argv, "timeout_s": 0.2}})
    outcome = await make_runner(settings).run(order(RUNBOOK), world)
    assert "did not end in 0.2 s and was killed" in outcome.detail


async def test_a_command_s_default_timeout_is_a_setting(make_runner, world, tmp_path):
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    settings = book(tmp_path, {"name": "hang", "command": {"argv": argv}}).model_copy(update={"command_timeout_s": 0.1})
    outcome = await make_runner(settings).run(order(RUNBOOK), world)
    assert "did not end in 0.1 s" in outcome.detail


async def test_a_step_waits_for_its_approval(make_runner, world, tmp_path):
    settings = book(tmp_path, {"name": "ask", "approval": {"question": "may we?"}})
    running = asyncio.create_task(make_runner(settings).run(order(RUNBOOK), world))
    await asyncio.sleep(0.1)
    assert not running.done()
    needed = derive("approval", "action-1", "ask")
    world.policies["yes"] = record("yes", approval=Approval(action_id=needed, approved=True, by="ada"))
    assert (await running).succeeded
    late = settings.model_copy(update={"approval_wait_s": 0.05})
    world.policies.clear()
    assert "is not approved after 0.05 s" in (await make_runner(late).run(order(RUNBOOK), world)).detail


async def test_an_id_that_looks_like_an_option_is_not_put_into_a_command(make_runner, world, make_bench, tmp_path):
    settings = book(tmp_path, {"name": "run", "command": {"argv": ["true", "{asset_id}"]}})
    world.assets["-rf"] = make_bench.asset("-rf")
    action = Action(type="runbook", target_id="-rf", runbook="fix")
    outcome = await make_runner(settings).run(order(action), world)
    assert outcome.detail.startswith("refused: ")


async def test_only_runbooks_of_the_listed_folders_run(make_runner, world):
    outcome = await make_runner().run(order(Action(type="runbook", target_id="a", runbook="../../etc/x")), world)
    assert outcome.detail.startswith("refused: ")


def test_bad_runbooks_are_all_told_at_once(tmp_path):
    (tmp_path / "both.yaml").write_text(
        yaml.safe_dump({"description": "x", "steps": [{"name": "s", **http("a"), "wait": {"seconds": 1}}]})
    )
    (tmp_path / "BAD NAME.yaml").write_text("x")
    (tmp_path / "yaml.yaml").write_text("a: [")
    (tmp_path / "path.yaml").write_text(
        yaml.safe_dump({"description": "x", "steps": [{"name": "s", "http": {"endpoint": "control", "path": "/../x"}}]})
    )
    (tmp_path / "twice.yaml").write_text(
        yaml.safe_dump({"description": "x", "steps": [{"name": "s", **http("a")}] * 2})
    )
    with pytest.raises(RunbookError) as error:
        load((tmp_path, tmp_path / "missing"))
    for word in ("both.yaml", "BAD NAME", "yaml.yaml", "path.yaml", "twice.yaml", "missing is not a folder"):
        assert word in str(error.value)


def test_the_example_runbooks_are_valid():
    folder = Path(__file__).parents[3] / "docs" / "examples" / "runbooks"
    assert set(load((folder,))) == {"warm-restart", "clear-disk"}


# --- authority, once, fencing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ({"pause": Pause(holder="ada")}, "paused by ada"),
        ({"mode": ModeRule(mode=AutonomyMode.SUGGEST)}, "mode of failover is now suggest"),
        ({"mode": ModeRule(mode=AutonomyMode.APPROVE)}, "no approval that is still valid"),
        ({"approval": Approval(action_id="action-1", approved=False, by="bob")}, "refused by bob"),
    ],
    ids=["pause", "mode", "approval missing", "refused"],
)
async def test_authority_is_looked_at_again_at_execution(make_runner, world, server, rule, word):
    world.policies["r"] = record("r", **rule)
    outcome = await make_runner().run(order(FAILOVER), world)
    assert outcome.detail.startswith("refused: ")
    assert word in outcome.detail
    assert server.got == []


async def test_policy_is_asked_again_at_execution(make_runner, world, server, make_bench):
    deny = make_bench.Deny()
    outcome = await make_runner(policy=deny).run(order(FAILOVER), world)
    assert "change freeze" in outcome.detail
    assert deny.asked[0].point == "action_executed"
    assert deny.asked[0].context["destination_id"] == "b"


async def test_an_expired_approval_no_longer_counts(make_runner, world):
    world.policies["m"] = record("m", mode=ModeRule(mode=AutonomyMode.APPROVE))
    good = Approval(action_id="action-1", approved=True, by="ada", expires_at=T0 + 6)
    world.policies["a"] = record("a", approval=good)
    assert (await make_runner().run(order(FAILOVER), world)).succeeded
    world.policies["a"] = record("a", approval=good.model_copy(update={"expires_at": T0 + 4}))
    assert "no approval" in (await make_runner().run(order(FAILOVER), world)).detail


async def test_a_window_that_began_after_the_plan_refuses_the_effect(make_runner, world, server):
    """The runner's clock is at T0 + 5."""
    world.policies["w"] = record("w", pause=Pause(holder="upgrade", starts_at=T0 + 5, until=T0 + 60_000))
    assert "effects are paused by upgrade" in (await make_runner().run(order(FAILOVER), world)).detail
    assert server.got == []
    world.policies["w"] = record("w", pause=Pause(holder="upgrade", starts_at=T0 + 6, until=T0 + 60_000))
    assert (await make_runner().run(order(FAILOVER, action_id="action-2"), world)).succeeded


async def test_an_obligation_that_nobody_meets_stops_the_effect(make_runner, world, make_bench):
    redact = make_bench.Oblige("redact:email")
    assert "redact:email" in (await make_runner(policy=redact).run(order(FAILOVER), world)).detail
    met = make_runner(policy=redact, met_obligations=frozenset({"redact"}))
    assert (await met.run(order(FAILOVER), world)).succeeded


async def test_one_effect_per_action_id(make_runner, world, server):
    runner = make_runner()
    first = await runner.run(order(FAILOVER), world)
    again = await runner.run(order(FAILOVER), world)
    assert first == again
    assert len(server.got) == 1


async def test_an_older_epoch_is_refused(make_runner, world, server):
    runner = make_runner()
    await runner.run(order(FAILOVER, fencing_epoch=3), world)
    late = await runner.run(order(FAILOVER, fencing_epoch=2, action_id="action-0"), world)
    assert "epoch 2 is older than 3" in late.detail
    assert len(server.got) == 1


async def test_outcomes_survive_the_process(make_runner, world, server, tmp_path):
    first = await make_runner(log=FileOutcomeLog(tmp_path)).run(order(FAILOVER), world)
    again = await make_runner(log=FileOutcomeLog(tmp_path)).run(order(FAILOVER), world)
    assert first == again
    assert len(server.got) == 1


async def test_an_interrupted_restart_is_not_run_twice_a_control_call_is(make_runner, world, server, tmp_path):
    log = FileOutcomeLog(tmp_path)
    assert log.begin("action-1")
    restart = await make_runner(log=log).run(order(Action(type="restart", target_id="a")), world)
    assert not restart.succeeded
    assert "interrupted" in restart.detail
    assert server.got == []
    assert log.begin("action-2")
    failover = await make_runner(log=log).run(order(FAILOVER, action_id="action-2"), world)
    assert failover.succeeded


async def test_an_executor_that_throws_is_an_outcome(make_runner, world):
    class Broken:
        action_type, repeatable = "failover", True

        async def execute(self, order) -> Effect:
            raise ZeroDivisionError("oops")

    runner = make_runner()
    runner.executors = {"failover": Broken()}
    outcome = await runner.run(order(FAILOVER), world)
    assert "ZeroDivisionError: oops" in outcome.detail
    unknown = await runner.run(order(Action(type="teleport", target_id="a"), action_id="x"), world)
    assert unknown.detail == "refused: no executor for teleport"


# --- ledger ---------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(make_bench, world):
    layer = ExecutorsLayer(Clearance(make_bench.AllowAll()), ExecutorSettings(retention_s=60))
    return Partition(layer, world)


def send(ledger: Partition, sent: Remediation, at: int = T0):
    return [e.value for e in ledger.on_event(Event("remediations", sent.asset_id, sent, at, sent.id))]


DRAIN = Action(type="failover", target_id="c", parameters={"destination_id": "b"})


def test_a_drain_has_its_outcome_at_once_and_a_repeat_has_the_same(ledger):
    (first,) = send(ledger, order(DRAIN))
    assert first.succeeded
    assert send(ledger, order(DRAIN)) == [first]
    assert list(ledger.layer.pending(ledger.rows)) == []


@pytest.mark.parametrize("unread", ["b", "c"])
def test_a_drain_of_what_was_not_read_of_yet_is_no_drain_only(ledger, world, unread):
    """The registry may come later than the order; what it declares is not known to be nothing."""
    del world.assets[unread]
    assert send(ledger, order(DRAIN)) == []
    assert list(ledger.layer.pending(ledger.rows)) == [order(DRAIN)]


def test_an_effect_is_pending_until_it_is_complete(ledger):
    sent = order(FAILOVER)
    assert send(ledger, sent) == []
    assert send(ledger, sent) == []
    assert list(ledger.layer.pending(ledger.rows)) == [sent]
    done = outcome_of(sent, T0 + 9, succeeded=True, detail="done")
    step = ledger.layer.complete(ledger.rows, done, T0 + 9)
    assert [e.value for e in step.emissions] == [done]
    after = {**ledger.rows, **step.rows}
    assert list(ledger.layer.pending(after)) == []
    assert ledger.layer.complete(after, done, T0 + 10).emissions == ()


def test_ledger_refuses_an_older_epoch_and_what_is_not_allowed(ledger, world):
    send(ledger, order(DRAIN, fencing_epoch=5))
    (late,) = send(ledger, order(DRAIN, fencing_epoch=4, action_id="late"))
    assert late.detail == "refused: epoch 4 is older than 5, which was already ordered"
    (next_,) = send(ledger, order(DRAIN, fencing_epoch=5, action_id="same"))
    assert next_.succeeded, "a refused order does not lower the fence"
    world.policies["p"] = record("p", pause=Pause(holder="ada"))
    (held,) = send(ledger, order(DRAIN, fencing_epoch=6, action_id="held"))
    assert "paused by ada" in held.detail


def test_ledger_ignores_other_steps_and_forgets_in_time(ledger):
    assert send(ledger, order(DRAIN, status="planned")) == []
    send(ledger, order(DRAIN))
    ledger.advance(T0 + 60_000)
    assert [row.row for row in ledger.rows.values()] == ["fence"]


def test_ledger_rows_survive_their_bytes(ledger):
    send(ledger, order(FAILOVER))
    for row in ledger.rows.values():
        assert ledger.layer.decode_row(ledger.layer.encode_row(row)) == row
    with pytest.raises(LedgerError):
        ledger.layer.decode_row(b"9")
    with pytest.raises(LedgerError):
        ledger.layer.decode_row(b"1{")


# --- settings -------------------------------------------------------------------------------------------------


async def test_http_settings_have_an_effect(server):
    server.answers = [503] * 5
    once = Delivery(ExecutorSettings(http_attempts=1))
    with pytest.raises(ExecutionError, match="1 attempts"):
        await once.post(server.url, {}, "k")
    assert len(server.got) == 1
    slow = Delivery(ExecutorSettings(http_timeout_s=0.2, http_attempts=1))
    listener = await asyncio.start_server(lambda r, w: asyncio.sleep(3), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(ExecutionError, match="ReadTimeout"):
        await slow.post(f"http://127.0.0.1:{port}/", {}, "k")
    listener.close()


async def test_unknown_hosts_are_an_error_not_a_crash():
    with pytest.raises((ExecutionError, RefusedError)):
        await Delivery(ExecutorSettings()).check("http://no-such-host.invalid/")


async def test_retry_wait_is_a_setting(server):
    loop = asyncio.get_running_loop()
    server.answers = [503]
    started = loop.time()
    await Delivery(ExecutorSettings(http_retry_wait_s=0.3)).post(server.url, {}, "k")
    assert loop.time() - started >= 0.3


async def test_health_is_looked_at_as_often_as_set(make_runner, world, server):
    server.well = False
    restart = order(Action(type="restart", target_id="a"))
    settings = ExecutorSettings(**{**QUICK, "health_timeout_s": 1.0, "health_poll_s": 0.5})
    outcome = await make_runner(settings).run(restart, world)
    assert not outcome.succeeded
    rarely, server.looks = server.looks, 0
    often = settings.model_copy(update={"health_poll_s": 0.01})
    await make_runner(often).run(restart, world)
    assert server.looks > rarely


# --- faults on purpose ------------------------------------------------------------------------------------------


FAULT = {"kind": "process", "place": "process:web"}
INJECT = order(Action(type="inoculate", target_id="a", parameters=FAULT), strategy="inoculation", action_id="put-on")
LIFT = order(
    Action(type="lift_inoculation", target_id="a", parameters=FAULT),
    strategy="inoculation", action_id="lift", fencing_epoch=2,
)  # fmt: skip
NAMED = {"mode": ModeRule(strategy="inoculation", mode=AutonomyMode.AUTO)}


def inoculated(make_bench, make_runner, world, child, **fields):
    """(runner, spec) for an asset with a process that runs, in a world that allows inoculations."""
    spec, port = child("polite")
    world.assets["a"] = processed(make_bench, port)
    world.policies["mode"] = record("mode", **NAMED)
    return make_runner(ExecutorSettings(**QUICK, processes={"web": spec}), **fields), spec


async def test_a_process_is_killed_on_purpose_and_runs_again_when_the_fault_is_lifted(
    make_runner, world, make_bench, child
):
    runner, spec = inoculated(make_bench, make_runner, world, child)
    old = start(spec)
    outcome = await runner.run(INJECT, world)
    assert outcome.succeeded, outcome.detail
    assert outcome.detail == f"process web (pid {old.pid}) was killed on purpose"
    assert old.wait(5) == -9
    lifted = await runner.run(LIFT, world)
    assert (lifted.succeeded, lifted.rolled_back) == (True, True), lifted.detail
    fresh = int(spec.pid_file.read_text())
    assert psutil.pid_exists(fresh)
    again = LIFT.model_copy(update={"action_id": "lift-2", "fencing_epoch": 3})
    assert (await runner.run(again, world)).detail == f"process web runs as pid {fresh}"


async def test_a_process_that_healing_started_is_left_as_it_is(make_runner, world, make_bench, child):
    runner, spec = inoculated(make_bench, make_runner, world, child)
    start(spec)
    await runner.run(INJECT, world)
    healing = order(Action(type="restart", target_id="a"), action_id="heal", fencing_epoch=2)
    lift = LIFT.model_copy(update={"fencing_epoch": 3})
    # The order to lift comes while the restart waits for the health URL: both are under way, and one process runs.
    healed, lifted = await asyncio.gather(runner.run(healing, world), runner.run(lift, world))
    assert healed.succeeded, healed.detail
    assert f"restarted as pid {spec.pid_file.read_text().strip()}" in healed.detail
    assert lifted.succeeded, lifted.detail


async def test_of_an_experiment_that_is_over_no_fault_is_put_on(make_runner, world, make_bench, child):
    runner, spec = inoculated(make_bench, make_runner, world, child)
    process = start(spec)
    assert (await runner.run(LIFT.model_copy(update={"fencing_epoch": 1}), world)).succeeded
    outcome = await runner.run(INJECT, world)
    assert outcome.detail == "refused: the experiment is over already"
    assert process.poll() is None


async def test_an_injection_that_a_crash_cut_off_is_not_repeated_a_lifting_is(
    make_runner, world, make_bench, child, tmp_path
):
    log = MemoryOutcomeLog()
    runner, spec = inoculated(make_bench, make_runner, world, child, log=log)
    process = start(spec)
    log.begin(INJECT.action_id)
    log.begin(LIFT.action_id)
    assert (await runner.run(INJECT, world)).detail.startswith("interrupted before its outcome was known")
    assert process.poll() is None
    assert (await runner.run(LIFT, world)).succeeded


async def test_what_a_crash_cut_off_is_told_as_unknown_and_not_as_refused_when_it_is_paused_since(
    make_runner, world, make_bench, child, tmp_path
):
    """A refusal says that nothing was done: a fault that may stand would not be lifted."""
    log = FileOutcomeLog(tmp_path / "log")
    runner, spec = inoculated(make_bench, make_runner, world, child, log=log)
    process = start(spec)
    log.begin(INJECT.action_id)
    world.policies["pause"] = record("pause", pause=Pause(holder="ada"))
    told = await runner.run(INJECT, world)
    assert told.detail.startswith("interrupted before its outcome was known")
    assert process.poll() is None
    world.policies.clear()
    assert await runner.run(INJECT, world) == told


@pytest.mark.parametrize(
    "forbids", [{"pause": Pause(holder="ada")}, {"mode": ModeRule(strategy="*", mode=AutonomyMode.OBSERVE)}]
)
async def test_what_may_be_repeated_is_told_as_unknown_too_when_it_is_forbidden_after_a_crash(
    make_runner, world, server, tmp_path, forbids
):
    """The drain may be there: "refused" would say that nothing was done, and nobody would ever take it away."""
    log = FileOutcomeLog(tmp_path / "log")
    log.begin("action-1")
    world.policies["since"] = record("since", **forbids)
    told = await make_runner(log=log).run(order(FAILOVER), world)
    assert told.detail.startswith("interrupted before its outcome was known; it is not run twice: ")
    assert next(iter(forbids)) in told.detail
    world.policies.clear()
    assert await make_runner(log=FileOutcomeLog(tmp_path / "log")).run(order(FAILOVER), world) == told
    assert server.actions() == []


async def test_what_may_be_repeated_is_repeated_after_a_crash_where_nothing_forbids_it(make_runner, world, server):
    log = MemoryOutcomeLog()
    log.begin("action-1")
    assert (await make_runner(log=log).run(order(FAILOVER), world)).succeeded
    assert server.actions() == ["failover"]


async def test_two_orders_of_one_asset_have_their_effects_one_after_the_other(make_runner, world):
    """After a crash both are found pending: the drain that is repeated must not end after the order to undo it."""
    stands: list[str] = []

    class Slow:
        repeatable = True

        def __init__(self, action_type: str, waits_s: float) -> None:
            self.action_type, self.waits_s = action_type, waits_s

        async def execute(self, order) -> Effect:
            await asyncio.sleep(self.waits_s)
            stands.append(self.action_type)
            return Effect(self.action_type)

    runner = make_runner()
    runner.executors = {e.action_type: e for e in (Slow("failover", 0.1), Slow("failback", 0.0))}
    undo = order(Action(type="failback", target_id="a"), strategy="failover", action_id="undo", fencing_epoch=2)
    told = await asyncio.gather(runner.run(order(FAILOVER), world), runner.run(undo, world))
    assert stands == ["failover", "failback"]
    assert [t.succeeded for t in told] == [True, True]
    late = await runner.run(order(FAILOVER, action_id="late"), world)
    assert late.detail == "refused: epoch 1 is older than 2, which was already ordered"


@pytest.mark.parametrize("rule", [None, {"mode": ModeRule(strategy="*", tenant="acme", mode=AutonomyMode.AUTO)}])
async def test_a_fault_needs_a_mode_record_that_names_it_also_at_execution(make_runner, world, make_bench, child, rule):
    runner, spec = inoculated(make_bench, make_runner, world, child)
    world.policies.clear()
    if rule is not None:
        world.policies["mode"] = record("mode", **rule)
    process = start(spec)
    assert (await runner.run(INJECT, world)).detail.startswith("refused: mode of inoculation is now suggest")
    assert process.poll() is None


async def test_a_pause_forbids_the_fault_and_never_its_lifting(make_runner, world, make_bench, child):
    runner, _ = inoculated(make_bench, make_runner, world, child, policy=make_bench.Deny())
    world.policies["pause"] = record("pause", pause=Pause(holder="ada"))
    assert "paused by ada" in (await runner.run(INJECT, world)).detail
    assert (await runner.run(LIFT, world)).succeeded


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({"kind": "process", "place": "process:other"}, "does not declare 'process:other' any more"),
        ({"kind": "disk", "place": "process:web"}, "a fault of kind 'disk' is not known"),
        ({}, "a fault of kind None is not known"),
    ],
)
async def test_a_fault_is_put_on_what_the_asset_declares_and_nothing_else(
    make_runner, world, make_bench, child, fault, word
):
    runner, _ = inoculated(make_bench, make_runner, world, child)
    action = Action(type="inoculate", target_id="a", parameters=fault)
    detail = (await runner.run(INJECT.model_copy(update={"actions": (action,)}), world)).detail
    assert detail.startswith("refused: ")
    assert word in detail
