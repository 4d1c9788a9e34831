"""A soft term over columns is what the interpreter says of each candidate, to the bit; errors are left to it."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policy.cel_columns import columnar
from streams.policy.cel_syntax import Outside, tree
from streams.policy.expressions import Expression, ExpressionError, Kind, compiled
from streams.policy.facts import reads
from streams.policy.population import Candidates, Population
from streams.policy.port import Point, Question

FIGURES = ("asset.cost_usd_per_hour", "asset.carbon_g_per_kwh", "context.cost_usd_per_hour", "context.data_gb")
TEXTS = ("asset.region", "asset.kind", "asset.id", "asset.labels['team']", "asset.labels.pool", "context.priority",
         "context.facts['metadata.tier']", "principal", "action", "point")  # fmt: skip
OPTIONAL = (*FIGURES, "asset.region", "asset.labels.team", "context.priority", "context.sensitive")
WORDS = ("eu", "us", "core", "svc-1", "low", "tenant:a", "route", "")
SETS = ("asset.compliance", "asset.data_regions", "context.compliance", "asset.labels")
numbers = st.sampled_from(["0.0", "1.0", "0.1", "1000.0", "2.5", "1e308", "1.0e308", "3.0", "-0.0", "-2.5"])
wholes = st.sampled_from(["0", "1", "-3", "9007199254740992"])
words = st.sampled_from(WORDS).map(lambda word: f"'{word}'")


def among(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(*parts)


@cache
def doubles(depth: int) -> st.SearchStrategy[str]:
    leaf = among(st.sampled_from(FIGURES), numbers)
    if not depth:
        return leaf
    inner = doubles(depth - 1)
    return among(
        leaf,
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("{} {} {} {} {}".format, leaf, st.sampled_from("+-*/"), leaf, st.sampled_from("+-*/"), leaf),
        st.builds("-({})".format, inner),
        st.builds("({} ? {} : {})".format, truths(depth - 1), inner, inner),
    )


@cache
def truths(depth: int) -> st.SearchStrategy[str]:
    text = among(st.sampled_from(TEXTS), words)
    leaf = among(
        st.sampled_from(["true", "false", "context.sensitive"]),
        st.sampled_from(OPTIONAL).map("has({})".format),
        st.builds("{} {} {}".format, text, st.sampled_from(["==", "!="]), text),
        st.builds("{} in {}".format, words, st.sampled_from(SETS)),
        st.builds("{} in [{}, {}]".format, text, words, words),
        st.builds("{} in context.data_regions".format, text),
    )
    if not depth:
        return leaf
    both = st.sampled_from(["&&", "||"])
    inner, order = truths(depth - 1), st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    return among(
        leaf,
        st.builds("{} {} {}".format, doubles(depth - 1), order, among(doubles(depth - 1), wholes)),
        st.builds("(({}) {} ({}))".format, inner, st.sampled_from(["&&", "||", "==", "!="]), inner),
        st.builds("{} {} {} {} {}".format, leaf, both, leaf, both, leaf),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    )  # fmt: skip


expressions = among(
    doubles(3), truths(3), st.builds("{} ? {} : {}".format, truths(2), doubles(2), wholes),
    st.builds("{} ? {} : {} ? {} : {}".format, truths(1), doubles(1), truths(1), doubles(1), doubles(1)),
)  # fmt: skip
figures = st.sampled_from([0.0, -0.0, 0.1, 0.5, 1.0, 3, 700.0, -2.5, 1e308, 5e-324, float("inf"), float("nan"), "odd"])
attributes = st.fixed_dictionaries({}, optional={
    "kind": st.sampled_from(["service", "eu"]), "region": st.sampled_from(["eu", "us", "", 7]),
    "compliance": st.sampled_from([(), ("eu",), ("eu", "low"), "odd"]),
    "data_regions": st.sampled_from([(), ("eu", "us")]),
    "cost_usd_per_hour": figures, "carbon_g_per_kwh": figures,
    "label.team": st.sampled_from(["core", "eu"]), "label.pool": st.sampled_from(["core", "", 1.5, True]),
})  # fmt: skip
contexts = st.fixed_dictionaries({}, optional={
    "priority": st.sampled_from(["low", "eu"]), "sensitive": st.sampled_from([True, False, "odd"]),
    "data_gb": figures, "compliance": st.sampled_from([(), ("eu",)]),
    "data_regions": st.sampled_from([("eu",), ("core", "low")]),
    "metadata.tier": st.sampled_from(["eu", 1, True]),
})  # fmt: skip
costs = st.sampled_from([float("nan"), 0.0, -0.0, 0.5, 12.0, float("inf")])


def expression_of(text: str) -> Expression:
    """As `compiled` makes it, without the check at load: that refuses what is not guarded, which is what is tried."""
    import cel

    read, faults = reads(text)
    assert not faults
    return Expression(text, Kind.SOFT, cel.compile(text), read, columnar(text, read))


def answers(expression: Expression, asked: list[Question]) -> list[bytes | None]:
    """The bits of each value; None = an error."""
    out: list[bytes | None] = []
    for question in asked:
        try:
            out.append(struct.pack("d", expression.value(question)))
        except ExpressionError:
            out.append(None)
    return out


@settings(max_examples=1_500)
@given(expressions, st.lists(st.tuples(attributes, costs), min_size=1, max_size=6), contexts)
def test_columns_and_interpreter_agree_to_the_bit(text, assets, context) -> None:
    expression = expression_of(text)
    assert expression.columns is not None, "the strategy stays within what is computed over columns"
    population = Population(lambda place: (f"svc-{place}", assets[place][0]), lambda: len(assets))
    everyone = Question(Point.ROUTING, "tenant:a", "route", "", {}, context)
    cost = np.array([c for _, c in assets])
    places = np.arange(len(assets))
    values, sure = expression.columns.values(Candidates(population, places, everyone, {"cost_usd_per_hour": cost}))
    asked = [
        Question(Point.ROUTING, "tenant:a", "route", f"svc-{i}", own,
                 {**context, **({} if np.isnan(c) else {"cost_usd_per_hour": c})})
        for i, (own, c) in enumerate(assets)
    ]  # fmt: skip
    for value, certain, told in zip(values.tolist(), sure.tolist(), answers(expression, asked), strict=True):
        assert not certain or struct.pack("d", value) == told, text


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 5), attributes), max_size=20), expressions)
def test_columns_that_follow_changes_equal_columns_made_at_once(changes, text) -> None:
    expression = expression_of(text)
    assert expression.columns is not None
    assets: dict[int, dict] = {0: {}}
    everyone = Question(Point.ROUTING, "tenant:a", "route", "", {}, {"priority": "low"})

    def seen(population: Population) -> tuple[list[float], list[bool]]:
        candidates = Candidates(population, np.array(sorted(assets)), everyone)
        values, sure = expression.columns.values(candidates)
        return np.where(sure, values, 0.0).tolist(), sure.tolist()

    def described(place: int):
        return (f"svc-{place}", assets[place]) if place in assets else None

    followed = Population(described, lambda: max(assets) + 1)
    for place, own in changes:
        seen(followed)
        assets[place] = own
        followed.changed(place)
        assert seen(followed) == seen(Population(described, lambda: max(assets) + 1))


def test_what_a_guard_makes_certain_is_not_asked_of_the_interpreter() -> None:
    text = "has(asset.carbon_g_per_kwh) ? 1.0 - asset.carbon_g_per_kwh / 1000.0 : 0.0"
    expression = compiled(text, Kind.SOFT)
    population = Population(lambda i: (f"svc-{i}", {"carbon_g_per_kwh": 250.0} if i else {}), lambda: 2)
    everyone = Question(Point.ROUTING, "tenant:a", "route", "")
    assert expression.columns is not None
    values, sure = expression.columns.values(Candidates(population, np.array([0, 1, 1]), everyone))
    assert values.tolist() == [0.0, 0.75, 0.75]
    assert sure.all()


@pytest.mark.parametrize(
    "text",
    ["asset.kind.startsWith('eu') ? 1.0 : 0.0", "size(asset.compliance) > 1", "asset.compliance.exists(c, c == 'x')",
     "'a\\n' == asset.kind", "asset.kind < 'm'", "'a' + asset.kind == 'b'", "asset.kind == r'x'",
     "1 + 1 == 2", "1u == 1u"],
)  # fmt: skip
def test_what_is_outside_is_left_to_the_interpreter(text) -> None:
    assert columnar(text, reads(text)[0]) is None
    compiled(text, Kind.SOFT)


@pytest.mark.parametrize("text", ["(" * 60 + "true" + ")" * 60, "-" * 200 + "1.0", "1.0 +", "asset", "a b", "'x", "[]"])
def test_what_cannot_be_read_is_outside_and_never_an_error_of_ours(text) -> None:
    with pytest.raises(Outside):
        tree(text)
