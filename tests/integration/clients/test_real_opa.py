"""The OPA adapter against the real Open Policy Agent.

`opa` is taken from PATH or from `MAESTRO_TEST_OPA`; `.ci/run` builds it where there is a Go. Without it the test is
skipped and says so. What OPA may do wrong is in tests/unit/test_policy_opa.py, against a server that does it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from streams.policy.opa import OpaHook
from streams.policy.port import Outcome, Point, Question
from streams.policy.settings import PolicySettings

pytestmark = pytest.mark.timeout(120)
OPA = os.environ.get("MAESTRO_TEST_OPA") or shutil.which("opa")

RULES = """package maestro

import rego.v1

default decision := {"allow": false, "id": "rego-default", "reason": "no rule allows it"}

decision := {
    "allow": true,
    "id": "rego-eu",
    "version": "7",
    "reason": sprintf("%s may run in %s", [input.principal, input.attributes.region]),
    "obligations": ["notify:finops"],
} if {
    input.point == "routing"
    input.attributes.region == "eu"
    "soc2" in input.attributes.compliance
}

plain if input.action == "route"
"""


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    address: str

    def hook(self, rule: str, **settings: float) -> OpaHook:
        url = f"http://{self.address}/v1/data/maestro/{rule}"
        return OpaHook(PolicySettings(opa_url=url, opa_timeout_s=2.0, opa_remember_s=0, **settings))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if OPA is None:
        pytest.skip("opa is not installed")
    rules = tmp_path / "maestro.rego"
    rules.write_text(RULES)
    address = f"127.0.0.1:{_free_port()}"
    command = [OPA, "run", "--server", "--disable-telemetry", "--log-level=error", f"--addr={address}", str(rules)]
    with (tmp_path / "opa.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not _healthy(address):
            assert process.poll() is None, (tmp_path / "opa.log").read_text()
            assert time.monotonic() < end, "opa is not up"
            time.sleep(0.1)
        yield Server(process, address)
    finally:
        process.kill()
        process.wait()


def _healthy(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/health", trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def asked(region: str) -> Question:
    return Question(Point.ROUTING, "tenant:acme", "route", "svc-a", {"region": region, "compliance": ("soc2",)}, {})


def test_rego_allows_with_an_obligation_and_denies_with_its_reason(server: Server) -> None:
    hook = server.hook("decision")
    allowed = hook.decide(asked("eu"))
    assert (allowed.outcome, allowed.obligations) == (Outcome.ALLOW, ("notify:finops",))
    assert [(v.id, v.version, v.reason) for v in allowed.verdicts] == [("rego-eu", "7", "tenant:acme may run in eu")]
    denied = hook.decide(asked("us"))
    assert denied.outcome is Outcome.DENY
    assert [(v.id, v.reason) for v in denied.verdicts] == [("rego-default", "no rule allows it")]


def test_a_rule_may_be_a_plain_boolean(server: Server) -> None:
    assert server.hook("plain").decide(asked("us")).outcome is Outcome.ALLOW


def test_a_rule_that_is_undefined_denies_and_says_so(server: Server) -> None:
    answer = server.hook("nowhere").decide(asked("eu"))
    assert answer.outcome is Outcome.ERROR
    assert "undefined" in answer.verdicts[0].reason


def test_an_opa_that_dies_denies_at_once(server: Server) -> None:
    hook = server.hook("decision", opa_rest_s=60.0)
    assert hook.decide(asked("eu")).outcome is Outcome.ALLOW
    server.process.kill()
    server.process.wait()
    first = hook.decide(asked("eu"))
    began_s = time.monotonic()
    again = [hook.decide(asked("eu")) for _ in range(100)]
    assert time.monotonic() - began_s < 1.0, "a dead OPA is not left alone"
    assert {answer.outcome for answer in (first, *again)} == {Outcome.ERROR}
    assert "not asked again" in again[0].verdicts[0].reason
