"""collectd's write_kafka plugin to points: formats JSON, Command (its default) and Graphite, told by the first bytes.

    JSON      [{"values": [1.5], "dstypes": ["derive"], "dsnames": ["value"], "time": 1.0, "host": "a", "plugin": ...}]
    Command   PUTVAL a/cpu-0/cpu-user interval=1.000 1700000000.000:1.5
    Graphite  a.cpu-0.cpu-user 1.5 1700000000

The asset is collectd's host. The metric is the plugin and, where it differs, the type; both instances are attributes.
With `StoreRates` (collectd's default) DERIVE and COUNTER come as rates, but in Command always as totals; totals are
made rates here. Give each topic a `Key` (write_kafka): without one collectd sends each value to a random partition.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import from_json

from schemas.errors import Reason, Undecodable
from streams.adapters.points import Kind, Number, Origin, Reading, attributes_from, time_fault, told
from streams.adapters.settings import IntakeSettings

NAMES_MAX_LENGTH = 200
"""collectd's own limit is 128 for each (DATA_MAX_NAME_LEN)."""
TOTALS = frozenset({"derive", "counter", "total"})
NAMES = {
    "load": ("shortterm", "midterm", "longterm"), "if_octets": ("rx", "tx"), "if_packets": ("rx", "tx"),
    "if_errors": ("rx", "tx"), "if_dropped": ("rx", "tx"), "disk_octets": ("read", "write"),
    "disk_ops": ("read", "write"), "disk_time": ("read", "write"), "disk_merged": ("read", "write"),
    "ps_count": ("processes", "threads"), "io_octets": ("rx", "tx"),
}  # fmt: skip
"""Data source names of types with several (collectd's types.db), which Command does not carry."""
UNITS = {
    "memory": "By", "swap": "By", "df_complex": "By", "if_octets": "By", "disk_octets": "By", "percent": "%",
    "bytes": "By", "latency": "ms", "response_time": "s", "uptime": "s", "power": "W",
}  # fmt: skip
RATES = frozenset({"if_octets", "disk_octets", "if_packets", "if_errors", "if_dropped", "disk_ops", "cpu", "io_octets"})
"""Types of which collectd has totals, for the formats that do not say it."""


def read_collectd(data: bytes, settings: IntakeSettings) -> Reading:
    """The points of one message. Raises Undecodable."""
    reading = Reading()
    start = data.lstrip(b" \t\r\n")
    if start[:1] in (b"[", b"{"):
        for number, entry in enumerate(_entries(data)):
            _guarded(reading, f"value list {number}", lambda e=entry: _read_entry(e, settings, reading))  # type: ignore[misc]
        return reading
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise Undecodable(f"neither of collectd's formats: {error}") from error
    read = _read_command if start.startswith(b"PUTVAL ") else _read_graphite
    texts = [(number, text) for number, line in enumerate(lines) if (text := line.strip().strip("\0"))]
    for number, text in texts:
        _guarded(reading, f"line {number}", lambda t=text: read(t, settings, reading))  # type: ignore[misc]
    if len(reading.faults) == len(texts):
        raise Undecodable(f"neither of collectd's formats: {told(reading.faults) or 'no lines in it'}")
    return reading


def _entries(data: bytes) -> list[Any]:
    try:
        found: Any = from_json(data)  # with NaN, which older versions write
    except ValueError as error:
        raise Undecodable(f"not JSON: {error}") from error
    return found if isinstance(found, list) else [found]


def _guarded(reading: Reading, place: str, read: Callable[[], None]) -> None:
    try:
        read()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reading.refuse(place, Reason.INVALID, f"{type(error).__name__}: {error}")


def _read_entry(entry: Any, settings: IntakeSettings, reading: Reading) -> None:
    names, kinds, values = entry["dsnames"], entry["dstypes"], entry["values"]
    if not len(names) == len(kinds) == len(values):
        raise ValueError(f"{len(values)} values, {len(kinds)} types and {len(names)} names")
    parts = [str(entry.get(field) or "") for field in ("plugin", "plugin_instance", "type", "type_instance")]
    at = round(float(entry["time"]) * 1000)
    _add(reading, settings, str(entry["host"]), parts, at, zip(names, kinds, values, strict=True))


def _read_command(line: str, settings: IntakeSettings, reading: Reading) -> None:
    """`PUTVAL host/plugin[-instance]/type[-instance] [option=...] time:value[:value...]`; U = no value."""
    words = shlex.split(line)
    if words[0] != "PUTVAL" or len(words) < 3:
        raise ValueError("not PUTVAL host/plugin/type time:value")
    host, plugin, kind = words[1].split("/", 2)
    parts = [*_with_instance(plugin), *_with_instance(kind)]
    for word in words[2:]:
        if "=" not in word:
            time, *texts = word.split(":")
            values = [None if text == "U" else float(text) for text in texts]
            source = "total" if parts[2] in RATES else "gauge"
            named = [(name, source, v) for name, v in zip(_names(parts[2], len(values)), values, strict=True)]
            _add(reading, settings, host, parts, round(float(time) * 1000), named)


def _read_graphite(line: str, settings: IntakeSettings, reading: Reading) -> None:
    """`host.plugin[-instance].type[-instance][.name] value seconds`; dots in the host are `_` in the path."""
    path, value, time = line.split()
    host, *rest = path.split(".")
    if len(rest) < 2 or not host:
        raise ValueError(f"{path!r} is not host.plugin.type")
    parts = [*_with_instance(rest[0]), *_with_instance(rest[1])]
    name = ".".join(rest[2:]) or "value"
    source = "derive" if parts[2] in RATES else "gauge"
    _add(reading, settings, host, parts, round(float(time) * 1000), [(name, source, float(value))])


def _add(
    reading: Reading,
    settings: IntakeSettings,
    host: str,
    parts: list[str],
    at: int,
    values: Iterable[tuple[str, str, float | None]],
) -> None:
    plugin, plugin_instance, kind, kind_instance = parts
    if not (host and plugin and kind) or max(len(host), len(plugin) + len(kind)) > NAMES_MAX_LENGTH:
        raise ValueError(f"host, plugin and type must be there and have at most {NAMES_MAX_LENGTH} characters")
    if (wrong := time_fault(at)) is not None:
        reading.refuse(f"{host}/{plugin}", Reason.TIME_OUT_OF_RANGE, wrong)
        return
    metric = plugin if plugin == kind else f"{plugin}.{kind}"
    instances = {"instance": plugin_instance, "type": kind_instance}
    attributes = attributes_from({k: v for k, v in instances.items() if v})
    for name, source, value in values:
        name = str(name)[:NAMES_MAX_LENGTH]
        origin = Origin(host, metric if name == "value" else f"{metric}.{name}", UNITS.get(kind, ""), attributes)
        number = _number(origin, at, str(source).lower(), value, settings)
        if math.isinf(number.value or 0.0):
            reading.refuse(f"{host}/{metric}", Reason.NOT_FINITE, f"value {value} is not a finite number")
        elif number.value is not None:
            reading.points.append(number)


def _number(origin: Origin, at: int, source: str, value: object, settings: IntakeSettings) -> Number:
    """`null` and NaN are collectd's words for: not known."""
    if value is None or value != value:
        return Number(origin, at, None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"value {value!r} is not a number")
    if source not in TOTALS:
        return Number(origin, at, float(value))
    if settings.collectd_stores_rates and source != "total":
        unit = f"{origin.unit}/s" if origin.unit else "1/s"
        return Number(origin._replace(metric=f"{origin.metric}_per_s", unit=unit), at, float(value))
    return Number(origin, at, float(value), Kind.TOTAL)


def _with_instance(text: str) -> tuple[str, str]:
    name, _, instance = text.partition("-")
    return name, instance


def _names(kind: str, count: int) -> tuple[str, ...]:
    if count == 1:
        return ("value",)
    known = NAMES.get(kind, ())
    return known if len(known) == count else tuple(str(i) for i in range(count))
