"""Who is in a scope: what a report writes does not grow with the scope, and no member is lost where rows are split."""

from __future__ import annotations

import random

from streams.discovery.draft import Cause, Draft
from streams.discovery.state import MemberRow, Row, Sighting, decode, encode
from streams.kit.ids import row_key, tie_break
from streams.kit.world import World

CAUSE = Cause("cmdb:dc", "discovery-events:1", 1_700_000_000_000)


def report(rows: dict[str, Row], asset_id: str, sighting: Sighting | None) -> int:
    """One report, and the bytes that it writes."""
    draft = Draft(rows, World(), CAUSE)
    draft.put_sighting("cmdb:dc", "all", asset_id, sighting)
    changed = draft.step().rows
    for key, row in changed.items():
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row
    return sum(len(key) + len(encode(row)) for key, row in changed.items() if row is not None)


def members(rows: dict[str, Row]) -> list[tuple[str, Sighting]]:
    return list(Draft(rows, World(), CAUSE).members("cmdb:dc", "all"))


def test_a_report_writes_as_much_in_a_scope_of_many_as_in_one_of_few() -> None:
    rows: dict[str, Row] = {}
    ids = [f"fleet/asset-{n:06d}" for n in range(60_000)]
    for asset_id in ids:
        report(rows, asset_id, Sighting(CAUSE.at, 1, 1))
    again = [report(rows, asset_id, Sighting(CAUSE.at + 1, 2, 1)) for asset_id in ids[::100]]
    assert max(again) < 3_000
    assert members(rows) == sorted(
        (i, Sighting(CAUSE.at + (n % 100 == 0), 1 + (n % 100 == 0), 1)) for n, i in enumerate(ids)
    )


def test_members_are_those_of_a_plain_model_whatever_comes_and_goes() -> None:
    chance, rows, model = random.Random(4), {}, {}
    for step in range(40_000):
        asset_id = f"a-{chance.randrange(15_000)}"
        seen = None if chance.random() < 0.3 else Sighting(CAUSE.at + step, step, 1)
        report(rows, asset_id, seen)
        if seen is None:
            model.pop(asset_id, None)
        else:
            model[asset_id] = seen
    assert members({key: decode(encode(row)) for key, row in rows.items()}) == sorted(model.items())
    for asset_id in model:
        report(rows, asset_id, None)
    assert members(rows) == []


def test_a_row_of_before_with_many_members_is_split_when_one_of_them_is_reported() -> None:
    ids = [i for i in (f"a-{n}" for n in range(150_000)) if tie_break(i) % 256 == 7]
    seen = {i: Sighting(CAUSE.at, 1, 1) for i in ids}
    row = encode(MemberRow(source="cmdb:dc", scope="all", sightings=seen))
    of_before = row.replace(b'"version":4', b'"version":3')
    assert of_before != row
    rows = {row_key("members", "cmdb:dc", "all", "7"): decode(of_before)}
    assert members(rows) == sorted(seen.items())
    report(rows, ids[5], Sighting(CAUSE.at + 1, 2, 1))
    assert report(rows, ids[5], Sighting(CAUSE.at + 2, 2, 1)) < 3_000
    assert members(rows) == sorted({**seen, ids[5]: Sighting(CAUSE.at + 2, 2, 1)}.items())
