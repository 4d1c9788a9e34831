"""Which foreign metrics are the contract's own, and what of them makes the figure. Pure tables and pure arithmetic.

| ours | made of |
|---|---|
| `latency_ms` (mean), `latency_ms_p50`, `_p95`, `_p99`, `throughput_per_s`, `error_rate` | durations of requests |
| `utilization` | CPU time not idle, of all cores together |
| `memory_utilization` | memory in use, of all |

All attribute sets of a metric make one figure together. Where an asset reports the same by two metrics, the one that
came first counts, until it has been silent for `OWNER_MS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streams.adapters.points import Attributes, Bucket
from streams.adapters.quantiles import quantile
from streams.adapters.rates import Interval

OWNER_MS = 600_000
QUANTILES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True, slots=True)
class Share:
    """`metric` = sum of the parts `above` / sum of the parts `of` (None = of all), or 1 less that.

    A part's name is the attribute `by`; without one, the name of the metric.
    """

    metric: str
    by: tuple[str, ...]
    above: frozenset[str]
    of: frozenset[str] | None = None
    complement: bool = False

    def places(self, name: str, attributes: Attributes) -> tuple[bool, bool]:
        """Whether a series counts above and below the line."""
        given = dict(attributes)
        part = next((given[key] for key in self.by if key in given), name)
        return part in self.above, self.of is None or part in self.of

    def value(self, parts: Sequence[tuple[bool, bool, float]]) -> float | None:
        above = [value for counts, _, value in parts if counts]
        whole = sum(value for _, counts, value in parts if counts)
        if not above or whole <= 0:
            return None
        share = min(1.0, max(0.0, sum(above) / whole))
        return 1.0 - share if self.complement else share


_MODES = ("state", "cpu.mode", "mode", "type")
_BUSY = Share("utilization", _MODES, frozenset({"idle", "wait", "iowait"}), complement=True)
_MEMORY = frozenset({"used", "free", "buffered", "cached"})
_USED = Share("memory_utilization", ("state", "type"), frozenset({"used"}), _MEMORY)
_AVAILABLE = Share(
    "memory_utilization",
    (),
    frozenset({"node_memory_MemAvailable_bytes"}),
    frozenset({"node_memory_MemTotal_bytes"}),
    complement=True,
)
SHARES: Mapping[str, Share] = {
    "system.cpu.utilization": _BUSY,
    "system.cpu.time_per_s": _BUSY,
    "node_cpu_seconds_per_s": _BUSY,
    "cpu_per_s": _BUSY,  # collectd
    "cpu.percent": _BUSY,
    "system.memory.usage": _USED,
    "system.memory.utilization": _USED,
    "memory": _USED,  # collectd
    "memory.percent": _USED,
    "node_memory_MemAvailable_bytes": _AVAILABLE,
    "node_memory_MemTotal_bytes": _AVAILABLE,
}
"""By the name under which the samples of the parts go out."""

DURATIONS = frozenset(
    {
        "http.server.request.duration",
        "http.server.duration",
        "rpc.server.call.duration",
        "rpc.server.duration",
        "messaging.process.duration",
        "http_server_request_duration_seconds",
        "http_server_duration_milliseconds",
        "http_request_duration_seconds",
        "grpc_server_handling_seconds",
    }
)
"""Of what an asset took to serve a request (OpenTelemetry's semantic conventions, usual names with Prometheus)."""

DIRECT: Mapping[str, str] = {
    "container.cpu.utilization": "utilization",
    "k8s.container.cpu_limit_utilization": "utilization",
    "k8s.pod.cpu_limit_utilization": "utilization",
    "k8s.node.cpu.utilization": "utilization",
    "k8s.container.memory_limit_utilization": "memory_utilization",
    "k8s.pod.memory_limit_utilization": "memory_utilization",
    "hw.host.power": "energy_w",
    "hw.power": "energy_w",
}
"""Levels that are ours under another name. With attributes they are parts of something, and keep their own."""

_STATUS = ("http.response.status_code", "http.status_code", "status_code", "status", "code")


def is_error(attributes: Attributes) -> bool | None:
    """Whether the requests counted under these attributes failed; None = they do not tell."""
    given = dict(attributes)
    if given.get("error.type"):
        return True
    grpc = given.get("rpc.grpc.status_code", given.get("grpc_code"))
    if grpc is not None:
        return grpc not in ("0", "OK")
    status = next((given[key] for key in _STATUS if key in given), None)
    return status.startswith("5") and len(status) == 3 if status is not None else None


class Served(NamedTuple):
    """The requests of one attribute set in one interval."""

    interval: Interval
    failed: bool | None


def figures(interval: Interval) -> list[tuple[str, float]]:
    """("", mean) and (`_p50`, quantile) ... of an interval with observations."""
    found = [("", interval.total / interval.count)] if interval.total is not None else []
    buckets: tuple[Bucket, ...] = interval.buckets or ()
    if buckets:
        found += [(f"_{name}", quantile(q, buckets, interval.least, interval.most)) for name, q in QUANTILES]
    return found
