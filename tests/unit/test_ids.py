"""Ids are the same on every machine, whatever the parts hold."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kit import ids

PARTS = st.lists(st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.none()), max_size=5)


@settings(max_examples=200, deadline=None)
@given(kind=st.text(max_size=8), parts=PARTS)
def test_an_id_is_the_digest_of_the_plain_json_array(kind: str, parts: list[str | int | None]) -> None:
    array = json.dumps([kind, *parts], ensure_ascii=False, separators=(",", ":"))
    assert ids.derive(kind, *parts) == f"{kind}-{hashlib.sha256(array.encode()).hexdigest()[:20]}"


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.text(), max_size=4))
def test_a_tie_break_is_the_digest_of_the_plain_json_array(parts: list[str]) -> None:
    array = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    assert ids.tie_break(*parts) == int.from_bytes(hashlib.sha256(array.encode()).digest()[:8], "big")


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.text(), max_size=4))
def test_a_row_key_is_the_plain_json_array(parts: list[str]) -> None:
    assert ids.row_key(*parts) == json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    assert ids.row_parts(ids.row_key(*parts)) == parts


def test_a_row_prefix_takes_the_keys_of_one_kind() -> None:
    keys = [ids.row_key(*parts) for parts in (("series", "a"), ("serie", "s"), ("series,", "a"), ("seriess", "a"))]
    assert [key for key in keys if key.startswith(ids.row_prefix("series"))] == [ids.row_key("series", "a")]


@pytest.mark.parametrize(
    "parts", [("a:b", "c"), ("a", "b:c"), ("a,b", "c"), ('a"', '","c'), ("a", "b", "c"), ("\x7f\x1f",)]
)
def test_no_separator_makes_two_causes_one(parts: tuple[str, ...]) -> None:
    others = {("a:b", "c"), ("a", "b:c"), ("a,b", "c"), ('a"', '","c'), ("a", "b", "c"), ("\x7f\x1f",)} - {parts}
    assert ids.derive("x", *parts) not in {ids.derive("x", *other) for other in others}
