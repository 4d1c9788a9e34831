"""The ledger of budgets: sums that depend on what stands, not on the order in which it was told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Spending
from streams.kit.layer import Event
from streams.kit.ledger import Ledger, micro_usd
from streams.kit.world import World

SCOPES, LAYERS = ("*", "tenant:a", "tenant:b"), ("healing", "routing")


def entry(layer="healing", usd=3, unregistered=0, scopes=("*",)):
    return Spending(
        layer=layer, scopes=scopes, micro_usd_per_hour=micro_usd(usd),
        unregistered_micro_usd_per_hour=micro_usd(unregistered), cause_id="c", reason="because", at=0,
    )  # fmt: skip


def sums(ledger):
    return {
        (scope, layer): (ledger.spent(scope, layer), ledger.unregistered(scope)) for scope in SCOPES for layer in LAYERS
    }


entries = st.builds(
    entry,
    layer=st.sampled_from(LAYERS),
    usd=st.integers(0, 50),
    unregistered=st.integers(0, 50),
    scopes=st.lists(st.sampled_from(SCOPES), max_size=4).map(tuple),
)
histories = st.lists(st.tuples(st.sampled_from("wxyz"), st.none() | entries), max_size=30)


def test_the_newest_record_of_a_key_counts_and_a_tombstone_takes_it_out():
    ledger = Ledger()
    ledger.see("a", entry(usd=3))
    ledger.see("b", entry(usd=4, unregistered=4, scopes=("*", "tenant:a")))
    ledger.see("a", entry(usd=5))
    assert (ledger.spent("*", "healing"), ledger.spent("tenant:a", "healing")) == (9_000_000, 4_000_000)
    assert (ledger.unregistered("*"), ledger.spent("*", "routing"), ledger.spent("asset:x", "healing")) == (
        4_000_000,
        0,
        0,
    )
    for key in ("a", "b", "b", "never there"):
        ledger.see(key, None)
    assert ledger == Ledger()


@settings(max_examples=200, deadline=None)
@given(history=histories, seed=st.randoms(use_true_random=False))
def test_keys_may_come_in_any_order_and_again_and_no_sum_is_negative(history, seed):
    """The order within a key is kept by its partition; all else may interleave, and be told twice."""
    one, other = Ledger(), Ledger()
    for key, value in history:
        one.see(key, value)
        assert min(min(pair) for pair in sums(one).values()) >= 0
    of_keys = {key: [value for k, value in history if k == key] for key in "wxyz"}
    left = [key for key, _ in history]
    seed.shuffle(left)
    for key in left:
        value = of_keys[key].pop(0)
        other.see(key, value)
        other.see(key, value)
    assert (sums(one), one._sums) == (sums(other), other._sums)


def test_the_world_keeps_it_and_takes_nothing_else_for_an_entry():
    world = World()
    for value in (entry(usd=2), entry(usd=2)):
        world.see(Event("spending", "k", value, 0, "c"))
    assert world.ledger.spent("*", "healing") == 2_000_000
    world.see(Event("spending", "k", None, 0, "c"))
    assert world.ledger.spent("*", "healing") == 0


@pytest.mark.parametrize("field", ["micro_usd_per_hour", "unregistered_micro_usd_per_hour"])
def test_a_negative_amount_is_refused_with_its_record(field):
    with pytest.raises(ValueError, match=field):
        Spending.model_validate(entry().model_dump() | {field: -1})
