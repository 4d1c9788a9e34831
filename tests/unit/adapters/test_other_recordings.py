"""Recordings of real clients: every data point in their bytes is a figure, or said to be held back.

Those of the tests, and those that are kept beside the checkout (`../shared/data/clients`), if they are there.
"""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import pytest
from raw_points import lost_points
from recorded import collectd, converter, otlp, remote_write, samples

BESIDE = Path(__file__).parents[3].parent / "shared" / "data" / "clients"


@pytest.mark.parametrize(
    ("form", "bodies"),
    [
        *(("otlp", otlp(f"otlp_{encoding}", f"checkout-{n}")) for encoding in ("proto", "json") for n in (1, 2)),
        ("collectd", collectd("json")),
        ("remote-write", remote_write()),
    ],
)
def test_no_point_is_dropped_without_a_word(form: str, bodies: list[bytes]) -> None:
    by = converter()
    found = samples(form, bodies, by=by)
    assert lost_points(form, bodies, found) == ([], by.counts["first_or_late"] + by.counts["creation_times"])


def test_what_is_dropped_without_a_word_is_found() -> None:
    bodies = remote_write()
    by = converter()
    found = samples("remote-write", bodies, by=by)
    level = next(i for i, figure in enumerate(found) if not figure.metric.partition("{")[0].endswith("_per_s"))
    wrong, held = lost_points("remote-write", bodies, found[:level] + found[level + 1 :])
    assert len(wrong) == 1
    assert held == by.counts["first_or_late"] + by.counts["creation_times"] + 1


@pytest.mark.skipif(not BESIDE.is_dir(), reason="no recordings beside the checkout")
@pytest.mark.parametrize(
    ("name", "form", "assets"),
    [
        ("otlp_proto", "otlp", {"unidentified", "checkout/checkout-1"}),
        ("otlp_json", "otlp", {"unidentified", "checkout/checkout-1"}),
        ("collectd", "collectd", {"asset-7"}),
        ("remote_write", "remote-write", {"node/127.0.0.1:39100"}),
    ],
)
def test_all_is_read_without_a_fault_with_identity_and_units(name: str, form: str, assets: set[str]) -> None:
    lines = [json.loads(line) for line in (BESIDE / f"{name}.jsonl").read_text().splitlines()]
    bodies = [base64.b64decode(line.get("value") or line["body"]) for line in lines]
    by = converter()
    found = samples(form, bodies, by=by)
    assert lost_points(form, bodies, found) == ([], by.counts["first_or_late"] + by.counts["creation_times"])
    assert set(by.counts) <= {"samples", "first_or_late", "unknown_unit"}
    assert len(found) > len(lines)
    assert {figure.asset_id for figure in found} == assets
    assert {figure.unit for figure in found} <= {"", "1", "1/s", "ms", "s", "bytes", "bytes/s"}
    assert all(math.isfinite(figure.value) for figure in found)
