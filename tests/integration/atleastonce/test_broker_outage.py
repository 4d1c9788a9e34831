"""The broker is gone for a while: workers ride it out, or end with a clear error; either way nothing is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from topology.embedded import EmbeddedKafka, embedded_kafka

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
OUTAGE_S = float(os.environ.get("MAESTRO_FAULT_OUTAGE_S", "8"))
"""8 s by default (longer than the session time-out here); 60 before a release."""


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    broker = embedded_kafka(data_dir=tmp_path_factory.mktemp("kafka")).start()
    yield broker
    broker.stop()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_broker_is_away_for_a_while(own_broker: EmbeddedKafka, make_lab: Callable[..., Any], how: str) -> None:
    lab = make_lab(broker=own_broker.bootstrap, request_timeout_s=10.0, delivery_timeout_s=OUTAGE_S + 60)
    lab.feed(2000)
    lab.start("a")
    lab.feed(2000)
    own_broker.kill() if how == "kill" else own_broker.stop()
    time.sleep(OUTAGE_S)
    own_broker.restart()
    lab.feed(2000)
    statuses = lab.keep_running("a", lab.caught_up, within_s=120)
    assert set(statuses) <= {70}, lab.logs()
    assert lab.stop("a") == 0, lab.logs()
    lab.verify()


def test_an_outage_longer_than_the_delivery_time_out_ends_the_process(
    own_broker: EmbeddedKafka, make_lab: Callable[..., Any]
) -> None:
    lab = make_lab(broker=own_broker.bootstrap, request_timeout_s=6.0, delivery_timeout_s=6.0)
    lab.feed(150_000)  # seconds of work, so that something is on its way when the broker freezes
    lab.start("a")
    while not lab.read(f"{lab.name}-out"):
        time.sleep(0.02)
    own_broker.pause()
    try:
        assert lab.ended("a", within_s=60) == 70, lab.logs()
    finally:
        own_broker.resume()
    assert "DeliveryFailed" in lab.logs()
    lab.keep_running("a", lab.caught_up, within_s=100)
    assert lab.stop("a") == 0
    lab.verify()
