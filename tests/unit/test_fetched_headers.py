"""Headers in the bytes that a broker sends, short and long ones, come back as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.wire import content_type
from streams.atleastonce.fetched import read_headers, write_headers

sizes = st.sampled_from([0, 1, 63, 64, 65, 127, 128, 9_000])
values = st.none() | st.binary(max_size=70) | sizes.map(bytes)
names = st.text(max_size=70) | sizes.map(lambda size: "n" * size)


@given(st.lists(st.tuples(names, values), max_size=70))
def test_headers_are_read_as_they_were_written(headers):
    assert read_headers(write_headers(headers)) == tuple(headers)


@given(st.lists(st.tuples(names, st.binary(max_size=70)), min_size=1, max_size=4), st.integers(1, 40))
def test_headers_that_are_cut_short_are_no_endless_loop(headers, missing):
    data = write_headers(headers)
    try:
        found = read_headers(data[: max(0, len(data) - missing)])
    except (IndexError, ValueError):
        return
    assert len(found) == len(headers)


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
def test_the_content_type_is_found_in_any_case(name):
    assert (
        content_type([("content-typ", b"no"), (name, b"Avro/Binary; v=1"), ("content-types", b"no")]) == "avro/binary"
    )
