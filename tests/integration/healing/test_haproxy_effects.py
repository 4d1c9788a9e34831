"""Failover, blue/green, weights and limits on Debian's HAProxy with real HTTP servers behind it: requests go on."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from haproxy_process import HAProxy, haproxy
from http_serving import Named

from schemas.records import Action, AutonomyMode, Endpoint, ModeRule, PolicyRecord, RegisteredAsset, Remediation
from streams.healing.executors.clearance import Clearance
from streams.healing.executors.runner import ActionRunner
from streams.healing.executors.settings import ExecutorSettings, LoadBalancerSpec
from streams.healing.executors.shipped import shipped_executors
from streams.kit.world import World
from streams.policy.gate import PolicyGate
from streams.policy.settings import PolicySettings
from streams.remote.haproxy import HAProxyRuntime, ServerOrder

T0 = 1_700_000_000_000
SERVERS = ("a", "b", "spare", "blue", "green")


@dataclass
class Site:
    proxy: HAProxy
    runtime: HAProxyRuntime
    runner: ActionRunner
    world: World
    servers: dict[str, Named]
    number: int = 0

    def get(self, path: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.front_port, timeout=3)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers(self, count: int = 40, path: str = "/") -> Counter[str]:
        found: Counter[str] = Counter()
        for _ in range(count):
            status, body = self.get(path)
            found[body if status == 200 else str(status)] += 1
        return found

    async def inoculate(self, kind: str, target: str, url: str = "", experiment: str = "e") -> str:
        place = url or f"haproxy:edge/web/{target}"
        return await self.act(kind, target, strategy="inoculation", incident=experiment, kind="haproxy", place=place)

    async def act(
        self, action: str, target: str, *, strategy: str = "", incident: str = "i", **parameters: object
    ) -> str:
        self.number += 1
        ordered = Action.model_validate({"type": action, "target_id": target, "parameters": parameters})
        order = Remediation.model_validate(
            {
                "id": f"r{self.number}", "incident_id": incident, "asset_id": target, "strategy": strategy or action,
                "status": "executing", "actions": (ordered,), "fencing_epoch": self.number,
                "action_id": f"action-{self.number}", "cause_id": "c", "reason": "r", "at": T0,
            }
        )  # fmt: skip
        outcome = await self.runner.run(order, self.world)
        return ("" if outcome.succeeded else "FAILED ") + outcome.detail


def asset(name: str, kind: str, url: str, **labels: str) -> RegisteredAsset:
    return RegisteredAsset(id=name, tenant="t", labels=labels, endpoints=(Endpoint(type=kind, url=url),))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    servers = {name: Named(name) for name in SERVERS}
    (tmp_path / "switch.map").write_text("shop blue\n")
    (tmp_path / "limits.map").write_text("")
    port = {name: server.port for name, server in servers.items()}
    backends = f"""
  http-request track-sc0 src table counted
  http-request set-var(txn.limit) str(api),map_str_int({tmp_path}/limits.map,1000000)
  http-request deny deny_status 429 if {{ sc0_http_req_rate(counted),sub(txn.limit) gt 0 }}
  use_backend %[str(shop),map_str({tmp_path}/switch.map)] if {{ path /colour }}
backend counted
  stick-table type ip size 10 expire 10s store http_req_rate(1s)
backend web
  retries 0
  server a 127.0.0.1:{port["a"]} weight 100
  server b 127.0.0.1:{port["b"]} weight 100
  server spare 127.0.0.1:{port["spare"]} weight 100 disabled
backend blue
  server one 127.0.0.1:{port["blue"]}
backend green
  server one 127.0.0.1:{port["green"]}
"""
    with ExitStack() as stack:
        proxy = stack.enter_context(haproxy(tmp_path, backends))
        for server in servers.values():
            stack.callback(server.kill)
        spec = LoadBalancerSpec(
            address=str(proxy.socket), switch_map=f"{tmp_path}/switch.map", limit_map=f"{tmp_path}/limits.map"
        )
        world = World()
        for known in (
            asset("a", "haproxy", "haproxy:edge/web/a"),
            asset("b", "haproxy", "haproxy:edge/web/b"),
            asset("spare", "haproxy", "haproxy:edge/web/spare", standby="true"),
            asset("blue", "haproxy-switch", "haproxy:edge/shop/blue"),
            asset("green", "haproxy-switch", "haproxy:edge/shop/green"),
            asset("api", "haproxy-limit", "haproxy:edge/api"),
            asset("stranger", "haproxy", "haproxy:elsewhere/web/a"),
            asset("unserved", "haproxy", "haproxy:edge/web/nobody"),
            asset("sly", "haproxy", "haproxy:edge/web/a;disable server"),
        ):
            world.assets[known.id] = known
        rule = ModeRule(strategy="inoculation", mode=AutonomyMode.AUTO)
        world.policies["mode"] = PolicyRecord.model_validate(
            {"id": "mode", "kind": "mode", "version": "1", "at": T0, "mode": rule}
        )
        executors = shipped_executors(ExecutorSettings(load_balancers={"edge": spec}))
        runner = ActionRunner(executors, Clearance(PolicyGate((), None, PolicySettings())), lambda: T0)
        yield Site(proxy, HAProxyRuntime(str(proxy.socket)), runner, world, servers)


async def test_a_killed_server_is_failed_over_and_back_while_requests_go_on(site: Site) -> None:
    assert set(site.answers()) == {"a", "b"}
    site.servers["a"].kill()
    assert "503" in site.answers()
    assert (await site.act("failover", "a", destination_id="b")).startswith("edge (web/a) is in drain")
    assert site.answers() == {"b": 40}
    site.servers["a"] = Named("a again")
    await site.runtime.command(f"set server web/a addr 127.0.0.1 port {site.servers['a'].port}")
    assert site.answers() == {"b": 40}
    assert (await site.act("failback", "a", destination_id="b")).startswith("edge (web/a) is ready")
    assert set(site.answers()) == {"a again", "b"}


async def test_a_standby_takes_over_and_goes_back_to_maintenance(site: Site) -> None:
    assert "is in drain" in await site.act("failover", "a", destination_id="spare")
    assert set(site.answers()) == {"b", "spare"}
    assert "is ready" in await site.act("failback", "a", destination_id="spare")
    assert set(site.answers()) == {"a", "b"}


async def test_nothing_is_evicted_when_the_destination_takes_no_work(site: Site) -> None:
    """b is in maintenance by a person's order, and is no standby: healing does not take it out of there."""
    await site.runtime.set_state("web", "b", ServerOrder.MAINTENANCE)
    told = await site.act("failover", "a", destination_id="b")
    assert told.startswith("FAILED refused: destination edge (web/b) takes no work"), told
    assert site.answers() == {"a": 40}


async def test_blue_green_switches_and_back(site: Site) -> None:
    assert site.answers(10, "/colour") == {"blue": 10}
    assert "shop is green" in await site.act("failover", "blue", destination_id="green")
    assert site.answers(10, "/colour") == {"green": 10}
    assert "shop is blue" in await site.act("failback", "blue", destination_id="green")
    assert site.answers(10, "/colour") == {"blue": 10}


async def test_weights_move_the_load(site: Site) -> None:
    assert await site.act("weigh", "a", weight=10) == "edge (web/a) has weight 10"
    found = site.answers(110)
    assert (found["a"], found["b"]) == (10, 100)


async def test_a_limit_is_set_and_lifted(site: Site) -> None:
    assert await site.act("throttle", "api", limit_per_s=5) == "edge (api) is let in 5 requests/s"
    found = site.answers(60)
    assert found["429"] > 40, found
    assert "no limit of ours" in await site.act("unthrottle", "api", limit_per_s=5)
    assert "no limit of ours" in await site.act("unthrottle", "api", limit_per_s=5)
    assert "429" not in site.answers(60)


@pytest.mark.parametrize(
    ("target", "word"),
    [("stranger", "not among the settings"), ("unserved", "is not served there"), ("sly", "does not name 2 parts")],
)
async def test_what_the_settings_or_haproxy_do_not_know_is_refused(site: Site, target: str, word: str) -> None:
    told = await site.act("failover", target, destination_id="b")
    assert told.startswith("FAILED refused: ")
    assert word in told
    assert set(site.answers()) == {"a", "b"}


async def test_a_load_balancer_that_is_gone_is_a_failure_and_not_a_refusal(site: Site) -> None:
    site.proxy.process.kill()
    site.proxy.process.wait()
    site.proxy.socket.unlink()
    told = await site.act("weigh", "a", weight=10)
    assert told.startswith("FAILED HAProxy at"), told


# --- a server is lost on purpose ----------------------------------------------------------------------------------


async def test_a_server_is_lost_on_purpose_and_given_back_while_requests_go_on(site: Site) -> None:
    assert set(site.answers()) == {"a", "b"}
    assert await site.inoculate("inoculate", "a") == "edge (web/a) is in maint on purpose"
    assert site.answers() == {"b": 40}
    assert await site.inoculate("lift_inoculation", "a") == "edge (web/a) is ready"
    assert set(site.answers()) == {"a", "b"}
    again = await site.inoculate("lift_inoculation", "a")
    assert again == "edge (web/a) was not in maint any more, and is left as it is"


async def test_lifting_the_fault_leaves_the_failover_that_healed_it(site: Site) -> None:
    await site.inoculate("inoculate", "a")
    assert "is in drain" in await site.act("failover", "a", destination_id="b")
    assert "is left as it is" in await site.inoculate("lift_inoculation", "a")
    assert site.answers() == {"b": 40}
    assert "is ready" in await site.act("failback", "a", destination_id="b")
    assert set(site.answers()) == {"a", "b"}


async def test_lifting_needs_no_registry(site: Site) -> None:
    await site.inoculate("inoculate", "a")
    del site.world.assets["a"]
    assert await site.inoculate("lift_inoculation", "a") == "edge (web/a) is ready"
    assert set(site.answers()) == {"a", "b"}


async def test_the_last_server_is_not_taken_and_one_in_maintenance_is_left_to_its_person(site: Site) -> None:
    await site.runtime.set_state("web", "b", ServerOrder.MAINTENANCE)
    told = await site.inoculate("inoculate", "a")
    assert told == "FAILED refused: no other server of web takes work"
    told = await site.inoculate("inoculate", "b")
    assert told.startswith("FAILED refused: edge (web/b) takes no work as it is"), told
    assert site.answers() == {"a": 40}


async def test_where_failover_uses_maintenance_the_fault_is_a_drain(site: Site) -> None:
    faults = site.runner.executors["inoculate"].faults  # type: ignore[attr-defined]
    faults.specs["edge"] = faults.specs["edge"].model_copy(update={"drain": "maint"})
    assert await site.inoculate("inoculate", "a") == "edge (web/a) is in drain on purpose"
    assert site.answers() == {"b": 40}
    assert "is in maint" in await site.act("failover", "a", destination_id="b")
    assert "is left as it is" in await site.inoculate("lift_inoculation", "a")
    assert site.answers() == {"b": 40}
