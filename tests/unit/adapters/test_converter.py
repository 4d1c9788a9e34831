"""What a converter keeps and forgets: the same samples however messages are batched, and after a restart."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from recorded import MOST, SETTINGS, collectd, converter, otlp, remote_write, samples

from schemas import columns
from streams.adapters import identity
from streams.adapters.buckets import MOST_BUCKETS, explicit, exponential
from streams.adapters.converter import Converter, named
from streams.adapters.formats import read
from streams.adapters.identity import asset_of
from streams.adapters.points import Distribution, Kind, Number, Origin, Reading, attributes_from
from streams.adapters.rounds import Figure
from streams.adapters.rows import MOST_ROW_BYTES, Rows
from streams.adapters.settings import OTLP_IDENTITY, IntakeSettings

T0 = 1_700_000_000_000
RECORDED = {
    "otlp": [*otlp("otlp_proto", "checkout-1"), *otlp("otlp_json", "checkout-2")],
    "collectd": collectd("command"),
    "remote-write": remote_write(),
}


@pytest.mark.parametrize("form", RECORDED)
def test_a_takeover_between_any_two_messages_changes_nothing(form: str) -> None:
    at_once = samples(form, RECORDED[form])
    stored: dict[bytes, bytes] = {}
    found: list[Figure] = []
    for message in RECORDED[form]:
        anew = Converter(SETTINGS, Rows(SETTINGS.state_rows, stored.items()))
        found += anew.take(read(form, message, SETTINGS, MOST))
        for key, row in anew.rows.take_changes().items():
            if row is None:
                stored.pop(key, None)
            else:
                stored[key] = row
    assert found == at_once


def level(value: str, at: int = T0) -> Number:
    return Number(Origin("a", "m", "", (("id", value),)), at, 1.0)


def test_a_label_with_ids_in_it_cannot_make_series_without_end() -> None:
    by = converter(IntakeSettings(attribute_sets=10))
    found = by.take(Reading([level(str(i)) for i in range(1000)]))
    assert len(found) == 10
    assert by.counts["over_attribute_sets"] == 990
    assert len(by.take(Reading([level("3", T0 + 1), level("999", T0 + 1)]))) == 1


def test_an_attribute_set_that_was_silent_for_a_day_makes_room() -> None:
    by = converter(IntakeSettings(attribute_sets=2))
    by.take(Reading([level("old"), level("older")]))
    assert len(by.take(Reading([level("new", T0 + 86_400_000)]))) == 1


def test_attributes_of_any_length_stay_apart_and_small() -> None:
    long = [attributes_from({"k": "x" * 5_000 + end}) for end in "ab"]
    assert all(len(attributes[0][1]) < 50 for attributes in long)
    assert long[0] != long[1]
    assert attributes_from({"b": "2", "a": "1"}) == (("a", "1"), ("b", "2"))


def test_a_row_that_no_broker_takes_is_forgotten_and_not_stored() -> None:
    rows = Rows(10)
    rows.put("big", [T0, "x" * MOST_ROW_BYTES])
    rows.put("small", [T0, 1])
    assert rows.take_changes() == {b"big": None, b"small": b"[1700000000000,1]"}
    assert rows.get("big") is None


def test_a_distribution_with_more_buckets_than_a_row_takes_keeps_its_mean() -> None:
    bounds = [float(i) for i in range(MOST_BUCKETS + 1)]
    assert explicit(bounds, [1] * (len(bounds) + 1)) is None
    assert exponential(0, (0, 0.0), (-600, [1] * 500), (-600, [1] * 500)) is not None
    assert exponential(3, (0, 0.0), (-600, [1] * 1_500), (-600, [1] * 1_500)) is None


def test_the_longest_silent_totals_are_forgotten_first() -> None:
    settings = IntakeSettings(state_rows=100)
    by = converter(settings)

    def total(series: int, at: int) -> Number:
        return Number(Origin("a", f"m{series}"), at, 1.0, Kind.TOTAL)

    by.take(Reading([total(i, T0) for i in range(101)]))
    assert len(by.rows) == 100
    changes = by.rows.take_changes()
    assert sum(row is None for row in changes.values()) == 1
    assert len(by.take(Reading([total(0, T0 + 1000), total(100, T0 + 1000)]))) == 1


def test_a_series_whose_clock_was_a_day_off_goes_on_when_it_is_right_again() -> None:
    def total(at: int, value: float) -> Number:
        return Number(Origin("a", "m"), at, value, Kind.TOTAL)

    day_ms = 86_400_000
    times = [(0, 0.0), (10_000, 10.0), (day_ms, 20.0), (20_000, 30.0), (30_000, 40.0), (29_000, 40.0)]
    found = converter().take(Reading([total(T0 + at, value) for at, value in times]))
    assert [(f.at - T0, f.value) for f in found] == [(10_000, 1.0), (30_000, 1.0)]


def test_labels_that_every_series_has_are_left_out_of_names() -> None:
    assert attributes_from({"prometheus": "k8s/main", "code": "200"}, SETTINGS.ignored_attributes) == (("code", "200"),)


def test_durations_that_two_metrics_report_are_counted_where_they_are_not_given_out() -> None:
    by = converter()
    origins = [Origin("a", name, "s") for name in ("http.server.duration", "http.server.request.duration")]
    points = [Distribution(origin, T0, 10.0, 2.0, None, running=False, start=T0 - 10_000) for origin in origins]
    found = by.take(Reading(list(points), whole=True))
    assert [(f.metric, f.value) for f in found] == [("throughput_per_s", 1.0), ("latency_ms", 200.0)]
    assert by.counts == {"samples": 2, "reported_twice": 1}


def test_a_figure_of_ours_has_one_owner() -> None:
    def cpu(metric: str, at: int) -> list[Number]:
        parts = (("idle", 0.5), ("user", 0.5))
        return [Number(Origin("a", metric, "1", (("state", s),)), at, v) for s, v in parts]

    by = converter()
    both = Reading(cpu("system.cpu.utilization", T0) + cpu("cpu.percent", T0), whole=True)
    assert [f.metric for f in by.take(both)].count("utilization") == 1
    other = Reading(cpu("cpu.percent", T0 + 700_000), whole=True)
    assert [f.metric for f in by.take(other)].count("utilization") == 1


def test_parts_that_come_on_several_partitions_never_give_half_a_figure() -> None:
    """collectd without a key: this partition sees idle in one round and user in the next."""
    by = converter()
    found: list[Figure] = []
    for at, state, value in ((0, "idle", 0.5), (1, "user", 0.5), (2, "idle", 0.5), (3, "idle", 0.5), (4, "user", 0.5)):
        point = Number(Origin("a", "cpu.percent", "1", (("type", state),)), T0 + at * 1000, value)
        found += by.take(Reading([point]))
    assert [f.value for f in found if f.metric == "utilization"] == [0.5]


@pytest.mark.parametrize(
    ("attributes", "asset"),
    [
        ({"service.name": "pay", "host.name": "h"}, "pay"),
        ({"service.namespace": "shop", "service.name": "pay", "service.instance.id": "1"}, "shop/pay/1"),
        ({"service.name": "unknown_service:python", "host.name": "h"}, "h"),
        ({"k8s.namespace.name": "n", "k8s.pod.name": "p", "host.name": "h"}, "n/p"),
        ({"k8s.namespace.name": "n", "k8s.deployment.name": "d"}, "n/d"),
        ({"cloud.resource_id": "arn:x", "host.name": "h"}, "arn:x"),
        ({"maestro.asset.id": "mine", "service.name": "pay"}, "mine"),
        ({}, "nobody"),
        ({"host.name": "h" * 600}, ""),
    ],
)
def test_the_order_of_identity(attributes: dict[str, str], asset: str) -> None:
    assert asset_of(OTLP_IDENTITY, attributes, "nobody") == asset


def test_the_greatest_length_of_a_name_is_said_in_two_places_alike() -> None:
    assert identity.NAME_MAX_LENGTH == columns.NAME_MAX_LENGTH


@pytest.mark.parametrize("rule", ["", "a//b", "a?", "a?/b?"])
def test_a_rule_that_names_nothing_is_refused(rule: str) -> None:
    with pytest.raises(ValidationError):
        IntakeSettings(otlp_identity=(rule,))


def test_names_that_no_record_takes_are_cut_and_stay_apart() -> None:
    long = [named("m", (("k", "x" * 600 + end),)) for end in "ab"]
    assert all(len(name) <= 512 for name in long)
    assert long[0] != long[1]
