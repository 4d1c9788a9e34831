"""OPA over HTTP, against a real server: what is asked, what is understood, and that every failure denies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from http_serving import serving
from pydantic import ValidationError

from schemas.json_form import to_json
from schemas.records import JobRequest, RegisteredAsset
from streams.kit.layer import Emission, Event
from streams.kit.partition import Partition
from streams.policy.opa import OpaHook
from streams.policy.port import Outcome, Point, Question
from streams.policy.recorded import RecordedHook, Tape, is_spoken, recorded
from streams.policy.settings import PolicySettings
from topology import replay
from topology.engines import build_gate, build_layers
from topology.settings import Settings

ASKED = Question(
    Point.ROUTING, "tenant:acme", "route", "svc-a", {"region": "eu", "compliance": ("soc2",)}, {"priority": "low"}
)


class Opa(ThreadingHTTPServer):
    """Answers each request with `says`, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.says: Callable[[Handler], object] = lambda _: {"result": True}
        self.asked: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1/data/maestro/decision"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is part of these tests."""


class Handler(BaseHTTPRequestHandler):
    server: Opa

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append({"path": self.path, **json.loads(body)})
        said = self.server.says(self)
        if said is not None:
            self.reply(200, said if isinstance(said, bytes) else json.dumps(said).encode())

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def opa() -> Iterator[Opa]:
    with serving(Opa()) as server:
        yield server


def hook_of(opa: Opa, **settings: Any) -> OpaHook:
    return OpaHook(PolicySettings(opa_url=opa.url, **{"opa_timeout_s": 2.0, "opa_remember_s": 0, **settings}))


def test_the_whole_question_is_asked(opa: Opa) -> None:
    assert hook_of(opa).decide(ASKED).allowed
    assert opa.asked == [
        {
            "path": "/v1/data/maestro/decision",
            "input": {
                "point": "routing", "principal": "tenant:acme", "action": "route", "asset_id": "svc-a",
                "attributes": {"compliance": ["soc2"], "region": "eu"}, "context": {"priority": "low"},
            },
        }
    ]  # fmt: skip


def test_an_answer_has_reason_version_and_obligations(opa: Opa) -> None:
    result = {"allow": True, "id": "spend", "version": "r7", "reason": "within budget", "obligations": ["notify:x"]}
    opa.says = lambda _: {"result": {**result, "debug": [1]}, "decision_id": "d1"}
    answer = hook_of(opa).decide(ASKED)
    assert (answer.outcome, answer.obligations, answer.reason) == (
        Outcome.ALLOW, ("notify:x",), "spend@r7: within budget"
    )  # fmt: skip
    opa.says = lambda _: {"result": {**result, "allow": False, "reason": "too dear"}}
    answer = hook_of(opa).decide(ASKED)
    assert (answer.outcome, answer.obligations, answer.reason) == (Outcome.DENY, (), "spend@r7: too dear")
    opa.says = lambda _: {"result": False}
    assert hook_of(opa).decide(ASKED).outcome is Outcome.DENY


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({}, "has no result: the rule of the URL is undefined"),
        ([], "has no result"),
        (b"<html>", "is not JSON"),
        ({"result": {}}, "allow: Field required"),
        ({"result": {"allow": "yes"}}, "allow: Input should be a valid boolean"),
        ({"result": "yes"}, "OPA's result cannot be used"),
        ({"result": {"allow": True, "obligations": ["be_careful"]}}, "unknown obligation 'be_careful'"),
        ({"result": {"allow": True, "obligations": "notify:x"}}, "obligations: Input should be a valid tuple"),
    ],
)
def test_what_cannot_be_understood_is_a_deny(opa: Opa, said: object, complaint: str) -> None:
    opa.says = lambda _: said
    answer = hook_of(opa).decide(ASKED)
    assert answer.outcome is Outcome.ERROR
    assert complaint in answer.reason


def test_a_status_that_is_not_200_is_a_deny(opa: Opa) -> None:
    opa.says = lambda handler: handler.reply(500, b'{"result": true}')
    assert "status 500" in hook_of(opa).decide(ASKED).reason


def test_nobody_there_is_a_deny(opa: Opa) -> None:
    hook = OpaHook(PolicySettings(opa_url="http://127.0.0.1:1/v1/data/x"))
    answer = hook.decide(ASKED)
    assert answer.outcome is Outcome.ERROR
    assert "OPA did not answer in 0.1 s: ConnectError" in answer.reason


def test_an_input_that_is_no_json_is_a_deny_and_is_not_sent(opa: Opa) -> None:
    hook = RecordedHook(hook_of(opa), Tape())
    odd = Question(Point.ROUTING, "acme", "route", "svc-a", {}, {"score": float("nan")})
    assert hook.decide(odd).outcome is Outcome.ERROR
    assert opa.asked == []


# --- settings --------------------------------------------------------------------------------------------------------


def drip(handler: Handler) -> None:
    """A byte each 30 ms: no single wait is long."""
    handler.send_response(200)
    handler.send_header("content-length", "200")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        time.sleep(0.03)


@pytest.mark.parametrize("slow", [lambda _: time.sleep(1.0), drip])
def test_setting_opa_timeout_s_ends_the_call(opa: Opa, slow: Callable[[Handler], None]) -> None:
    opa.says = slow
    began = time.monotonic()
    answer = hook_of(opa, opa_timeout_s=0.2).decide(ASKED)
    assert answer.outcome is Outcome.ERROR
    assert "0.2 s" in answer.reason
    assert time.monotonic() - began < 0.9


def test_setting_opa_rest_s_leaves_a_failing_opa_alone(opa: Opa) -> None:
    now = [0.0]
    hook = OpaHook(PolicySettings(opa_url=opa.url, opa_rest_s=3.0, opa_timeout_s=2.0), now_s=lambda: now[0])
    opa.says = lambda _: {}
    assert hook.decide(ASKED).outcome is Outcome.ERROR
    now[0] = 2.0
    opa.says = lambda _: {"result": True}
    assert "it is not asked again for 1.0 s" in hook.decide(ASKED).reason
    assert len(opa.asked) == 1
    now[0] = 3.0
    assert hook.decide(ASKED).allowed


def test_setting_opa_remember_s_asks_the_same_question_once(opa: Opa) -> None:
    now = [0.0]
    hook = OpaHook(PolicySettings(opa_url=opa.url, opa_remember_s=0.5, opa_timeout_s=2.0), now_s=lambda: now[0])
    for at_s, asked in ((0.0, 1), (0.4, 1), (0.5, 2)):
        now[0] = at_s
        assert hook.decide(ASKED).allowed
        assert len(opa.asked) == asked
    hook.decide(Question(Point.ADMISSION, "acme", "admit", "svc-a"))
    assert len(opa.asked) == 3


@pytest.mark.parametrize("url", ["opa:8181", "ftp://x/y", "http:///v1"])
def test_setting_opa_url_is_a_url(url: str) -> None:
    with pytest.raises(ValidationError, match="opa_url"):
        PolicySettings(opa_url=url)


def test_setting_opa_url_puts_opa_beside_the_other_policies(opa: Opa) -> None:
    opa.says = lambda _: {"result": {"allow": False, "reason": "not on Fridays"}}
    settings = Settings(policy=PolicySettings(opa_url=opa.url, opa_timeout_s=2.0))
    answer = build_gate(settings, hooks=()).decide(ASKED)
    assert (answer.outcome, "not on Fridays" in answer.reason) == (Outcome.DENY, True)


# --- recorded ------------------------------------------------------------------------------------------------------


def test_a_replay_asks_nobody_and_hears_what_was_said(opa: Opa) -> None:
    live = Tape()
    [hook] = recorded([hook_of(opa)], live)
    opa.says = lambda _: {"result": {"allow": True, "obligations": ["max_cost:3"]}}
    said = hook.decide(ASKED)
    spoken = json.loads(json.dumps(live.take()))
    assert all(is_spoken(one) for one in spoken)
    opa.says = lambda _: {"result": False}
    tape = Tape(replays=True)
    tape.put(spoken)
    [again] = recorded([hook_of(opa)], tape)
    assert again.decide(ASKED) == said
    assert "its answer is not recorded" in again.decide(ASKED).reason
    tape.put(spoken)
    other = again.decide(Question(Point.ADMISSION, "acme", "admit", "svc-a"))
    assert (other.outcome, "another question" in other.reason) == (Outcome.ERROR, True)
    assert len(opa.asked) == 1


def test_a_pure_hook_is_not_recorded() -> None:
    gate = build_gate(Settings(), hooks=())
    assert recorded([gate], Tape()) == [gate]


AT = 1_700_000_000_000
RECORDS = [
    ("assets", "svc-a", RegisteredAsset(id="svc-a", cost_usd_per_hour=1.0)),
    ("job-requests", "job-1", JobRequest(id="job-1", at=AT)),
]


def lines(*before: dict[str, object]) -> list[bytes]:
    """The records, each for one machine of routing."""
    told = [
        {"to": "routing:0", "topic": t, "key": k, "at": AT, "value": v.model_dump(mode="json"), "id": f"{t}:1"}
        for t, k, v in RECORDS
    ]
    return [json.dumps(line).encode() for line in (*before, *told)]


def replayed(settings: Settings, given: list[bytes]) -> dict[str, Any]:
    tape = Tape(replays=True)
    told = [json.loads(out) for out in replay.run(given, build_layers(settings, (), tape), tape=tape)]
    [decision] = [line["value"] for line in told if line["topic"] == "routing-decisions"]
    return decision


def test_recorded_lines_decide_as_the_live_run_did_and_without_answers_all_is_denied(opa: Opa) -> None:
    opa.says = lambda _: {"result": {"allow": True, "id": "spend", "version": "r7", "obligations": ["notify:x"]}}
    settings, tape = Settings(policy=PolicySettings(opa_url=opa.url, opa_timeout_s=2.0)), Tape()
    layer = build_layers(settings, (), tape)["routing"]
    live = Partition(layer, layer.new_view())
    emissions: list[Emission] = []
    for topic, key, value in RECORDS:
        event = Event(topic, key, value, AT, f"{topic}:1")
        if topic == "assets":
            layer.see(live.view, event)
            emissions += live.on_view(event)
        else:
            emissions += live.on_event(event)
    [decided] = [json.loads(to_json(e.value)) for e in emissions if e.topic == "routing-decisions"]
    assert (decided["outcome"], decided["obligations"]) == ("routed", ["notify:x"])
    assert ("spend", "r7") in [(v["id"], v["version"]) for v in decided["policies"]]
    asked = len(opa.asked)
    assert replayed(settings, lines({"to": "routing:0", "said": tape.take()})) == decided
    refused = replayed(settings, lines())
    assert refused["outcome"] == "unroutable"
    assert "its answer is not recorded, and a replay asks nobody" in refused["reason"]
    assert len(opa.asked) == asked == 1


@pytest.mark.parametrize(
    "said", [1, [1], [["opa", "d"]], [["opa", "d", "maybe", [], []]], [["o", "d", "allow", [1], []]]]
)
def test_answers_of_another_shape_are_refused_with_their_line(said: object) -> None:
    tape = Tape(replays=True)
    raw = [json.dumps({"to": "routing:0", "said": said}).encode()]
    [letter] = [json.loads(out) for out in replay.run(raw, build_layers(Settings(), (), tape), tape=tape)]
    assert letter["topic"] == "dead-letters"
    assert "line 1: `said` is a list of" in letter["value"]["reason"]
