"""Remote write requests made by hand: series with native histograms (1.0), and requests of 2.0 with their symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cramjam

from streams.adapters.prom_messages import request_class

ME = {"job": "shop", "instance": "a:9"}
Buckets = Mapping[int, float]
TYPES = {"counter": 1, "gauge": 2, "histogram": 3, "summary": 5}


def packed(request: Any) -> bytes:
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def fill(
    message: Any,
    at: int,
    positive: Buckets,
    negative: Buckets | None = None,
    *,
    total: float = 0.0,
    zero: tuple[float, float] = (0, 0.0),
    schema: int = 0,
    hint: int = 0,
    floats: bool = False,
    custom: Sequence[float] = (),
) -> Any:
    """A `Histogram` of counts by Prometheus' index of the bucket; neighbours share a span."""
    kind = "float" if floats else "int"
    count = zero[0] + sum(positive.values()) + sum((negative or {}).values())
    setattr(message, f"count_{kind}", float(count) if floats else int(count))
    setattr(message, f"zero_count_{kind}", float(zero[0]) if floats else int(zero[0]))
    message.sum, message.schema, message.zero_threshold = total, schema, zero[1]
    message.reset_hint, message.timestamp = hint, at
    message.custom_values.extend(custom)
    for side, counts in (("positive", positive), ("negative", negative or {})):
        after, before = 0, 0.0
        for index in sorted(counts):
            spans = getattr(message, f"{side}_spans")
            if not spans or index != after:
                spans.add(offset=index - after, length=0)
            spans[-1].length += 1
            after = index + 1
            if floats:
                getattr(message, f"{side}_counts").append(counts[index])
            else:
                getattr(message, f"{side}_deltas").append(int(counts[index] - before))
            before = counts[index]
    return message


def first(name: str, at: int, positive: Buckets, *args: Any, labels: Mapping[str, str] = ME, **more: Any) -> bytes:
    """A request of 1.0 with one native histogram."""
    request = request_class()()
    series = request.timeseries.add()
    for key, text in {"__name__": name, **labels}.items():
        series.labels.add(name=key, value=text)
    fill(series.histograms.add(), at, positive, *args, **more)
    return packed(request)


class Second:
    """A request of 2.0 in the making."""

    def __init__(self) -> None:
        self.request = request_class()()
        self.request.symbols.append("")

    def symbol(self, text: str) -> int:
        symbols = self.request.symbols
        if text not in symbols:
            symbols.append(text)
        return list(symbols).index(text)

    def series(
        self, name: str, labels: Mapping[str, str] = ME, kind: str = "", unit: str = "", created: int = 0
    ) -> Any:
        added = self.request.series.add(created=created)
        for key, text in {"__name__": name, **labels}.items():
            added.labels_refs.extend((self.symbol(key), self.symbol(text)))
        added.metadata.type, added.metadata.unit_ref = TYPES.get(kind, 0), self.symbol(unit)
        return added

    def sample(self, name: str, value: float, at: int, **more: Any) -> Second:
        self.series(name, **more).samples.add(value=value, timestamp=at)
        return self

    def body(self) -> bytes:
        return packed(self.request)
