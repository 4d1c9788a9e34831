"""What a request carries: records for topics, or why it is refused. Pure.

| path | body | goes to |
|---|---|---|
| `/v1/metrics` | OTLP/HTTP, protobuf or JSON | the topic of adapter otlp |
| `/api/v1/write` | Prometheus remote write 1.0, 2.0 | the topic of adapter remote-write |
| `/events` | CloudEvents: structured, batched, binary | health-signals |
| `/signals` | JSON lines of HealthSignal or HealthSignalBatch | health-signals |

Totals become rates in the adapters, which have the state for it: here a body is checked and passed on as it is. It is
keyed by the address it came from, so that one sender's series stay on one partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from pydantic_core import from_json

from schemas.columns import SampleColumns
from schemas.errors import DecodeError, TooLarge, Undecodable
from schemas.samples import decode_samples, encode_samples
from schemas.structured_events import BATCHED, STRUCTURED, opened
from schemas.wire import Headers, Wire, content_type
from streams.adapters.formats import read
from streams.adapters.points import Fault, told
from streams.adapters.settings import IntakeSettings
from streams.atleastonce.batch import Output
from topology.receiver.bodies import inflated

SIGNALS = "health-signals"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
WRITTEN: Mapping[str, int] = {"prometheus.WriteRequest": 1, "io.prometheus.write.v2.Request": 2}
"""Messages of remote write by the parameter `proto` of its content type; without one it is the first."""


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` with lower-case names; `peer` = the address it came from."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: str

    @property
    def media_type(self) -> str:
        return content_type(self.headers) or ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a record on a topic, and of a body when unpacked; and where the formats go."""

    record_bytes: int
    unpacked_bytes: int
    topics: Mapping[str, str]
    intake: IntakeSettings


@dataclass(slots=True)
class Taken:
    """What is to be published, and what of the request was refused (the rest is good)."""

    outputs: list[Output] = field(default_factory=list)
    refused: list[Fault] = field(default_factory=list)
    written: Mapping[str, int] | None = None
    """Samples and histograms that are good, where the sender's protocol has a place for it."""


class WrongMediaType(DecodeError):
    """Not a form that the path takes (415)."""


def take(request: Request, limits: Limits) -> Taken:
    """Raises DecodeError if there is nothing in it to publish; KeyError for a path that takes nothing."""
    return PATHS[request.path](request, limits)


def _otlp(request: Request, limits: Limits) -> Taken:
    if request.media_type not in (PROTOBUF, JSON):
        raise WrongMediaType(f"content-type {request.media_type!r} is neither {PROTOBUF} nor {JSON}")
    body = inflated(request.body, request.headers.get("content-encoding", ""), limits.unpacked_bytes)
    if not body:
        return Taken()  # protobuf writes a request without metrics as no bytes
    return _foreign("otlp", body, request, limits)


def _remote_write(request: Request, limits: Limits) -> Taken:
    wanted = request.headers.get("content-type", PROTOBUF)
    version = WRITTEN.get(_parameter(wanted, "proto") or "prometheus.WriteRequest")
    if request.media_type not in ("", PROTOBUF) or version is None:
        raise WrongMediaType(f"content-type {wanted!r}: taken are {PROTOBUF} with proto = {' or '.join(WRITTEN)}")
    if request.headers.get("content-encoding", "snappy") != "snappy":
        raise WrongMediaType("content-encoding must be snappy")
    return _foreign("remote-write", request.body, request, limits, version)


def _parameter(content_type: str, name: str) -> str:
    """Of a content type, "" = it has none of this name."""
    pairs = (part.partition("=") for part in content_type.split(";")[1:])
    return next((value.strip().strip('"') for given, _, value in pairs if given.strip().lower() == name), "")


def _foreign(name: str, body: bytes, request: Request, limits: Limits, version: int = 0) -> Taken:
    """Checked as the adapter will read it, and passed on as it is."""
    if len(body) > limits.record_bytes:
        raise TooLarge(f"{len(body)} bytes, a record takes {limits.record_bytes}: send smaller batches")
    try:
        reading = read(name, body, limits.intake, limits.record_bytes)
    except Undecodable:
        if name == "otlp" and body.strip() in (b"{}", b'{"resourceMetrics":[]}'):
            return Taken()
        raise
    if reading.version != version:
        raise Undecodable(f"the body is remote write {reading.version}.0, its content-type says {version}.0")
    headers = (("content-type", (request.media_type or PROTOBUF).encode()),)
    taken = Taken([Output(limits.topics[name], request.peer.encode(), body, headers)], reading.faults)
    taken.written = reading.written if version == 2 else None
    return taken


def _events(request: Request, limits: Limits) -> Taken:
    """One event or a batch of them; the record in each as on a topic. In a batch a bad event costs itself."""
    if request.media_type == BATCHED:
        return _batched(request, limits)
    if request.media_type != STRUCTURED and "ce-specversion" not in request.headers:
        raise WrongMediaType(f"neither {STRUCTURED} nor {BATCHED} nor headers ce-*: no CloudEvent")
    taken = Taken()
    _signal(request.body, dict(request.headers), "event", limits, taken)
    return taken


def _batched(request: Request, limits: Limits) -> Taken:
    try:
        events: object = from_json(request.body)
    except ValueError as error:
        raise Undecodable(f"not JSON: {error}") from error
    if not isinstance(events, list):
        raise Undecodable("a batch of CloudEvents is a JSON array")
    taken = Taken()
    for number, event in enumerate(events):
        with_place = f"event {number}"
        _guarded(with_place, taken, lambda e=event, p=with_place: _signal(*opened(e), p, limits, taken))  # type: ignore[misc]
    return _not_all_refused(taken)


def _lines(request: Request, limits: Limits) -> Taken:
    taken = Taken()
    for number, line in enumerate(request.body.split(b"\n"), start=1):
        if line.strip():
            place = f"line {number}"
            _guarded(place, taken, lambda text=line, p=place: _signal(text, {"content-type": JSON}, p, limits, taken))  # type: ignore[misc]
    return _not_all_refused(taken)


def _guarded(place: str, taken: Taken, step: Callable[[], None]) -> None:
    try:
        step()
    except DecodeError as error:
        taken.refused.append(Fault(place, error.code, error.message))


def _not_all_refused(taken: Taken) -> Taken:
    if not taken.outputs:
        raise Undecodable(told(taken.refused) or "nothing in it")
    return taken


def _signal(data: bytes, headers: Headers, place: str, limits: Limits, taken: Taken) -> None:
    """One record for health-signals, by asset: each on its own partition. One of one asset goes on as it came."""
    columns = decode_samples(data, headers, max_bytes=limits.record_bytes)
    taken.refused += [Fault(f"{place}, row {row.row}", row.code, row.message) for row in columns.rejected]
    assets = {columns.series[i].asset_id for i in columns.series_index.tolist()}
    if len(assets) == 1 and not columns.rejected:
        kept = {"content-type"} | ({"datacontenttype"} if content_type(headers) == STRUCTURED else set())
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        sent = tuple((n, v if isinstance(v, bytes) else str(v).encode()) for n, v in pairs if n in kept)
        taken.outputs.append(Output(SIGNALS, assets.pop().encode(), data, sent))
        return
    for asset_id, part in _by_asset(columns):
        sent = (("content-type", Wire.SINGLE_OBJECT.value.encode()),)
        taken.outputs.append(Output(SIGNALS, asset_id.encode(), encode_samples(part), sent))


def _by_asset(columns: SampleColumns) -> Iterator[tuple[str, SampleColumns]]:
    assets = np.array([key.asset_id for key in columns.series], dtype=object)[columns.series_index]
    for asset_id in dict.fromkeys(assets.tolist()):
        rows = assets == asset_id
        used = np.unique(columns.series_index[rows])
        renumbered = np.searchsorted(used, columns.series_index[rows]).astype(np.int32)
        series = tuple(columns.series[i] for i in used.tolist())
        yield asset_id, SampleColumns(series, renumbered, columns.at[rows], columns.value[rows], columns.source)


PATHS: dict[str, Callable[[Request, Limits], Taken]] = {
    "/v1/metrics": _otlp,
    "/api/v1/write": _remote_write,
    "/events": _events,
    "/signals": _lines,
}
