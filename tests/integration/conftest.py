"""Brokers that a test may hurt; the shared `kafka` of the run must stay as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from topology.embedded import EmbeddedKafka


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of this file's own, on a folder that outlives it: may be paused, killed and restarted."""
    from topology.embedded import embedded_kafka

    with embedded_kafka(data_dir=tmp_path_factory.mktemp("own-broker")) as kafka:
        yield kafka
