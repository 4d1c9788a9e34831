"""A real Prometheus server: its API and the file it reads give the same assets, whether the targets answer or not."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from pathlib import Path

import pytest

from schemas.records import Asset
from streams.discovery.providers.file_sd import FileSdProvider
from streams.discovery.providers.http_json import SourceAnswerError
from streams.discovery.providers.prometheus import PrometheusProvider

PROMETHEUS = shutil.which("prometheus")
GROUPS = [
    {
        "targets": ["127.0.0.1:1", "127.0.0.1:2"],
        "labels": {"region": "eu", "version": "1.10", "__metrics_path__": "/m"},
    },
    {"targets": ["[::1]:3"], "labels": {"instance": "db1", "__param_target": "db"}},
]


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus")
async def test_the_api_and_the_file_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "sd.json").write_text(json.dumps(GROUPS))
    config = {"scrape_configs": [{"job_name": "api", "file_sd_configs": [{"files": [f"{tmp_path}/sd.json"]}]}]}
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    files = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    command = [str(PROMETHEUS), *files, f"--web.listen-address={address}"]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
    try:
        told = await _all_targets(PrometheusProvider(f"http://{address}"), 3)
    finally:
        process.terminate()
        await process.wait()
    assert sorted(told, key=_id) == sorted(await FileSdProvider([f"{tmp_path}/sd.json"], job="api").list(), key=_id)
    assert sorted(map(_id, told)) == ["api/127.0.0.1:1", "api/127.0.0.1:2", "api/db1"]


def _id(asset: Asset) -> str:
    return asset.id


async def _all_targets(provider: PrometheusProvider, count: int) -> list[Asset]:
    """A server that has just started answers not at all, then with none of them."""
    async with asyncio.timeout(60):
        while True:
            try:
                found = await provider.list()
            except SourceAnswerError:
                found = []
            if len(found) == count:
                return found
            await asyncio.sleep(0.2)
