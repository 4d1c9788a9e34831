"""A worker's own folder and the layers it is asked to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from topology.settings import Settings
from topology.worker import FolderInUseError, chosen, own_folder


def test_two_workers_of_a_host_get_folders_of_their_own(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    with own_folder(settings) as first, own_folder(settings) as second:
        assert first != second
    with own_folder(settings) as again:
        assert again == first


def test_a_named_folder_is_never_shared(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, worker_id="w")
    with own_folder(settings), pytest.raises(FolderInUseError, match="MAESTRO_WORKER_ID"), own_folder(settings):
        pass


def test_every_layer_runs_unless_some_are_named() -> None:
    assert chosen(Settings(), ["routing", "telemetry"]) == ("telemetry", "routing")
    assert "command" not in chosen(Settings(), None)
    assert "command" in chosen(Settings(redis_url="redis://127.0.0.1:1/0"), None)


def test_a_layer_that_is_none_is_named_with_those_that_are() -> None:
    with pytest.raises(LookupError, match=r"routnig.*layers: discovery"):
        chosen(Settings(), ["routnig"])


def test_the_read_model_needs_a_redis() -> None:
    with pytest.raises(LookupError, match="MAESTRO_REDIS_URL"):
        chosen(Settings(), ["command"])
