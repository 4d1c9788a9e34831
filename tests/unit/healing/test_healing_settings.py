"""Every setting of the healing layer changes something that can be seen (T9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from schemas.records import AutonomyMode, Endpoint, Severity
from streams.healing.inoculation.settings import InoculationSettings
from streams.healing.settings import Fit, HealingSettings, Traits


def first_status(bench) -> str:
    told = bench.anomaly()
    return bench.statuses(told)[-1] if told else "nothing"


def medium(bench) -> str:
    told = bench.anomaly(severity=Severity.MEDIUM)
    return bench.statuses(told)[-1] if told else "nothing"


def one_sample(bench) -> str:
    evidence = {"history_s": 60.0, "history_samples": 60}
    return bench.statuses(bench.anomaly(severity=Severity.HIGH, evidence=evidence))[-1]


def unfit(bench) -> str:
    return bench.statuses(bench.anomaly(severity=Severity.MEDIUM, metric="disk"))[-1]


def first_move(bench) -> str:
    """Of what nothing heals, critical, a minute after it was first seen."""
    evidence = {"never_changed": True, "history_s": 60.0}
    return bench.statuses(bench.anomaly(metric="disk", evidence=evidence))[-1]


def expected_success(bench) -> str:
    return str(bench.anomaly()[0].evidence["expected_success"])


def second_incident(bench) -> str:
    """Failed over at 0, undone at 701, ill again at 710."""
    bench.outcome(bench.anomaly()[-1], 1)
    bench.advance(40)
    bench.close(at_s=41)
    bench.outcome(bench.advance(660)[0], 661)
    return bench.statuses(bench.anomaly(at_s=710, incident_id="again"))[-1]


def two_ill(bench) -> str:
    bench.register(bench.asset("x", fallback_ids=("y",)), bench.asset("y", labels={"pool": "other"}))
    bench.anomaly("svc-beta", 0, metric="disk", severity=Severity.MEDIUM)
    return bench.statuses(bench.anomaly("x", 1))[-1]


def storm_ends(bench) -> str:
    two_ill(bench)
    bench.close("svc-beta", 2)
    return bench.statuses([*bench.advance(100), bench.told[-1]])[-1]


def third_of_thirty(bench) -> str:
    for i in range(30):
        bench.register(bench.asset(f"w{i}", labels={"pool": "w"}, fallback_ids=("svc-beta",)))
    return " ".join(bench.statuses(bench.anomaly(f"w{i}", 1))[-1] for i in range(6))


def told_by(seconds: float, after: Callable[[object], object]) -> Callable[[object], str]:
    def tell(bench) -> str:
        after(bench)
        return " ".join(bench.statuses(bench.advance(seconds)))

    return tell


def succeeded(bench) -> object:
    return bench.outcome(bench.anomaly()[-1], 1)


def failed(bench) -> object:
    return bench.outcome(bench.anomaly()[-1], 1, succeeded=False, detail="503")


def healthy_again(bench) -> object:
    succeeded(bench)
    bench.advance(40)
    return bench.close(at_s=100)


def awaiting(bench) -> object:
    bench.mode(AutonomyMode.APPROVE)
    return bench.anomaly()


def retried_at(bench) -> str:
    failed(bench)
    return str(bench.advance(10)[0].at)


def learnt_long_ago(bench) -> str:
    succeeded(bench)
    bench.advance(40)
    bench.register(bench.asset("x", labels={"pool": "x"}, fallback_ids=("svc-beta",)))
    return str(bench.anomaly("x", 7200)[0].evidence["expected_success"])


def failback_pair(bench) -> str:
    for i in (0, 1):
        labels = {"pool": "w"}
        bench.register(bench.asset(f"w{i}", labels=labels, fallback_ids=("svc-beta",)))
    for i in (0, 1):
        bench.anomaly(f"w{i}", i * 300)
        bench.outcome(bench.told[-1], i * 300 + 1)
        bench.advance(i * 300 + 40)
        bench.close(f"w{i}", i * 300 + 50)
    told = bench.advance(650)
    return " ".join(r.asset_id for r in told if r.actions[0].type == "failback") + " | " + str(len(bench.told))


def saturated_destination(bench) -> str:
    bench.performance("svc-beta", saturation=0.85)
    return first_status(bench)


def lease_runs_out(bench) -> str:
    """A second incident after 95 s, before any timer could fire."""
    bench.anomaly()
    rows = dict(bench.partition.rows)
    first = bench.partition.rows['["incident","inc-svc-alpha"]'].anomaly
    now = bench.T0 + 95_000
    other = first.model_copy(update={"id": "a2", "incident_id": "i2", "at": now})
    step = bench.layer.orchestrator.on_anomaly(rows, bench.partition.view, other, now)
    return str(step.emissions[0].value.status) + str(step.emissions[0].value.evidence.get("joined_incident_id"))


def forgotten(bench) -> str:
    bench.anomaly("ghost", severity=Severity.MEDIUM)
    bench.advance(7200)
    return str(len(bench.partition.rows))


def in_pool(bench) -> str:
    bench.register(bench.asset("a", labels={"team": "x"}), bench.asset("b", labels={"pool": "x"}))
    bench.anomaly("a", severity=Severity.MEDIUM)
    return next(r.pool for r in bench.partition.rows.values() if r.row == "pool")


def first_choice_denied(bench) -> str:
    """Policy allows only the second of two destinations."""
    only_c = bench.Deny(lambda question: question.context.get("destination_id") == "b")
    second = type(bench)(bench.settings, policy=only_c)
    second.register(second.asset("a", fallback_ids=("b", "c")), second.asset("b"), second.asset("c"))
    return " ".join(second.statuses(second.anomaly("a")))


def by_label(bench) -> str:
    bench.register(bench.asset("a", labels={"playbook": "x"}))
    return bench.statuses(bench.anomaly("a"))[-1]


def throttled(bench) -> str:
    limit = Endpoint(type="haproxy-limit", url="haproxy:edge/a")
    bench.register(bench.asset("a", endpoints=(limit,)))
    bench.performance("a", throughput_per_s=100)
    told = bench.anomaly("a", metric="cost_usd_per_hour", value=100.0, expected=10.0)
    return str(told[-1].actions[0].parameters)


def scaled(bench) -> str:
    bench.register(bench.asset("a", endpoints=(Endpoint(type="kubernetes", url="kubernetes:k/ns/deployment/a"),)))
    return str(bench.anomaly("a", metric="saturation", value=0.99)[-1].actions[0].parameters)


def destination_ill(bench) -> str:
    succeeded(bench)
    return " ".join(bench.statuses(bench.close(at_s=3) + bench.advance(33)))


def verified_while_ill(bench) -> str:
    succeeded(bench)
    return " ".join(bench.statuses(bench.advance(62)))


def chained(bench) -> str:
    """A page 200 s after a database that it depends on over two hops."""
    bench.register(bench.asset("page", depends_on=("svc-mid",)), bench.asset("svc-mid", depends_on=("svc-alpha",)))
    bench.anomaly(at_s=0)
    return first_status_of(bench.anomaly("page", 200))


def first_status_of(told) -> str:
    return str(told[-1].evidence.get("group_root_incident_id"))


def inoculated(bench) -> str:
    server = Endpoint(type="haproxy", url="haproxy:edge/web/a")
    bench.register(bench.asset("a", labels={"pool": "web"}, endpoints=(server,)))
    bench.performance("a")
    return " ".join(bench.statuses(bench.advance(200_000)))


CASES = [
    ({"min_severity": Severity.HIGH}, medium),
    ({"page_min_severity": Severity.MEDIUM}, unfit),
    ({"page_after_rest_s": 60}, first_move),
    ({"default_mode": AutonomyMode.OBSERVE}, first_status),
    ({"fits": (Fit(strategy="failover", metrics=("error*",)),)}, first_status),
    ({"traits": {"failover": Traits(cost=1, blast_radius=1)}}, first_status),
    ({"confirm_intervals": 0}, one_sample),
    ({"prior_successes": 9}, expected_success),
    ({"prior_failures": 1.5}, expected_success),
    ({"min_utility": 0.9}, first_status),
    ({"cooldown_s": 1000}, second_incident),
    ({"storm_share": 1.0}, two_ill),
    ({"storm_min_unhealthy": 3}, two_ill),
    ({"storm_cooldown_s": 50}, storm_ends),
    ({"acting_share": 0.2}, third_of_thirty),
    ({"strategy_timeout_s": 20}, told_by(30, lambda b: b.anomaly())),
    ({"healthy_for_s": 5}, told_by(10, succeeded)),
    ({"failover_verified_by": "incident"}, verified_while_ill),
    ({"max_retries": 0}, told_by(8, failed)),
    ({"retry_base_s": 1}, told_by(3, failed)),
    ({"retry_max_s": 5}, told_by(38, lambda b: (failed(b), b.advance(8), b.outcome(b.told[-1], 30, succeeded=False)))),
    ({"retry_jitter_share": 0.0}, retried_at),
    ({"history_half_life_s": 60}, learnt_long_ago),
    ({"hourly_actions": 0}, first_status),
    ({"approval_ttl_s": 30}, told_by(31, awaiting)),
    ({"lease_s": 91}, lease_runs_out),
    ({"failback_after_s": 60}, told_by(170, healthy_again)),
    ({"failback_gap_s": 1000, "failback_after_s": 60}, failback_pair),
    ({"derive_fallbacks": False}, first_status),
    ({"max_destination_saturation": 0.9}, saturated_destination),
    ({"throttle_floor_share": 0.5}, throttled),
    ({"scale_step": 2}, scaled),
    ({"scale_most": 5}, scaled),
    ({"max_destinations": 1}, first_choice_denied),
    ({"group_window_s": 100}, chained),
    ({"group_hops": 1}, chained),
    ({"inoculation": InoculationSettings(pools=("web",))}, inoculated),
    ({"retention_s": 60}, forgotten),
    ({"pool_label": "team"}, in_pool),
    ({"runbook_label": "playbook"}, by_label),
]
BASELINES = {"failback_gap_s": {"failback_after_s": 60}}


@pytest.mark.parametrize(("changed", "look"), CASES, ids=[next(iter(c)) for c, _ in CASES])
def test_setting_has_an_effect(make_bench, changed, look):
    base = HealingSettings(**BASELINES.get(next(iter(changed)), {}))
    assert look(make_bench(base).golden()) != look(make_bench(HealingSettings(**changed)).golden())


def test_every_setting_is_among_the_cases():
    assert {next(iter(c)) for c, _ in CASES} == set(HealingSettings.model_fields)


@pytest.mark.parametrize(
    "bad", [{"storm_share": 1.5}, {"lease_s": 80}, {"retry_max_s": 1}, {"cooldown_s": float("nan")}, {"unknown": 1}]
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValidationError):
        HealingSettings(**bad)


def test_every_setting_says_what_it_is():
    assert all(f.description for f in HealingSettings.model_fields.values())
