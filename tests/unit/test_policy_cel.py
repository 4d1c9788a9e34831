"""CEL in policy sets: what is refused at load, conditions of Cedar policies, soft terms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.policy.cedar import CedarPolicySet, PolicyLoadError
from streams.policy.expressions import LENGTH_MAX, ExpressionError, Kind, RefusedExpression, compiled
from streams.policy.port import Outcome, Point, Question

PERMIT = '@id("base")\npermit (principal, action, resource);\n'
ASKED = Question(
    Point.ROUTING, "tenant:acme", "route", "svc-a",
    {"region": "eu-west1", "cost_usd_per_hour": 12, "compliance": ("soc2",), "label.team": "core"},
    {"priority": "low", "sensitive": True, "metadata.tier": 1},
)  # fmt: skip


def refused(files: dict[str, str]) -> str:
    with pytest.raises(PolicyLoadError) as caught:
        CedarPolicySet(files)
    return str(caught.value)


def guarded(condition: str, effect: str = "forbid") -> CedarPolicySet:
    return CedarPolicySet({
        "a.cedar": f'{PERMIT}@id("c")\n@condition("{condition}")\n{effect} (principal, action, resource);'
    })  # fmt: skip


# --- at load -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("'pci' in asset.complance", "attribute `complance` of asset is not declared; known: capabilities,"),
        ("context.prio == 'low'", "attribute `prio` of context is not declared"),
        ("asset.cost_usd_per_hour < 20.0", "test it first with has(asset.cost_usd_per_hour)"),
        ("asset.labels['team'] == 'x'", '`team` may be missing: test it first with "team" in asset.labels'),
        ("asset['kind'] == 'queue'", "`asset` is read by name"),
        ("job.priority == 'low'", "unknown name `job`"),
        ("now() > 3", "unknown function `now`"),
        ("timestamp('2020-01-01T00:00:00Z') < timestamp('2021-01-01T00:00:00Z')", "unknown function `timestamp`"),
        ("has(context.sensitive) && context.sensitive == 'yes' + 1", "string + int"),
        ("asset.kind == 'queue' ? 'yes' : 'no'", "the result is str, not that of a condition"),
        ("1.0", "the result is 1.0, not that of a condition"),
        ("asset.kind ==", "Syntax error"),
        ("true" + " || true" * 400, f"the limit is {LENGTH_MAX}"),
    ],
)
def test_what_is_wrong_with_an_expression_is_told_at_load(expression: str, complaint: str) -> None:
    with pytest.raises(RefusedExpression) as caught:
        compiled(expression, Kind.CONDITION)
    assert complaint in str(caught.value)


def test_a_fault_behind_a_comparison_with_a_literal_is_found() -> None:
    with pytest.raises(RefusedExpression, match="No such overload"):
        compiled("has(context.priority) && context.priority == 'low' ? 2 * 1.5 : 0.0", Kind.SOFT)


def test_a_condition_that_is_refused_names_file_line_and_policy() -> None:
    text = PERMIT + '@id("c")\n@reason("x")\n@condition("asset.regoin == \'x\'")\nforbid (principal, action, resource);'
    assert "a.cedar:5: policy c: @condition: attribute `regoin` of asset is not declared" in refused({"a.cedar": text})


def test_a_soft_term_that_is_refused_names_file_line_and_term() -> None:
    text = (
        '// comment; here\n@id("s")\n@weight("0.1")\nprefer {\n  asset.kind == "queue" ||\n  asset.regoin == "x"\n};\n'
    )
    assert "p.cel:6: policy s: attribute `regoin` of asset" in refused({"a.cedar": PERMIT, "p.cel": text})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('@weight("0.1")\nprefer { 1.0 };', "@id is missing"),
        ('@id("s")\nprefer { 1.0 };', "@weight is missing"),
        ('@id("s")\n@weight("1.5")\nprefer { 1.0 };', "@weight is a share above 0 and at most 1"),
        ('@id("s")\n@weight("much")\nprefer { 1.0 };', "@weight is a share"),
        ('@id("s")\n@wieght("0.1")\nprefer { 1.0 };', "unknown annotation @wieght"),
        ('@id("s")\n@weight("0.1")\nprefers { 1.0 };', "comes prefer { <CEL expression> };"),
        ('@id("s")\n@weight("0.1")\nprefer { 1.0 }', "comes prefer { <CEL expression> };"),
        ('@id("base")\n@weight("0.1")\nprefer { 1.0 };', "@id is taken by a.cedar:1"),
        ('@id("s")\n@weight("0.1")\nprefer { 1.0 / 0.0 };', "the result is inf"),
    ],
)
def test_soft_terms_are_checked(text: str, complaint: str) -> None:
    assert complaint in refused({"a.cedar": PERMIT, "p.cel": text})


def test_a_set_of_soft_terms_alone_permits_nothing_and_is_refused() -> None:
    assert "it would deny everything" in refused({"p.cel": '@id("s")\n@weight("0.1")\nprefer { 1.0 };'})


def test_semicolons_and_braces_in_strings_and_comments_cut_nothing() -> None:
    text = '@id("s") @weight("0.1")\n// no; end }\nprefer { asset.id == "a;}" || asset.id == \';\' };'
    (only,) = CedarPolicySet({"a.cedar": PERMIT, "p.cel": text}).soft_terms()
    assert (only.id, only.line, only.weight) == ("s", 1, 0.1)
    assert only.value(replace(ASKED, asset_id="a;}")) == 1.0
    assert only.value(ASKED) == 0.0


# --- conditions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("has(asset.region) && asset.region.startsWith('eu-')", True),
        ("has(asset.cost_usd_per_hour) && asset.cost_usd_per_hour > 12.0", False),
        ("asset.compliance.exists(c, c == 'soc2') && size(asset.compliance) == 1", True),
        ("'team' in asset.labels && asset.labels['team'] == 'core'", True),
        ("'metadata.tier' in context.facts && context.facts['metadata.tier'] == '2'", False),
        ("has(context.sensitive) && context.sensitive && principal == 'tenant:acme'", True),
        ("point == 'routing' && action == 'route' && context.action == action", True),
        ("has(asset.zone)", False),
        ("asset.kind == 'unknown' && asset.environment == ''", True),
    ],
)
def test_a_condition_reads_the_question(condition: str, holds: bool) -> None:
    assert guarded(condition).decide(ASKED).allowed is not holds


def test_a_permit_applies_only_where_its_condition_is_true() -> None:
    text = (
        '@id("c")\n@obligation("notify:x")\n@condition("asset.id == \'svc-a\'")\n'
        "permit (principal, action, resource) // the end;\n;"
    )
    only = CedarPolicySet({"a.cedar": text})
    assert only.decide(ASKED).obligations == ("notify:x",)
    assert only.decide(replace(ASKED, asset_id="svc-b")).outcome is Outcome.DENY


# A load cannot see that some asset's label is no number.
FAILS = "'size' in asset.labels && int(asset.labels['size']) > 3"
ODD = replace(ASKED, attributes={**ASKED.attributes, "label.size": "large"})


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_condition_that_cannot_be_evaluated_is_a_deny_with_its_own_outcome(effect: str) -> None:
    answer = guarded(FAILS, effect).decide(ODD)
    assert answer.outcome is Outcome.ERROR
    assert "@condition of `c` (a.cedar:3): Function 'int' error" in answer.reason
    assert guarded(FAILS, effect).decide(ASKED).allowed


def test_a_failed_condition_of_a_policy_that_has_no_part_in_it_changes_nothing() -> None:
    text = f'{PERMIT}@id("c")\n@condition("{FAILS}")\nforbid (principal, action == Action::"admission", resource);'
    assert CedarPolicySet({"a.cedar": text}).decide(ODD).outcome is Outcome.ALLOW


def test_a_failed_permit_does_not_hide_a_real_deny() -> None:
    deny = '@id("no")\n@reason("never")\nforbid (principal, action, resource);\n'
    text = f'{deny}@id("c")\n@condition("{FAILS}")\npermit (principal, action, resource);'
    answer = CedarPolicySet({"a.cedar": text}).decide(ODD)
    assert (answer.outcome, [v.id for v in answer.verdicts]) == (Outcome.DENY, ["no"])


def test_a_context_of_the_wrong_type_is_an_error_of_the_condition() -> None:
    odd = replace(ASKED, context={"sensitive": "yes"})
    assert guarded("has(context.sensitive) && context.sensitive").decide(odd).outcome is Outcome.ERROR


# --- values --------------------------------------------------------------------------------------------------------


def test_a_soft_value_is_held_to_0_and_1() -> None:
    cost = compiled("has(asset.cost_usd_per_hour) ? asset.cost_usd_per_hour - 11.5 : -3", Kind.SOFT)
    assert cost.value(ASKED) == 0.5
    assert cost.value(replace(ASKED, attributes={"cost_usd_per_hour": 100.0})) == 1.0
    assert cost.value(replace(ASKED, attributes={})) == 0.0


def test_the_same_reading_is_evaluated_once_and_an_error_stays_one() -> None:
    expression = compiled(FAILS, Kind.SOFT)
    for _ in range(3):
        with pytest.raises(ExpressionError, match="Function 'int' error"):
            expression.value(ODD)
        assert expression.value(replace(ASKED, attributes={"label.size": "4"})) == 1.0
    assert len(expression._results) == 2
    for n in range(5_000):
        expression.value(replace(ASKED, attributes={"label.size": str(n)}))
    assert len(expression._results) <= 4_096


def test_a_zero_below_zero_is_zero_whatever_was_asked_before() -> None:
    """Results are kept by what was read, and -0.0 equals 0.0: the first one asked decided for both."""

    def answers(*costs: float) -> list[float]:
        expression = compiled("has(asset.cost_usd_per_hour) && 1.0 / asset.cost_usd_per_hour > 0.0", Kind.SOFT)
        return [expression.value(replace(ASKED, attributes={"cost_usd_per_hour": cost})) for cost in costs]

    assert answers(0.0, -0.0) == answers(-0.0, 0.0) == [1.0, 1.0]
