"""Prometheus remote write: the real server's requests, histograms in pieces, stale series, bad requests."""

from __future__ import annotations

import struct

import cramjam
import pytest
from recorded import MOST, SETTINGS, converter, remote_write, samples, values

from schemas.errors import DecodeError, Reason, TooLarge, Undecodable
from streams.adapters.formats import read
from streams.adapters.native import STALE
from streams.adapters.prom_messages import request_class
from streams.adapters.remote_write import unpacked
from streams.adapters.settings import IntakeSettings

T0 = 1_700_000_000_000
ME = {"job": "shop", "instance": "a:9"}
Series = tuple[str, dict[str, str], float, int]


def body(*series: Series, types: dict[str, int] | None = None) -> bytes:
    request = request_class()()
    for name, labels, value, at in series:
        added = request.timeseries.add()
        for key, text in {"__name__": name, **labels}.items():
            added.labels.add(name=key, value=text)
        added.samples.add(value=value, timestamp=at)
    for name, kind in (types or {}).items():
        request.metadata.add(metric_family_name=name, type=kind)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def histogram(at: int, counts: tuple[int, int, int], total: float) -> list[Series]:
    """Cumulative counts of le 0.1, 1, +Inf."""
    buckets = [
        ("d_seconds_bucket", ME | {"le": le}, float(n), at) for le, n in zip(("0.1", "1", "+Inf"), counts, strict=True)
    ]
    return [*buckets, ("d_seconds_sum", ME, total, at), ("d_seconds_count", ME, float(counts[2]), at)]


def test_the_real_server_s_requests_give_the_contract_s_figures() -> None:
    """100 requests a second of 20 to 100 ms, a tenth of them failures; 200 jobs a second; batches of 104.5 bytes."""
    found = samples("remote-write", remote_write())
    assert {figure.asset_id for figure in found} == {"shop/127.0.0.1:39202"}
    assert values(found, "latency_ms") == pytest.approx([60.0] * 2, rel=0.02)
    assert values(found, "throughput_per_s") == pytest.approx([100.0] * 2, rel=0.1)
    assert values(found, "error_rate") == pytest.approx([0.1] * 2, abs=0.005)
    assert values(found, "jobs_per_s")[1] == pytest.approx(200.0, rel=0.1)
    assert values(found, "batch_size_bytes_mean")[0] == pytest.approx(104.5)
    assert set(values(found, "queue_depth")) == {4.0}


def test_stale_series_end_without_a_sample() -> None:
    by = converter()
    samples("remote-write", remote_write(), by=by)
    assert by.counts["ended"] == 20


def test_a_stale_counter_begins_anew() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", STALE))[0]
    points = [("a_total", ME, v, T0 + i * 1000) for i, v in enumerate((5.0, 7.0, stale, 90.0, 93.0))]
    assert values(samples("remote-write", [body(p) for p in points]), "a_per_s") == [2.0, 3.0]


def test_any_other_nan_is_no_value_and_infinity_is_refused() -> None:
    reading = read("remote-write", body(("a", ME, float("nan"), T0), ("b", ME, float("inf"), T0)), SETTINGS, MOST)
    assert reading.points == []
    assert [fault.code for fault in reading.faults] == [Reason.NOT_FINITE]


def test_a_histogram_cut_by_the_end_of_a_request_is_put_together() -> None:
    first, second = histogram(T0, (1, 2, 3), 4.0), histogram(T0 + 10_000, (11, 22, 23), 14.0)
    whole = samples("remote-write", [body(*first), body(*second)])
    assert values(whole, "d_seconds_per_s") == [2.0]
    assert values(whole, "d_seconds_mean") == [0.5]
    assert values(whole, "d_seconds_p50") == [0.1]
    for cut in range(1, len(second)):
        assert samples("remote-write", [body(*first), body(*second[:cut]), body(*second[cut:])]) == whole


def test_parts_of_a_histogram_that_give_no_figure_are_counted() -> None:
    by = converter()
    first, second = histogram(T0, (1, 2, 3), 4.0), histogram(T0 + 10_000, (11, 22, 23), 14.0)
    created = ("d_seconds_created", ME, 1.7e9, T0)
    alone = [("x_sum", ME, 1.0, T0 + i * 1000) for i in range(3)]
    samples("remote-write", [body(*first), body(*second), body(first[0]), body(created), *map(body, alone)], by=by)
    assert by.counts == {"samples": 5, "first_or_late": 2, "creation_times": 1, "incomplete": 2}


def test_metadata_says_what_the_name_does_not() -> None:
    jumps = [("switches", ME, 100.0, T0), ("switches", ME, 150.0, T0 + 10_000)]
    told = samples("remote-write", [body(types={"switches": 1}), *map(body, jumps)])
    assert [(f.metric, f.value) for f in told] == [("switches_per_s", 5.0)]
    assert values(samples("remote-write", map(body, jumps)), "switches") == [100.0, 150.0]
    level = ("open_total", ME, 9.0, T0)
    assert values(samples("remote-write", [body(types={"open_total": 2}), body(level)]), "open_total") == [9.0]


def test_metadata_of_requests_of_their_own_says_the_unit_that_a_name_does_not() -> None:
    request = request_class()()
    for name, kind, unit in (
        ("heat", 2, "seconds"),
        ("jobs", 1, "bytes"),
        ("d_seconds", 3, "seconds"),
        ("d", 3, "seconds"),
    ):
        request.metadata.add(metric_family_name=name, type=kind, unit=unit)
    told = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))

    def scrape(at: int, n: int) -> bytes:
        long = [(f"d{s}", ME, v, at) for s, v in (("_sum", n * 2.0), ("_count", float(n)))]
        return body(("heat", ME, 2.0, at), ("jobs_total", ME, n * 1.0, at), *histogram(at, (n, n, n), n * 0.5), *long)

    bodies = [scrape(T0, 10), scrape(T0 + 10_000, 30)]
    found = {f.metric: (f.unit, f.value) for f in samples("remote-write", [told, *bodies])}
    assert found["heat"] == ("ms", 2000.0)
    assert found["jobs_per_s"] == ("bytes/s", 2.0)
    assert found["d_seconds_mean"] == ("s", 0.5)
    assert found["d_mean"] == ("ms", 2000.0)
    without = {f.metric: (f.unit, f.value) for f in samples("remote-write", bodies)}
    assert (without["heat"], without["d_mean"]) == (("", 2.0), ("", 2.0))


def test_identity_comes_from_the_labels_that_the_setting_names() -> None:
    settings = IntakeSettings(remote_write_identity=("namespace/pod", "job"))
    labels = {"namespace": "shop", "pod": "pay-1", "job": "k8s", "code": "200"}
    [found] = samples("remote-write", [body(("up", labels, 1.0, T0))], settings)
    assert (found.asset_id, found.metric) == ("shop/pay-1", "up{code=200}")


def test_node_exporter_s_memory_is_our_figure() -> None:
    def scrape(at: int) -> bytes:
        names = (("node_memory_MemAvailable_bytes", 25.0), ("node_memory_MemTotal_bytes", 100.0))
        return body(*((name, ME, value, at) for name, value in names))

    found = samples("remote-write", [scrape(T0 + i * 1000) for i in range(3)])
    assert values(found, "memory_utilization") == [0.75]


@pytest.mark.parametrize(
    ("series", "words"),
    [(("", ME, 1.0, T0), "no __name__"), (("a", ME, 1.0, -1), "between 1970"), (("x" * 600, ME, 1.0, T0), "__name__")],
)
def test_one_bad_series_loses_one(series: Series, words: str) -> None:
    reading = read("remote-write", body(("ok", ME, 1.0, T0), series), SETTINGS, MOST)
    assert len(reading.points) == 1
    assert words in reading.faults[0].message


@pytest.mark.parametrize("data", [b"not snappy at all", bytes(cramjam.snappy.compress_raw(b"\xff" * 20)), b"\x00"])
def test_what_is_no_request_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        read("remote-write", data, SETTINGS, MOST)


def test_a_small_body_that_unpacks_to_much_is_refused_before_it_is_unpacked() -> None:
    bomb = bytes(cramjam.snappy.compress_raw(bytes(1_000_000)))
    with pytest.raises(TooLarge):
        unpacked(bomb, 100_000)
    with pytest.raises(DecodeError):
        unpacked(b"\xff\xff\xff\xff\x0f" + bomb[3:], 100_000)


def test_type_and_unit_as_labels_are_not_attributes_but_type_and_unit() -> None:
    """As Prometheus sends them with `type-and-unit-labels`, in either version."""
    told = ME | {"__type__": "counter", "__unit__": "bytes"}
    jumps = [("switches", told, 100.0, T0), ("switches", told, 150.0, T0 + 10_000)]
    found = samples("remote-write", map(body, jumps))
    assert [(f.metric, f.unit, f.value) for f in found] == [("switches_per_s", "bytes/s", 5.0)]
    other = body(("heat", ME | {"__type__": "stateset", "__unit__": ""}, 2.0, T0))
    assert [(f.metric, f.unit) for f in samples("remote-write", [other])] == [("heat", "")]
