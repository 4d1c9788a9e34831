"""Faults on purpose: each gate, the loop that heals them, each abort, the score, and a worker that dies in between."""

from __future__ import annotations

import pytest

from schemas.records import AutonomyMode, Capability, Endpoint, Performance, RemediationStatus, Severity
from streams.healing.draft import inoculation_key
from streams.healing.inoculation.rows import InoculationRow, Phase
from streams.healing.inoculation.schedule import HOUR_MS, next_slot
from streams.healing.inoculation.score import resilience
from streams.healing.inoculation.settings import InoculationSettings
from streams.healing.settings import HealingSettings
from streams.kit.ids import row_key

POOL = row_key("label", "acme", "web")
MEMBERS = tuple(f"web-{i:02}" for i in range(12))
ALL_DAY = {"pools": ("web",), "every_s": 3600, "from_hour": 0, "to_hour": 24}


def inoculation(**fields: object) -> HealingSettings:
    return HealingSettings(inoculation=InoculationSettings.model_validate(ALL_DAY | fields))


def member(bench, asset_id: str, pool: str = "web", **fields: object):
    server = Endpoint(type="haproxy", url=f"haproxy:edge/{pool}/{asset_id}")
    base = {"labels": {"pool": pool}, "endpoints": (server,), "capabilities": (Capability(name=pool),)}
    return bench.asset(asset_id, **(base | fields))


def figures(bench, at_s: float, asset_ids=MEMBERS, **values: float):
    told = []
    for asset_id in asset_ids:
        record = Performance(asset_id=asset_id, at=bench.T0 + round(at_s * bench.S), window_s=300, samples=30, **values)
        told += bench.view("performance", asset_id, record, at_s)
    return told


def row_of(bench, pool: str = POOL) -> InoculationRow:
    return bench.partition.rows[inoculation_key(pool)]


def slot_s(bench) -> float:
    return (row_of(bench).due_at - bench.T0) / bench.S


def sited(make_bench, settings: HealingSettings | None = None, policy=None, mode=AutonomyMode.AUTO):
    """A pool of twelve that reports figures, ten seconds before its first slot."""
    bench = make_bench(settings or inoculation(), policy)
    bench.register(*(member(bench, i) for i in MEMBERS))
    if mode is not None:
        bench.mode(mode, strategy="inoculation")
    figures(bench, 1)
    figures(bench, slot_s(bench) - 10)
    return bench


def struck(bench):
    """(the order of the injection, when it was carried out)."""
    at_s = slot_s(bench)
    order = bench.advance(at_s)[-1]
    assert bench.statuses([order]) == ["inoculation:executing"], order.reason
    assert bench.statuses(bench.outcome(order, at_s + 1)) == ["inoculation:succeeded"]
    return order, at_s + 1


def of_kind(told, status: RemediationStatus):
    return [r for r in told if r.strategy == "inoculation" and r.status is status]


def healed(bench):
    """The whole of an experiment whose victim is failed over. Returns the order to lift."""
    order, at_s = struck(bench)
    over = bench.anomaly(order.asset_id, at_s + 4)[-1]
    assert bench.statuses([over]) == ["failover:executing"]
    bench.outcome(over, at_s + 5)
    told = bench.advance(at_s + 40)
    assert bench.statuses(told)[-2:] == ["failover:verified", "inoculation:executing"]
    return told[-1]


def lifted(bench, lift, at_s: float | None = None):
    told = bench.outcome(lift, (lift.at - bench.T0) / bench.S + 1 if at_s is None else at_s)
    assert bench.statuses(told) == ["inoculation:rolled_back"]
    return told[0]


# --- the way of an experiment -------------------------------------------------------------------------------------


def test_without_a_pool_that_is_named_nothing_is_ever_done(make_bench):
    bench = make_bench(HealingSettings())
    bench.register(*(member(bench, i) for i in MEMBERS))
    bench.mode(AutonomyMode.AUTO, strategy="inoculation")
    figures(bench, 1)
    assert bench.advance(400_000) == []
    assert dict(bench.partition.rows) == {}


def test_a_fault_is_put_on_healed_lifted_and_measured(make_bench):
    bench = sited(make_bench)
    lift = healed(bench)
    order = of_kind(bench.told, RemediationStatus.EXECUTING)[0]
    assert [(a.type, a.parameters["place"]) for a in order.actions] == [
        ("inoculate", f"haproxy:edge/web/{order.asset_id}")
    ]
    assert [a.type for a in lift.actions] == ["lift_inoculation"]
    assert lift.fencing_epoch > order.fencing_epoch
    told = lifted(bench, lift)
    assert "passed: healed 35 s after the fault" in told.reason
    assert {k: told.evidence[k] for k in ("passed", "detected", "detected_s", "acted_s", "verified_s")} == {
        "passed": True, "detected": True, "detected_s": 4.0, "acted_s": 4.0, "verified_s": 35.0,
    }  # fmt: skip
    assert told.evidence["resilience_score"] == 0.6667
    assert told.evidence["inoculation_incident_id"] == f"inc-{order.asset_id}"
    assert {r.incident_id for r in bench.told if r.strategy == "inoculation"} == {order.incident_id}
    assert row_of(bench).phase is Phase.IDLE
    assert slot_s(bench) > bench.now_s


def test_the_failover_of_the_victim_is_undone_in_its_own_time(make_bench):
    bench = sited(make_bench)
    lift = healed(bench)
    lifted(bench, lift)
    bench.close(lift.asset_id, bench.now_s + 10)
    back = [r for r in bench.advance(bench.now_s + 620) if r.strategy == "failover"]
    assert bench.statuses(back[:1]) == ["failover:executing"]
    assert back[0].evidence["failback"] is True


def test_a_process_is_killed_where_one_is_declared(make_bench):
    bench = sited(make_bench)
    process = Endpoint(type="process", url="process:web")
    bench.register(*(member(bench, i, endpoints=(process,)) for i in MEMBERS))
    order, _ = struck(bench)
    assert order.actions[0].parameters == {"kind": "process", "place": "process:web"}


def test_a_worker_that_dies_after_each_step_tells_the_same(make_bench):
    def told(dies: bool):
        bench = sited(make_bench)
        steps = (
            lambda: bench.advance(slot_s(bench)),
            lambda: bench.outcome(bench.told[-1], bench.now_s + 1),
            lambda: bench.anomaly(bench.told[-1].asset_id, bench.now_s + 4),
            lambda: bench.outcome(bench.told[-1], bench.now_s + 1),
            lambda: bench.advance(bench.now_s + 31),
            lambda: bench.outcome(bench.told[-1], bench.now_s + 1),
        )
        for step in steps:
            if dies:
                bench.restart_worker()
            assert step(), bench.statuses(bench.told)
        return [r.model_dump_json() for r in bench.told]

    plain = told(dies=False)
    assert plain == told(dies=True)
    assert '"rolled_back"' in plain[-1]


def test_victims_differ_and_are_told_by_hash(make_bench):
    def victims():
        bench, found = sited(make_bench), []
        for _ in range(6):
            order, at_s = struck(bench)
            found.append(order.asset_id)
            lifted(bench, bench.advance(at_s + 180)[-1])
            figures(bench, slot_s(bench) - 10)
        return found

    first = victims()
    assert first == victims()
    assert len(set(first)) >= 3


# --- gates --------------------------------------------------------------------------------------------------------


def ill(bench):
    bench.anomaly("web-00", slot_s(bench) - 5)


def in_a_storm(bench):
    at_s = slot_s(bench)
    for i in MEMBERS[:4]:
        bench.anomaly(i, at_s - 9)
    for i in MEMBERS[:4]:
        bench.close(i, at_s - 5)


def acted_on(bench):
    """One asset is being verified though its incident has closed."""
    at_s = slot_s(bench)
    bench.outcome(bench.anomaly("web-00", at_s - 9)[-1], at_s - 8)
    bench.close("web-00", at_s - 7)


def alone(bench):
    other = (Capability(name="other"),)
    bench.register(*(member(bench, i, capabilities=(Capability(name=i), *other)) for i in MEMBERS))


def small(bench):
    for i in MEMBERS[8:]:
        bench.view("assets", i, None)


GATES = {
    "an open incident": (ill, "1 of its assets have an open incident (web-00)"),
    "a storm": (in_a_storm, "there was a storm over it"),
    "the cap": (acted_on, "1 of its assets are being acted on, the cap is 1"),
    "a pause": (lambda b: b.pause("ada", slot_s(b) - 5), "are paused by ada"),
    "a window that begins soon": (
        lambda b: b.pause("ada", slot_s(b) - 5, starts_at=b.T0 + round((slot_s(b) + 60) * b.S)),
        "are paused by ada before it would be over",
    ),
    "nobody who could take over": (alone, "no other member of its pool is healthy and can do what web-00 does"),
    "a pool so small that a second ill asset is a storm": (small, "2 of 8 would be a storm (limit 20%)"),
    "nothing declared": (
        lambda b: b.register(*(member(b, i, endpoints=()) for i in MEMBERS)),
        "declares neither a process nor a server",
    ),
    "standbys": (
        lambda b: b.register(*(member(b, i, labels={"pool": "web", "standby": "true"}) for i in MEMBERS)),
        "is a standby",
    ),
}


@pytest.mark.parametrize(("arrange", "word"), GATES.values(), ids=GATES)
def test_a_gate_holds_the_fault_back_and_says_why(make_bench, arrange, word):
    bench = sited(make_bench)
    arrange(bench)
    told = bench.advance(slot_s(bench))
    (held,) = [r for r in told if r.strategy == "inoculation"]
    assert held.status is RemediationStatus.SUPPRESSED
    assert word in held.reason
    assert held.actions == ()
    assert row_of(bench).phase is Phase.IDLE
    assert slot_s(bench) > bench.now_s


def test_figures_must_be_fresh_or_nobody_would_notice(make_bench):
    bench = make_bench(inoculation())
    bench.register(*(member(bench, i) for i in MEMBERS))
    bench.mode(AutonomyMode.AUTO, strategy="inoculation")
    figures(bench, 1)
    assert slot_s(bench) > 121
    (held,) = bench.advance(slot_s(bench))
    assert "old, the limit is 120 s" in held.reason


def test_policy_may_forbid_it(make_bench):
    deny = make_bench.Deny(lambda question: question.action == "inoculation")
    bench = sited(make_bench, policy=deny)
    planned, denied = bench.advance(slot_s(bench))
    assert (planned.status, denied.status) == (RemediationStatus.PLANNED, RemediationStatus.DENIED)
    assert "change freeze" in denied.reason
    assert [p.id for p in denied.policies][:1] == ["deny"]
    assert row_of(bench).phase is Phase.IDLE


@pytest.mark.parametrize("mode", [None, AutonomyMode.SUGGEST, AutonomyMode.OBSERVE])
def test_without_a_mode_record_that_names_it_the_fault_is_only_told(make_bench, mode):
    bench = sited(make_bench, mode=mode)
    if mode is None:
        bench.mode(AutonomyMode.AUTO, strategy="*", tenant="acme")
    (told,) = bench.advance(slot_s(bench))
    assert told.status is RemediationStatus.PLANNED
    assert "would be done" in told.reason
    assert row_of(bench).phase is Phase.IDLE


def test_an_approval_is_waited_for_and_all_is_looked_at_again(make_bench):
    bench = sited(make_bench, mode=AutonomyMode.APPROVE)
    asked = bench.advance(slot_s(bench))[-1]
    assert asked.status is RemediationStatus.AWAITING_APPROVAL
    bench.restart_worker()
    (order,) = bench.approve(asked.action_id, bench.now_s + 60)
    assert (order.status, order.action_id) == (RemediationStatus.EXECUTING, asked.action_id)
    assert "approved by ada" in order.reason


def test_an_approval_that_comes_when_another_asset_is_ill_does_nothing(make_bench):
    bench = sited(make_bench, mode=AutonomyMode.APPROVE)
    asked = bench.advance(slot_s(bench))[-1]
    other = next(i for i in MEMBERS if i != asked.asset_id)
    bench.anomaly(other, bench.now_s + 10, severity=Severity.MEDIUM)
    (held,) = bench.approve(asked.action_id, bench.now_s + 20)
    assert held.status is RemediationStatus.SUPPRESSED
    assert "open incident" in held.reason


def test_a_refusal_and_a_silence_end_it(make_bench):
    bench = sited(make_bench, mode=AutonomyMode.APPROVE)
    asked = bench.advance(slot_s(bench))[-1]
    (refused,) = bench.approve(asked.action_id, bench.now_s + 60, approved=False)
    assert (refused.status, row_of(bench).phase) == (RemediationStatus.DENIED, Phase.IDLE)
    figures(bench, slot_s(bench) - 10)
    bench.advance(slot_s(bench))
    (late,) = bench.advance(bench.now_s + 900)
    assert "no approval of" in late.reason
    assert row_of(bench).phase is Phase.IDLE


def test_one_experiment_at_a_time(make_bench):
    bench = sited(make_bench, inoculation(pools=("web", "db"), for_s=3600, every_s=3600))
    names = tuple(f"db-{i:02}" for i in range(12))
    bench.register(*(member(bench, i, "db") for i in names))
    order, at_s = struck(bench)
    told = []
    for step in range(1, 8):
        told += figures(bench, at_s + 500 * step, names) + figures(bench, at_s + 500 * step)
    held = [r for r in told if r.asset_id in names]
    assert held
    assert all(f"an inoculation of {order.asset_id} in the pool web is under way" in r.reason for r in held)


# --- aborts -------------------------------------------------------------------------------------------------------


def another_is_ill(bench, victim):
    return bench.anomaly(next(i for i in MEMBERS if i != victim), bench.now_s + 2, severity=Severity.MEDIUM)


def dependant_is_critical(bench, victim):
    bench.register(bench.asset("shop", depends_on=(victim,)))
    return bench.anomaly("shop", bench.now_s + 2)


def dependant_burns(bench, victim):
    bench.register(bench.asset("shop", depends_on=(victim,)))
    return figures(bench, bench.now_s + 2, ("shop",), error_rate=0.06)


ABORTS = {
    "another asset of the pool": (another_is_ill, "another asset of the pool, has an incident"),
    "a pause": (lambda b, v: b.pause("ada", b.now_s + 2), "effects are paused by ada"),
    "errors of the pool": (
        lambda b, v: figures(b, b.now_s + 2, [i for i in MEMBERS if i != v][:1], error_rate=0.09),
        "burns the error budget 9.0 times too fast (limit 6)",
    ),
    "errors of a dependant": (dependant_burns, "of shop burns the error budget 6.0 times"),
    "a critical incident of a dependant": (dependant_is_critical, "shop, which depends on"),
    "the victim is removed": (lambda b, v: b.view("assets", v, None, b.now_s + 2), "left the registry"),
}


@pytest.mark.parametrize("phase", [Phase.INJECTING, Phase.STANDING])
@pytest.mark.parametrize(("harm", "word"), ABORTS.values(), ids=ABORTS)
def test_an_abort_lifts_the_fault_at_once_and_is_not_passed(make_bench, harm, word, phase):
    bench = sited(make_bench)
    if phase is Phase.STANDING:
        order, _ = struck(bench)
    else:
        order = bench.advance(slot_s(bench))[-1]
    told = harm(bench, order.asset_id)
    (lift,) = of_kind(told, RemediationStatus.EXECUTING)
    assert lift.at == bench.T0 + round(bench.now_s * bench.S)
    assert "aborted: " in lift.reason
    assert word in lift.reason
    assert lift.actions[0].parameters == order.actions[0].parameters, "also where the registry knows it no more"
    bench.restart_worker()
    told = lifted(bench, lift)
    assert told.evidence["passed"] is False
    assert told.evidence["resilience_score"] == 0.3333
    assert of_kind(bench.advance(bench.now_s + 600), RemediationStatus.EXECUTING) == []


def test_a_storm_is_an_abort_by_its_first_asset(make_bench):
    """Nothing waits for the storm to be measured: one other ill asset is enough."""
    bench = sited(make_bench)
    order, _ = struck(bench)
    others = [i for i in MEMBERS if i != order.asset_id][:4]
    told = [r for i in others for r in bench.anomaly(i, bench.now_s + 1)]
    assert len(of_kind(told, RemediationStatus.EXECUTING)) == 1


def test_a_pool_that_shrinks_until_the_victim_alone_is_a_storm_is_an_abort(make_bench):
    bench = sited(make_bench, inoculation().model_copy(update={"storm_min_unhealthy": 1}))
    order, at_s = struck(bench)
    for name in [i for i in MEMBERS if i != order.asset_id][:8]:
        bench.view("assets", name, None, at_s + 1)
    (lift,) = of_kind(bench.anomaly(order.asset_id, at_s + 2), RemediationStatus.EXECUTING)
    assert "aborted: there is a storm over the pool for another 300 s" in lift.reason


def test_errors_of_the_victim_itself_are_the_fault_and_no_abort(make_bench):
    bench = sited(make_bench)
    order, _ = struck(bench)
    assert figures(bench, bench.now_s + 2, (order.asset_id,), error_rate=1.0) == []


# --- what is not passed, and what is not counted ------------------------------------------------------------------


def test_a_fault_that_nobody_notices_is_not_passed(make_bench):
    bench = sited(make_bench)
    _, at_s = struck(bench)
    assert bench.advance(at_s + 179.999) == []
    (lift,) = bench.advance(at_s + 180)
    told = lifted(bench, lift)
    assert "not passed: nobody noticed the fault within 180 s" in told.reason
    assert (told.evidence["detected"], told.evidence["detected_s"]) == (False, None)


def test_a_fault_that_is_noticed_and_not_healed_is_not_passed(make_bench):
    bench = sited(make_bench)
    bench.mode(AutonomyMode.SUGGEST, strategy="failover")
    order, at_s = struck(bench)
    bench.anomaly(order.asset_id, at_s + 5)
    lift = bench.advance(at_s + 180)[-1]
    told = lifted(bench, lift)
    assert "was opened, but nothing was done about it within 180 s" in told.reason
    assert told.evidence["detected_s"] == 5.0


def test_when_a_person_had_to_be_called_the_fault_is_lifted(make_bench):
    bench = sited(make_bench)
    order, at_s = struck(bench)
    paged = bench.anomaly(order.asset_id, at_s + 5, metric="disk")[-1]
    assert bench.statuses([paged]) == ["page:executing"]
    (lift,) = of_kind(bench.outcome(paged, at_s + 6), RemediationStatus.EXECUTING)
    assert "a person is needed" in lift.reason
    assert lifted(bench, lift).evidence["passed"] is False


def test_an_injection_that_was_refused_counts_for_nothing_and_has_nothing_to_lift(make_bench):
    bench = sited(make_bench)
    order = bench.advance(slot_s(bench))[-1]
    (told,) = bench.outcome(order, bench.now_s + 1, succeeded=False, detail="refused: it takes no work as it is")
    assert told.status is RemediationStatus.FAILED
    assert (row_of(bench).phase, resilience(row_of(bench))) == (Phase.IDLE, 0.5)


@pytest.mark.parametrize("silent", [True, False], ids=["no outcome", "interrupted"])
def test_an_injection_of_which_nobody_knows_is_lifted_and_not_counted(make_bench, silent):
    bench = sited(make_bench)
    order = bench.advance(slot_s(bench))[-1]
    bench.restart_worker()
    detail = "interrupted before its outcome was known; it is not run twice"
    told = (
        bench.advance(bench.now_s + 60)
        if silent
        else bench.outcome(order, bench.now_s + 1, succeeded=False, detail=detail)
    )
    (lift,) = of_kind(told, RemediationStatus.EXECUTING)
    told = lifted(bench, lift)
    assert (told.evidence["passed"], told.evidence["resilience_score"]) == (None, 0.5)
    assert told.reason.startswith("not counted: ")


# --- lifting ------------------------------------------------------------------------------------------------------


def test_lifting_is_ordered_until_it_is_done(make_bench):
    bench = sited(make_bench)
    lift = healed(bench)
    told = bench.outcome(lift, bench.now_s + 1, succeeded=False, detail="the socket is away")
    assert bench.statuses(told) == ["inoculation:suppressed"]
    assert "not lifted yet: the socket is away" in told[0].reason
    ids = {lift.action_id}
    for _ in range(12):
        bench.restart_worker()
        ids |= {r.action_id for r in of_kind(bench.advance(bench.now_s + 400), RemediationStatus.EXECUTING)}
    assert len(ids) > 10, "each order is another action"
    again = of_kind(bench.told, RemediationStatus.EXECUTING)[-1]
    assert lifted(bench, again, bench.now_s + 1).evidence["passed"] is True


def test_a_late_outcome_of_an_earlier_order_is_the_truth(make_bench):
    bench = sited(make_bench)
    lift = healed(bench)
    bench.advance(bench.now_s + 90)
    lifted(bench, lift, bench.now_s + 1)
    assert row_of(bench).phase is Phase.IDLE


def test_a_fault_is_lifted_though_the_setting_is_gone(make_bench):
    bench = sited(make_bench)
    _, at_s = struck(bench)
    other = make_bench(HealingSettings())
    bench.layer = bench.partition.layer = other.layer
    bench.restart_worker()
    lift = bench.advance(at_s + 180)[-1]
    lifted(bench, lift)
    assert bench.advance(bench.now_s + 400_000) == []


# --- the score ----------------------------------------------------------------------------------------------------


def test_the_score_is_a_beta_mean_that_fades(make_bench):
    bench = sited(make_bench, inoculation(half_life_s=3600, every_s=3600))
    assert lifted(bench, healed(bench)).evidence["resilience_score"] == 0.6667
    bench.close(bench.told[-1].asset_id, bench.now_s + 1)
    first = row_of(bench).counted_at
    bench.advance(bench.now_s + 700)
    bench.outcome(of_failback(bench), bench.now_s + 1)
    figures(bench, slot_s(bench) - 10)
    _, at_s = struck(bench)
    told = lifted(bench, bench.advance(at_s + 180)[-1])
    left = 0.5 ** ((row_of(bench).counted_at - first) / 3_600_000)
    assert told.evidence["experiments_passed"] == pytest.approx(left, abs=1e-4)
    assert told.evidence["resilience_score"] == pytest.approx((1 + left) / (3 + left), abs=1e-4)


def of_failback(bench):
    return next(r for r in reversed(bench.told) if r.evidence.get("failback"))


# --- settings and slots -------------------------------------------------------------------------------------------


def burnt(bench) -> str:
    order, _ = struck(bench)
    other = next(i for i in MEMBERS if i != order.asset_id)
    return str(len(figures(bench, bench.now_s + 2, (other,), error_rate=0.05)))


def stood(bench) -> str:
    _, at_s = struck(bench)
    return str(len(bench.advance(at_s + 100)))


def second_score(bench) -> str:
    score = []
    for _ in range(2):
        _, at_s = struck(bench)
        score.append(lifted(bench, bench.advance(at_s + 180)[-1]).evidence["resilience_score"])
        figures(bench, slot_s(bench) - 10)
    return str(score)


SETTINGS = [
    ({"every_s": 5400}, lambda b: str(slot_s(b))),
    ({"from_hour": 23}, lambda b: str(slot_s(b))),
    ({"to_hour": 5}, lambda b: str(slot_s(b))),
    ({"for_s": 60}, stood),
    ({"fresh_s": 5}, lambda b: b.statuses(b.advance(slot_s(b)))[-1]),
    ({"error_slo_share": 0.005}, burnt),
    ({"burn_rate": 5}, burnt),
    ({"half_life_s": 600}, second_score),
]


@pytest.mark.parametrize(("changed", "look"), SETTINGS, ids=[next(iter(c)) for c, _ in SETTINGS])
def test_setting_has_an_effect(make_bench, changed, look):
    assert look(sited(make_bench)) != look(sited(make_bench, inoculation(**changed)))


def test_every_setting_is_among_the_cases_and_says_what_it_is():
    assert {next(iter(c)) for c, _ in SETTINGS} | {"pools"} == set(InoculationSettings.model_fields)
    assert all(f.description for f in InoculationSettings.model_fields.values())


@pytest.mark.parametrize("every_s", [60, 3600, 86_400, 604_800])
def test_slots_are_in_the_hours_of_the_day_and_go_on(every_s):
    settings = InoculationSettings(pools=("web",), every_s=every_s, from_hour=9, to_hour=11)
    at, slots = 1_700_000_000_000, []
    for _ in range(200):
        at = next_slot(POOL, at, settings)
        slots.append(at)
        assert 9 <= at % (24 * HOUR_MS) / HOUR_MS < 11
    assert slots == sorted(set(slots))
