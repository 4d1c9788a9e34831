"""One asset in full, and what differs between two registries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.records import Conflict, RegisteredAsset, SourceState
from topology.cli import app
from topology.cli.asset_views import described, differences, find


def registry(*assets: RegisteredAsset) -> dict[str, RegisteredAsset]:
    return {asset.id: asset for asset in assets}


ORDERS = RegisteredAsset(
    id="orders",
    region="eu",
    aliases=("consul:eu/orders",),
    provenance={"region": "k8s:prod"},
    conflicts=(Conflict(field="region", source="cmdb:main", value='"us"'),),
    depends_on=("db", "gone"),
    sources=(SourceState(source="k8s:prod", fresh_at=1_700_000_000_000, complete=True, stale=True),),
)
ALL = registry(ORDERS, RegisteredAsset(id="db"), RegisteredAsset(id="page", depends_on=("orders",)))


def test_an_asset_is_found_by_any_of_its_ids() -> None:
    assert find(ALL, "orders") is ORDERS
    assert find(ALL, "consul:eu/orders") is ORDERS
    assert find(ALL, "cart") is None


def test_an_asset_in_full_says_who_says_what_and_what_it_hangs_together_with() -> None:
    assert list(described(ORDERS, ALL)) == [
        "orders is registered, also consul:eu/orders",
        '  kind: "unknown"',
        '  region: "eu"  (k8s:prod)',
        '  cmdb:main says region: "us"',
        "  depends on db",
        "  depends on gone, which is not in the registry",
        "  is used by page",
        "  source k8s:prod, confirmed 2023-11-14 22:13:20 UTC (stale)",
    ]


def test_what_differs_is_told_by_field_and_a_confirmation_is_no_difference() -> None:
    confirmed = ORDERS.model_copy(update={"sources": (SourceState(source="k8s:prod", fresh_at=1_700_000_060_000),)})
    moved = ORDERS.model_copy(update={"region": "us", "conflicts": ()})
    assert not list(differences(registry(ORDERS), registry(confirmed)))
    found = list(differences(ALL, registry(moved, RegisteredAsset(id="cart"), ALL["page"])))
    assert [(d.change, d.asset_id) for d in found] == [("added", "cart"), ("removed", "db"), ("changed", "orders")]
    assert found[2].fields["region"] == ('"eu"', '"us"')
    assert found[2].line().startswith('changed  orders: region "eu" -> "us"')
    assert json.loads(found[2].json())["fields"]["region"] == ["eu", "us"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a", "--unknown"), "one at a time"),
        (("--diff", "/nowhere/registry.jsonl"), "/nowhere/registry.jsonl: cannot be read"),
        (("--diff", "FILE"), "registry.jsonl:2: is no asset"),
    ],
)
def test_what_cannot_be_compared_is_said_before_a_broker_is_asked(
    arguments: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    saved = tmp_path / "registry.jsonl"
    saved.write_text('{"id":"a"}\n{"region":1}\n')
    given = [str(saved) if argument == "FILE" else argument for argument in arguments]
    refused = CliRunner().invoke(app, ["assets", "--broker", "127.0.0.1:1", *given])
    assert refused.exit_code == 2
    assert says in refused.stderr
