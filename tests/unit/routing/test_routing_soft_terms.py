"""Soft terms of policies: they move scores within their share, are in the record, and exclude only by failing."""

from __future__ import annotations

import pytest

from streams.policy.cedar import CedarPolicySet

PERMIT = '@id("base")\npermit (principal, action, resource);\n'


def policies(*terms: tuple[str, float, str]) -> CedarPolicySet:
    said = "".join(f'@id("{i}")\n@reason("why {i}")\n@weight("{w}")\nprefer {{ {text} }};\n' for i, w, text in terms)
    return CedarPolicySet({"base.cedar": PERMIT, "soft.cel": said})


def of(decision, asset_id):
    return next(c for c in decision.candidates if c.asset_id == asset_id)


def test_a_soft_term_changes_who_is_chosen_and_stands_in_terms_and_weights(make_rig) -> None:
    def routed(policy):
        rig = make_rig(policy=policy)
        rig.asset("svc-a", cost_usd_per_hour=10.0, labels={"pool": "spot"})
        rig.asset("svc-b", cost_usd_per_hour=10.2, labels={"pool": "core"})
        return rig.route("job-1")

    core = ("core-first", 0.15, "'pool' in asset.labels && asset.labels['pool'] == 'core'")
    assert routed(policies()).target_id == "svc-a"
    decision = routed(policies(core))
    assert decision.target_id == "svc-b"
    assert decision.weights["soft.core-first"] == 0.15
    assert sum(decision.weights.values()) == pytest.approx(1.0)
    assert [of(decision, name).terms["soft.core-first"] for name in ("svc-a", "svc-b")] == [0.0, 1.0]
    assert "soft.core-first 1.00 at 0.15 of the score" in decision.reason
    assert [v.reason for v in decision.policies if v.id == "core-first"] == ["soft term: why core-first"]
    for candidate in decision.candidates:
        weighed = sum(decision.weights[term] * value for term, value in candidate.terms.items())
        assert candidate.score == pytest.approx(weighed, abs=1e-6), "the record holds what the score is made of"


def test_the_counterfactual_reckons_with_soft_terms(make_rig) -> None:
    rig = make_rig(policy=policies(("b-first", 0.1, "asset.id == 'svc-b'")))
    rig.asset("svc-a", cost_usd_per_hour=10.0)
    rig.asset("svc-b", cost_usd_per_hour=10.0)
    first = rig.route("job-1")
    assert first.target_id == "svc-b"
    assert first.counterfactual is not None
    limit = float(first.counterfactual.split("below ")[1].split()[0])
    rig.asset("svc-a", cost_usd_per_hour=limit)
    assert rig.route("job-2").target_id == "svc-a"
    rig.asset("svc-a", cost_usd_per_hour=limit + 0.05)
    assert rig.route("job-3").target_id == "svc-b"


def test_a_soft_term_that_fails_for_a_candidate_denies_it_with_its_words(make_rig) -> None:
    rig = make_rig(policy=policies(("size", 0.1, "'size' in asset.labels && int(asset.labels['size']) > 3")))
    rig.asset("svc-a", cost_usd_per_hour=1.0, labels={"size": "large"})
    rig.asset("svc-b", cost_usd_per_hour=9.0)
    decision = rig.route("job-1")
    assert decision.target_id == "svc-b"
    assert not of(decision, "svc-a").eligible
    assert "soft term could not be evaluated, so denied: Function 'int' error" in of(decision, "svc-a").reasons[0]
    assert any(v.id == "size" and not v.allowed for v in decision.policies)
    rig.gone("svc-b")
    assert rig.route("job-2").outcome.value == "unroutable"


@pytest.mark.parametrize(
    "text",
    [
        "has(asset.carbon_g_per_kwh) ? 1.0 - asset.carbon_g_per_kwh / 1000.0 : 0.0",
        "'pool' in asset.labels && (asset.labels['pool'] == 'spot' || asset.kind in ['eu', 'us'])",
        "has(context.cost_usd_per_hour) && has(context.tenant) ? 1.0 / (context.cost_usd_per_hour + 1.5) : 0.25",
    ],
)
def test_a_term_over_columns_leads_to_the_bytes_that_the_interpreter_leads_to(make_rig, text) -> None:
    def decided(columns: bool) -> list[str]:
        policy = policies(("s", 0.15, text))
        if not columns:
            policy.soft[0].expression.columns = None
        rig = make_rig(policy=policy)
        for i in range(30):
            label = {"labels": {"pool": ("spot", "core")[i % 2]}} if i % 3 else {}
            region = ("eu", "us", "ap")[i % 3]
            rig.asset(f"svc-{i}", cost_usd_per_hour=float(i % 4), carbon_g_per_kwh=90.0 * i if i % 5 else None,
                      region=region, **label)  # fmt: skip
        said = [rig.route("job-1", tenant="t").model_dump_json()]
        rig.asset("svc-7", cost_usd_per_hour=0.5, labels={"pool": "spot"})
        rig.gone("svc-8")
        rig.asset("svc-new", cost_usd_per_hour=0.5, region="eu")
        return [*said, rig.route("job-2", tenant="t").model_dump_json()]

    assert decided(columns=True) == decided(columns=False)


def test_the_interpreter_is_not_asked_where_columns_are_certain(make_rig, monkeypatch) -> None:
    asked: list[str] = []
    policy = policies(("s", 0.1, "has(asset.cost_usd_per_hour) && 10.0 / asset.cost_usd_per_hour > 2.0"))
    told = type(policy.soft[0]).value
    monkeypatch.setattr(type(policy.soft[0]), "value", lambda term, q: asked.append(q.asset_id) or told(term, q))
    rig = make_rig(policy=policy)
    for i in range(20):
        rig.asset(f"svc-{i}", cost_usd_per_hour=float(i), carbon_g_per_kwh=10.0)
    assert rig.route().outcome == "routed"
    assert asked == ["svc-0"], "what is divided by zero"
