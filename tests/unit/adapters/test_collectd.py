"""collectd's three formats, as the real plugin wrote them, and lines that are wrong."""

from __future__ import annotations

import json

import pytest
from recorded import MOST, SETTINGS, collectd, samples, values

from schemas.errors import Reason, Undecodable
from streams.adapters.formats import read
from streams.adapters.points import Number
from streams.adapters.settings import IntakeSettings

ENTRY = {
    "values": [1.5], "dstypes": ["gauge"], "dsnames": ["value"], "time": 1_700_000_000.5, "interval": 1.0,
    "host": "h", "plugin": "load", "plugin_instance": "", "type": "load", "type_instance": "",
}  # fmt: skip


def with_rates(stores: bool) -> IntakeSettings:
    return IntakeSettings(collectd_stores_rates=stores)


@pytest.mark.parametrize(
    ("form", "stores_rates"), [("json", True), ("totals", False), ("command", True), ("graphite", True)]
)
def test_every_format_of_the_real_plugin_gives_the_same_figures(form: str, stores_rates: bool) -> None:
    """Command carries totals whatever `StoreRates` says; times of Graphite are whole seconds."""
    found = samples("collectd", collectd(form), with_rates(stores_rates))
    assert {figure.asset_id for figure in found} == {"recorded-host"}
    rates = [f for f in found if f.metric == "interface.if_octets.rx_per_s{instance=lo}"]
    assert [f.unit for f in rates] == ["bytes/s"] * 2
    assert [f.value for f in rates] == pytest.approx([21478.98, 14308.33], rel=0.001)
    assert values(found, "utilization") == pytest.approx([0.0352], abs=0.001)
    assert values(found, "memory_utilization")[0] == pytest.approx(0.02256, abs=0.001)
    assert values(found, "cpu.percent{type=idle}")[0] == pytest.approx(0.9188, abs=0.001)
    assert values(found, "load.shortterm")


def test_null_nan_and_u_are_no_value() -> None:
    nothing = json.dumps([{**ENTRY, "values": [None]}]).encode()
    for message in (
        nothing,
        b"h.load.load.shortterm nan 1700000000\r\n",
        b"PUTVAL h/load/load interval=1 1700000000:U:U:U",
    ):
        reading = read("collectd", message, SETTINGS, MOST)
        assert (reading.points, reading.faults) == ([], [])


def test_instances_are_attributes_and_names_with_blanks_are_quoted() -> None:
    line = b'PUTVAL "my host/df-root x/df_complex-free" interval=10.000 1700000000.250:5'
    [point] = read("collectd", line, SETTINGS, MOST).points
    assert isinstance(point, Number)
    assert (point.origin.asset_id, point.origin.metric, point.at) == ("my host", "df.df_complex", 1_700_000_000_250)
    assert point.origin.attributes == (("instance", "root x"), ("type", "free"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"values": ["high"]}, Reason.INVALID),
        ({"values": [True]}, Reason.INVALID),
        ({"values": [1.0, 2.0]}, Reason.INVALID),
        ({"host": ""}, Reason.INVALID),
        ({"plugin": None}, Reason.INVALID),
        ({"time": -5.0}, Reason.TIME_OUT_OF_RANGE),
        ({"time": 1.7e18}, Reason.TIME_OUT_OF_RANGE),
        ({"time": "noon"}, Reason.INVALID),
    ],
)
def test_one_bad_value_list_loses_one(change: dict[str, object], code: Reason) -> None:
    message = json.dumps([ENTRY, {**ENTRY, **change}, ENTRY]).encode()
    reading = read("collectd", message, SETTINGS, MOST)
    assert len(reading.points) == 2
    assert [(fault.code) for fault in reading.faults] == [code]


def test_infinity_is_refused() -> None:
    reading = read("collectd", b"h.load.load inf 1700000000\nh.load.load 1 1700000000", SETTINGS, MOST)
    assert [fault.code for fault in reading.faults] == [Reason.NOT_FINITE]
    assert len(reading.points) == 1


@pytest.mark.parametrize("data", [b"[", b"[5]x", b"\xff\xfe", b"hello", b"PUTVAL", b"\n\n", b"a.b 1 2 3"])
def test_what_is_none_of_the_formats_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        read("collectd", data, SETTINGS, MOST)
