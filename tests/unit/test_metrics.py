"""The metrics page tells the counters of the layers of this process."""

from __future__ import annotations

import urllib.request
from types import SimpleNamespace
from typing import Any

import pytest

from streams.atleastonce import Metrics
from streams.healing.draft import inoculation_key
from streams.healing.engine import HealingLayer
from streams.healing.inoculation.rows import InoculationRow
from streams.healing.settings import HealingSettings
from streams.kit.ids import row_key
from streams.kit.partition import Partition
from streams.policy.gate import PolicyGate
from streams.policy.settings import PolicySettings
from streams.runtime.runner import Counters
from topology.metrics import COUNTERS, LayerCollector, serving
from topology.tables import LAYER_BY_NAME


def worker() -> Any:
    metrics = Metrics(messages=7, flush_ms=1500.0, lag={"job-requests[0]": 3}, commit_age_s={"job-requests[0]": 0.5})
    runner = SimpleNamespace(counters=Counters(refused=2, by_topic={"routing-decisions": 5}), owned={0: None, 2: None})
    return SimpleNamespace(card=LAYER_BY_NAME["routing"], app=SimpleNamespace(metrics=metrics), runner=runner)


def page(*workers: Any) -> str:
    with serving(LayerCollector(workers), "127.0.0.1", 0) as port:
        return str(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode())


def test_each_number_is_on_the_page_with_its_layer() -> None:
    told = page(worker())
    for line in (
        'maestro_messages_total{layer="routing"} 7.0',
        'maestro_flush_seconds_total{layer="routing"} 1.5',
        'maestro_refused_total{layer="routing"} 2.0',
        'maestro_records_total{layer="routing",topic="routing-decisions"} 5.0',
        'maestro_lag_messages{layer="routing",partition="job-requests[0]"} 3.0',
        'maestro_commit_age_seconds{layer="routing",partition="job-requests[0]"} 0.5',
        'maestro_partitions{layer="routing"} 2.0',
    ):
        assert line in told


def test_every_declared_metric_has_a_meaning_and_a_unit_in_its_name() -> None:
    told = page(worker())
    for declared in COUNTERS:
        assert f"# HELP {declared.name}" in told
        assert declared.name.endswith("_total")


def test_a_taken_port_is_an_error_and_not_a_silent_absence() -> None:
    none = LayerCollector([])
    with serving(none, "127.0.0.1", 0) as port, pytest.raises(OSError), serving(none, "127.0.0.1", port):
        pass


def test_the_resilience_score_of_a_pool_is_on_the_page() -> None:
    layer = HealingLayer(HealingSettings(), PolicyGate((), None, PolicySettings()))
    pool = row_key("label", "acme", "web")
    row = InoculationRow(pool=pool, passed=3.0, failed=1.0)
    machine = Partition(layer, layer.new_view(), {inoculation_key(pool): row})
    runner = SimpleNamespace(counters=Counters(), owned={0: SimpleNamespace(machine=machine)})
    healing = SimpleNamespace(card=LAYER_BY_NAME["healing"], app=SimpleNamespace(metrics=Metrics()), runner=runner)
    line = 'maestro_resilience_score{layer="healing",pool="web",tenant="acme"} 0.666'
    assert line in page(healing)
    assert "maestro_resilience_score{" not in page(worker())
