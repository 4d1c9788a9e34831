"""Prometheus remote write 1.0 and 2.0 to points: a snappy block with a request of either (its bytes on the topic).

Labels of a series are its identity (setting `intake.remote_write_identity`) and its attributes. What a number means is
in the metric's name and in metadata: in 1.0 they come in requests of their own, see `prom_types`; in 2.0 with the
series, whose texts are numbers of symbols. A bad series or a bad sample costs itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cramjam
from google.protobuf.message import DecodeError as ProtobufError

from schemas.columns import NAME_MAX_LENGTH
from schemas.errors import Reason, TooLarge, Undecodable
from streams.adapters.identity import asset_of
from streams.adapters.native import is_stale, native
from streams.adapters.points import UNIT_MAX_LENGTH, Origin, Reading, Untyped, attributes_from, time_fault
from streams.adapters.prom_messages import request_class
from streams.adapters.settings import IntakeSettings

MAX_PLAIN_BYTES = 33_554_432
TYPES = {1: "counter", 2: "gauge", 3: "histogram", 4: "gaugehistogram", 5: "summary"}
UNITS = {"seconds": "s", "bytes": "By", "ratio": "1", "percent": "%", "celsius": "Cel", "watts": "W"}
TOLD_UNITS = UNITS | {"volts": "V", "amperes": "A", "joules": "J", "hertz": "Hz", "kelvin": "K", "meters": "m"}
"""Prometheus' words for base units; of a metric's name only the usual ones are looked for."""


class Told(NamedTuple):
    """What a 2.0 request says of a series beside its labels: type, unit, and when it began (UTC ms)."""

    kind: str = ""
    unit: str = ""
    created: int = 0


def read_remote_write(data: bytes, settings: IntakeSettings) -> Reading:
    """The points of one request body. Raises Undecodable or TooLarge."""
    request = request_class()()
    try:
        request.ParseFromString(unpacked(data))
    except ProtobufError as error:
        raise Undecodable(f"not a remote write request: {error}") from error
    first, second = request.timeseries or request.metadata, request.symbols or request.series
    if bool(first) == bool(second):
        what = "series of 1.0 and of 2.0 in one" if first else "neither series nor metadata in it"
        raise Undecodable(f"not a remote write request: {what}")
    return _read_second(request, settings) if second else _read_first(request, settings)


def unpacked(data: bytes, max_bytes: int = MAX_PLAIN_BYTES) -> bytes:
    """The bytes of a snappy block; the size it claims is looked at before it is believed."""
    try:
        size = cramjam.snappy.decompress_raw_len(data)
        if size > max_bytes:
            raise TooLarge(f"{size} bytes when unpacked, the limit is {max_bytes}")
        return bytes(cramjam.snappy.decompress_raw(data))
    except (cramjam.DecompressionError, ValueError) as error:
        raise Undecodable(f"not a snappy block: {error}") from error


def _read_first(request: Any, settings: IntakeSettings) -> Reading:
    told = [m for m in request.metadata if len(m.metric_family_name) <= NAME_MAX_LENGTH]
    reading = Reading(version=1)
    reading.types = {m.metric_family_name: TYPES[m.type] for m in told if m.type in TYPES}
    reading.units = {m.metric_family_name: told_unit(m.unit) for m in told if m.unit}
    for number, series in enumerate(request.timeseries):
        labels = {label.name: label.value for label in series.labels}
        _read_series(series, labels, Told(), f"series {number}", settings, reading)
    return reading


def _read_second(request: Any, settings: IntakeSettings) -> Reading:
    symbols = list(request.symbols)
    if not request.series:
        raise Undecodable("not a remote write request: no series in it")
    if symbols[:1] != [""]:
        raise Undecodable("not a remote write request: its symbols do not begin with an empty one")
    reading = Reading(version=2)
    for number, series in enumerate(request.series):
        try:
            labels = labels_of(series.labels_refs, symbols)
            unit = told_unit(_symbols([series.metadata.unit_ref], symbols)[0])
        except ValueError as error:
            reading.refuse(f"series {number}", Reason.INVALID, str(error))
            continue
        told = Told(TYPES.get(series.metadata.type, ""), unit, series.created)
        _read_series(series, labels, told, f"series {number}", settings, reading)
    return reading


def labels_of(refs: Sequence[int], symbols: Sequence[str]) -> dict[str, str]:
    """ValueError for what are no names with a value each."""
    if len(refs) % 2:
        raise ValueError(f"{len(refs)} references to labels: a name without a value")
    texts = _symbols(refs, symbols)
    labels = dict(zip(texts[::2], texts[1::2], strict=True))
    if 2 * len(labels) != len(texts):
        raise ValueError("a label has two values")
    return labels


def _symbols(refs: Sequence[int], symbols: Sequence[str]) -> list[str]:
    beyond = [ref for ref in refs if ref >= len(symbols)]
    if beyond:
        raise ValueError(f"symbol {beyond[0]} is none of {len(symbols)}")
    return [symbols[ref] for ref in refs]


def _read_series(
    series: Any, labels: dict[str, str], told: Told, place: str, settings: IntakeSettings, reading: Reading
) -> None:
    name, told = labels.pop("__name__", ""), _told_by(labels, told)
    asset_id = asset_of(settings.remote_write_identity, labels, settings.unidentified_asset)
    if not asset_id or not 0 < len(name) <= NAME_MAX_LENGTH:
        what = "no __name__" if asset_id else "no asset: see intake.remote_write_identity"
        reading.refuse(place, Reason.INVALID, what)
        return
    known = {part.rstrip("?") for rule in settings.remote_write_identity for part in rule.split("/")}
    attributes = attributes_from({k: v for k, v in labels.items() if k not in known}, settings.ignored_attributes)
    origin = Origin(asset_id, name, unit_in(name) or told.unit, attributes)
    for sample in series.samples:
        _read_sample(sample, origin, told, f"{place}, {name}", reading)
    for histogram in series.histograms:
        _read_histogram(histogram, origin, told, f"{place}, {name}", reading)


def _told_by(labels: dict[str, str], told: Told) -> Told:
    """Type and unit that come as labels (Prometheus' `type-and-unit-labels`), taken out; the metadata stands first."""
    kind, unit = labels.pop("__type__", ""), told_unit(labels.pop("__unit__", ""))
    return told._replace(kind=told.kind or (kind if kind in TYPES.values() else ""), unit=told.unit or unit)


def _read_sample(sample: Any, origin: Origin, told: Told, place: str, reading: Reading) -> None:
    at, value = sample.timestamp, sample.value
    if (wrong := time_fault(at)) is not None:
        reading.refuse(place, Reason.TIME_OUT_OF_RANGE, wrong)
        return
    if math.isinf(value):
        reading.refuse(place, Reason.NOT_FINITE, f"value {value} is not a finite number")
        return
    reading.written["samples"] += 1
    if not math.isnan(value) or is_stale(value):
        known = None if math.isnan(value) else value
        reading.points.append(Untyped(origin, at, known, told.kind, _start(sample, told)))


def _read_histogram(histogram: Any, origin: Origin, told: Told, place: str, reading: Reading) -> None:
    if (wrong := time_fault(histogram.timestamp)) is not None:
        reading.refuse(place, Reason.TIME_OUT_OF_RANGE, wrong)
    elif math.isinf(histogram.sum):
        reading.refuse(place, Reason.NOT_FINITE, f"sum {histogram.sum} is not a finite number")
    else:
        try:
            reading.points.append(native(origin, histogram, _start(histogram, told)))
            reading.written["histograms"] += 1
        except ValueError as error:
            reading.refuse(place, Reason.INVALID, str(error))


def _start(sample: Any, told: Told) -> int:
    """When the total began, 0 = not told. One that is not before its sample tells nothing."""
    start = int(sample.start) or told.created
    return start if 0 < start < sample.timestamp else 0


def unit_in(name: str) -> str:
    """The unit that a metric's name says by Prometheus' convention (base units, in front of `_total`)."""
    for ending in ("_total", "_sum", "_bucket"):
        name = name.removesuffix(ending)
    return UNITS.get(name.rpartition("_")[2], "")


def told_unit(unit: str) -> str:
    """A unit of metadata as other senders write it."""
    return TOLD_UNITS.get(unit, unit)[:UNIT_MAX_LENGTH]
