"""Cedar policy sets: what is refused at load, who wins, what an error does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.records import Asset, AssetKind, Capability, RegisteredAsset
from streams.policy.attributes import asset_attributes, environment_of
from streams.policy.cedar import CedarPolicySet, PolicyLoadError, content_version
from streams.policy.directory import load_directory, read_directory
from streams.policy.port import Outcome, Point, Question
from streams.policy.vocabulary import SCHEMA_TEXT, declared, principal, schema

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "policies"
PERMIT = '@id("base")\n@reason("normal")\npermit (principal, action, resource);\n'
ALPHA = Asset(id="svc-alpha", kind=AssetKind.MICROSERVICE, compliance=("soc2", "hipaa"), cost_usd_per_hour=28.0)
ROUTE = Question(Point.ROUTING, "acme", "route", "svc-alpha", asset_attributes(ALPHA))


def refused(files: dict[str, str]) -> str:
    with pytest.raises(PolicyLoadError) as caught:
        CedarPolicySet(files)
    return str(caught.value)


def test_a_misspelt_attribute_names_file_line_and_policy() -> None:
    text = PERMIT + '\n@id("pci")\nforbid (principal, action, resource)\nwhen { resource.complance.contains("pci") };\n'
    assert "rules.cedar:7: policy pci: attribute `complance`" in refused({"rules.cedar": text})


def test_every_fault_of_every_file_is_told_at_once() -> None:
    message = refused({
        "a.cedar": "permit (principal, action, resource);",
        "b.cedar": '@id("x")\n@resaon("typo")\npermit (principal, action, resource);',
        "c.cedar": '@id("y")\npermit (principal, action == Action::"rute", resource);',
        "d.cedar": '@id("z")\nforbid (principal, action, resource) when { ',
        "e.cedar": '@id("t")\npermit (principal == ?principal, action, resource);',
    })  # fmt: skip
    assert "a.cedar:1: policy (without @id): @id is missing" in message
    assert "b.cedar:1: policy x: unknown annotation @resaon" in message
    assert "c.cedar:2: policy y: unrecognized action" in message
    assert "d.cedar:1: policy z" in message
    assert "e.cedar:1: policy (without @id): a template" in message


@pytest.mark.parametrize(
    ("annotation", "complaint"),
    [
        ('@severity("huge")', "@severity is one of low, medium, high, critical"),
        ('@obligation("max_cost:cheap")', "max_cost needs a number"),
        ('@obligation("notfy:x")', "unknown obligation 'notfy'"),
    ],
)
def test_annotations_are_checked(annotation: str, complaint: str) -> None:
    assert complaint in refused({"a.cedar": f'@id("a")\n{annotation}\npermit (principal, action, resource);'})


def test_an_obligation_on_a_forbid_is_refused() -> None:
    assert "binds nobody" in refused(
        {"a.cedar": '@id("a")\n@obligation("notify:x")\nforbid (principal, action, resource);'}
    )


def test_an_id_is_unique_over_all_files() -> None:
    assert "b.cedar:1: policy base: @id is taken by a.cedar:1" in refused({"a.cedar": PERMIT, "b.cedar": PERMIT})


@pytest.mark.parametrize("files", [{}, {"a.cedar": ""}, {"a.cedar": "// only; a comment\n"}])
def test_an_empty_set_is_refused(files: dict[str, str]) -> None:
    assert "remove the set instead" in refused(files)


def test_semicolons_in_strings_and_comments_do_not_cut_a_policy() -> None:
    head = '// a; b\n@id("a")\n@reason("x; \\"y\\"; z") // c;\n'
    text = head + 'permit (principal, action, resource) when { context.action != ";" };'
    only = CedarPolicySet({"a.cedar": text}).statements
    assert [(s.id, s.line, s.reason) for s in only] == [("a", 2, 'x; "y"; z')]


def test_a_deny_wins_over_a_permit_and_says_why() -> None:
    deny = (
        '@id("no")\n@reason("not today")\n@severity("high")\nforbid (principal, action == Action::"routing", resource);'
    )
    policies = CedarPolicySet({"a.cedar": PERMIT + deny})
    answer = policies.decide(ROUTE)
    assert answer.outcome is Outcome.DENY
    assert [(v.id, v.version, v.allowed) for v in answer.verdicts] == [("no", policies.version, False)]
    assert answer.reason == f"no@{policies.version}: not today (severity high)"
    assert policies.decide(replace(ROUTE, point=Point.ADMISSION)).allowed


def test_no_permit_is_a_deny_that_names_the_question() -> None:
    answer = CedarPolicySet({"a.cedar": '@id("f")\nforbid (principal, action, resource) when { false };'}).decide(ROUTE)
    assert answer.outcome is Outcome.DENY
    assert "no policy permits routing of route on svc-alpha for acme" in answer.reason


def test_obligations_of_every_permit_that_applies_are_united() -> None:
    two = '@id("p2")\n@obligation("notify:ops; max_cost:12")\npermit (principal, action, resource);'
    three = '@id("p3")\n@obligation("notify:ops")\npermit (principal, action, resource);'
    elsewhere = '@id("p4")\n@obligation("redact:token")\npermit (principal, action == Action::"admission", resource);'
    answer = CedarPolicySet({"a.cedar": two, "b.cedar": three, "c.cedar": elsewhere}).decide(ROUTE)
    assert answer.obligations == ("max_cost:12", "notify:ops")


def test_an_evaluation_error_is_a_deny_with_its_own_outcome() -> None:
    overflow = '@id("ovf")\nforbid (principal, action, resource) when { 9223372036854775807 + 1 == 0 };'
    answer = CedarPolicySet({"a.cedar": PERMIT + overflow}).decide(ROUTE)
    assert answer.outcome is Outcome.ERROR
    assert not answer.allowed
    assert "`ovf` (a.cedar:4)" in answer.reason


@pytest.mark.parametrize(
    ("name", "value"), [("sensitive", 1), ("score", float("nan")), ("sensitive", "yes"), ("score", True)]
)
def test_a_context_value_of_the_wrong_type_is_an_error(name: str, value: float | str) -> None:
    asked = replace(ROUTE, context={name: value})
    assert CedarPolicySet({"a.cedar": PERMIT}).decide(asked).outcome is Outcome.ERROR


def test_undeclared_facts_and_labels_can_be_read_as_tags() -> None:
    text = (
        '@id("a")\npermit (principal, action, resource) when { context.facts.hasTag("metadata.tier") && '
        'context.facts.getTag("metadata.tier") == "1" && resource.hasTag("label.team") };'
    )
    policies = CedarPolicySet({"a.cedar": text})
    labelled = asset_attributes(ALPHA.model_copy(update={"labels": {"team": "x"}}))
    assert policies.decide(replace(ROUTE, attributes=labelled, context={"metadata.tier": 1})).allowed
    assert not policies.decide(replace(ROUTE, attributes=labelled)).allowed
    assert not policies.decide(replace(ROUTE, context={"metadata.tier": 1})).allowed


def test_huge_numbers_are_held_at_cedars_limit() -> None:
    condition = 'context has score && context.score.greaterThan(decimal("1.0"))'
    text = f'@id("a")\npermit (principal, action, resource) when {{ {condition} }};'
    assert CedarPolicySet({"a.cedar": text}).decide(replace(ROUTE, context={"score": 1e300})).allowed


def test_an_unknown_asset_is_asked_about_with_what_is_known() -> None:
    assert (
        CedarPolicySet({"a.cedar": PERMIT})
        .decide(Question(Point.ACTION_PLANNED, "healing", "failover", "nobody"))
        .allowed
    )


def test_principals_are_layers_or_tenants() -> None:
    text = '@id("a")\npermit (principal == Layer::"healing", action, resource);'
    policies = CedarPolicySet({"a.cedar": text})
    assert policies.decide(replace(ROUTE, principal="healing")).allowed
    assert not policies.decide(replace(ROUTE, principal="tenant:healing")).allowed
    assert principal("layer:x") == {"type": "Layer", "id": "x"}
    assert principal("a:b") == {"type": "Tenant", "id": "a:b"}


def test_the_version_is_the_content() -> None:
    assert (
        content_version({"a": "1", "b": "2"}) == content_version({"b": "2", "a": "1"}) != content_version({"a": "12"})
    )
    assert CedarPolicySet({"a.cedar": PERMIT}).version != CedarPolicySet({"a.cedar": PERMIT + "\n"}).version


def test_every_asset_attribute_that_is_given_is_declared_or_a_tag() -> None:
    full = RegisteredAsset(
        id="a", name="n", kind=AssetKind.QUEUE, cloud="aws", region="r", zone="z", failure_domain="f", tenant="t",
        owner="o", version="1", labels={"env": "prod"}, capabilities=(Capability(name="c"),), compliance=("soc2",),
        data_regions=("eu",), capacity_units=2.0, cost_usd_per_hour=0.0, carbon_g_per_kwh=1.0,
    )  # fmt: skip
    given = asset_attributes(full)
    assert set(given) - {"label.env"} == set(declared("Asset"))
    assert given["cost_usd_per_hour"] == 0.0, "a cost of zero is known, not missing"
    assert environment_of(full) == "prod"


def test_every_declared_type_is_one_that_we_can_say() -> None:
    schema()
    assert set(declared("Asset").values()) | set(declared("Situation").values()) - {"Facts"} <= {
        "String", "Bool", "decimal", "Set<String>",
    }  # fmt: skip
    assert SCHEMA_TEXT.count("appliesTo") == len(Point)


@pytest.mark.parametrize("point", list(Point))
def test_every_decision_point_can_be_asked_about(point: Point) -> None:
    assert CedarPolicySet({"a.cedar": PERMIT}).decide(replace(ROUTE, point=point)).allowed


# --- the example set ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example() -> CedarPolicySet:
    return load_directory(EXAMPLES)


def test_example_a_sensitive_job_needs_hipaa(example: CedarPolicySet) -> None:
    beta = asset_attributes(Asset(id="svc-beta", compliance=("soc2",)))
    assert example.decide(replace(ROUTE, context={"sensitive": True})).allowed
    denied = example.decide(replace(ROUTE, attributes=beta, context={"sensitive": True}))
    assert [v.id for v in denied.verdicts] == ["sensitive-needs-hipaa"]
    assert example.decide(replace(ROUTE, attributes=beta, context={"sensitive": False})).allowed


def test_example_no_failover_in_maintenance(example: CedarPolicySet) -> None:
    resting = asset_attributes(ALPHA.model_copy(update={"labels": {"maintenance": "true"}}))
    asked = Question(Point.ACTION_EXECUTED, "healing", "failover", "svc-alpha", resting)
    assert [v.id for v in example.decide(asked).verdicts] == ["no-failover-in-maintenance"]
    assert example.decide(replace(asked, action="restart")).allowed
    assert example.decide(replace(asked, attributes=asset_attributes(ALPHA))).allowed


def test_example_weak_scale_in_in_production(example: CedarPolicySet) -> None:
    attributes = {**asset_attributes(ALPHA), "environment": "production", "owner": "team-a"}
    asked = Question(Point.RECOMMENDATION, "optimisation", "scale_in", "svc-alpha", attributes, {"confidence": 0.79})
    assert not example.decide(asked).allowed
    assert example.decide(replace(asked, context={"confidence": 0.8})).allowed


def test_example_obligations_come_with_an_expensive_asset(example: CedarPolicySet) -> None:
    assert example.decide(ROUTE).obligations == ("max_cost:50", "notify:finops")


# --- reading a folder -----------------------------------------------------------------------------------------------


def test_a_folder_is_walked_and_names_are_relative(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.cedar").write_text(PERMIT)
    (tmp_path / "readme.txt").write_text("no policy")
    assert read_directory(tmp_path) == {"sub/b.cedar": PERMIT}


@pytest.mark.parametrize("missing", [True, False])
def test_a_folder_without_policies_is_refused(tmp_path: Path, missing: bool) -> None:
    with pytest.raises(PolicyLoadError, match="no such folder" if missing else "no \\*.cedar file"):
        read_directory(tmp_path / "nowhere" if missing else tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.cedar").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyLoadError, match=r"a\.cedar.*cannot be read"):
        load_directory(tmp_path)


def test_only_the_context_that_a_set_speaks_of_is_told_and_all_of_it_is_checked() -> None:
    text = '@id("a")\npermit (principal, action, resource) when { context has priority && context.priority == "low" };'
    policies = CedarPolicySet({"a.cedar": text})
    low = replace(ROUTE, context={"priority": "low", "job_type": "render", "score": 1.0})
    assert policies.decide(low).allowed
    assert not policies.decide(replace(low, context={"priority": "high"})).allowed
    assert policies.decide(replace(low, context={"priority": "low", "score": "high"})).outcome is Outcome.ERROR


def test_an_asset_that_changes_is_asked_about_as_it_is_now() -> None:
    text = '@id("a")\npermit (principal, action, resource) when { resource.compliance.contains("hipaa") };'
    policies = CedarPolicySet({"a.cedar": text})
    for names, allowed in ((("hipaa",), True), ((), False), (("hipaa", "soc2"), True)):
        asset = ALPHA.model_copy(update={"compliance": names})
        assert policies.decide(replace(ROUTE, attributes=asset_attributes(asset))).allowed is allowed
