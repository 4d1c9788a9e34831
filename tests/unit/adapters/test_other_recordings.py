"""Every message of recordings that are kept beside the checkout (`../shared/data/clients`), if they are there."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path

import pytest
from recorded import samples

BESIDE = Path(__file__).parents[3].parent / "shared" / "data" / "clients"


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
    found = samples(form, bodies)
    assert len(found) > len(lines)
    assert {figure.asset_id for figure in found} == assets
    assert {figure.unit for figure in found} <= {"", "1", "1/s", "ms", "s", "bytes", "bytes/s"}
    assert all(math.isfinite(figure.value) for figure in found)
