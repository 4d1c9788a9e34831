"""A worker that has begun compiles nothing any more: its event loop would stand still."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc
from numba.core.dispatcher import Dispatcher
from schemas.codec import encode
from schemas.records import HealthSignal, HealthSignalBatch, SeriesKey
from streams.atleastonce.batch import RawMessage
from streams.runtime.ingest import Rules
from streams.runtime.samples import Gatherer
from streams.runtime.warm_up import START_MS, warm_up
from streams.telemetry.engine import TelemetryLayer

def compiled():
    kernels = [k for k in gc.get_objects() if isinstance(k, Dispatcher)]
    named = {k: f"{k.py_func.__module__}.{k.py_func.__name__}" for k in kernels}
    return {f"{named[k]}{s}" for k in kernels for s in k.signatures if not named[k].startswith("numba")}

rules = Rules("health-signals", (HealthSignal, HealthSignalBatch), 1, 60_000, 100_000)
layer = TelemetryLayer()
warm_up(layer, rules)
before = compiled()
partition = layer.partition(layer.new_view())
gatherer = Gatherer(rules, 0)
told, fetches = [], []
for i in range(0, 4000, 100):
    rows = range(i, i + 100)
    value = [30.0 if 2000 < k < 2010 else 1.0 * (k % 5) + (k > 3000) * 9.0 for k in rows]
    at = [START_MS + k * 1000 + (k > 2500) * 10**7 - (k % 41 == 7) * 5000 for k in rows]
    signals = [HealthSignal(asset_id=f"a{k % 2}", metric="m", value=value[j], at=at[j]) for j, k in enumerate(rows)]
    fetches.append([RawMessage(i + j, s.at, b"a", encode(s)) for j, s in enumerate(signals)])
    batch = HealthSignalBatch(series=(SeriesKey(asset_id="b", metric="m"), SeriesKey(asset_id="c", metric="m")),
                              series_index=tuple(k % 2 for k in rows), at=tuple(at), value=tuple(value))
    fetches.append([RawMessage(i, at[-1], b"b", encode(batch))])
for fetch in fetches:
    found = gatherer.gather(fetch)
    assert found.columns is not None and not found.refused, found
    told += partition.on_columns(found.columns, found.causes)
other = layer.partition(layer.new_view(), partition.clock)
other.load([(key, row) for key, row in partition.take_encoded() if row is not None])
told += other.advance(partition.clock + 10**9)
assert len({e.value.kind for e in told}) > 2, told
print(sorted(compiled() - before))
"""


def test_nothing_is_compiled_once_all_has_been_called() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
