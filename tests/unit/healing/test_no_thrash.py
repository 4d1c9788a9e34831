"""Actions an asset-hour under default settings: hours of made telemetry through the engines, in event time."""

from __future__ import annotations

import pytest

from topology.bench.healing import event_time
from topology.bench.healing.loads import LOADS

HOURS = 2.0
A_SERVER_AN_HOUR = 6
"""Well for 600 s before it is given back, and 30 s for the proof: no more than five failovers fit into an hour, and one
of the hour before. The budget (10) is not what bounds it."""
A_POOL = {
    "quiet": 0.05,
    "noisy": 0.15,
    "flapping": 0.1,
    "flapping-minutes": 0.1,
    "flapping-half-hours": 0.1,
    "storm": 0.3,
}
"""Actions an asset-hour over all twenty servers: about twice what is measured."""


def test_every_load_has_a_bound():
    assert set(A_POOL) == set(LOADS)


@pytest.mark.parametrize("name", A_POOL)
def test_actions_an_asset_hour_are_few_under_default_settings(name):
    (row,) = event_time.figures(HOURS, 1.0, [name])
    assert row["most_actions_of_an_asset_in_an_hour"] <= A_SERVER_AN_HOUR, row
    assert row["actions_an_asset_hour"] <= A_POOL[name], row
    assert row["undone"] <= row["actions"], row
    if name not in ("quiet", "noisy"):
        assert row["actions"] > 0, "an ill server is acted on"
        assert row["undone"] > 0, "and takes work again once it has been well for long enough"


def test_the_same_seed_gives_the_same_figures_and_another_one_others():
    rows = [next(event_time.figures(0.5, 1.0, ["noisy"], seed)) for seed in (6, 6, 7)]
    assert rows[0] == rows[1]
    played = [event_time.played(LOADS["noisy"], 0.5, 1.0, seed).acted for seed in (6, 7)]
    assert played[0] != played[1]
