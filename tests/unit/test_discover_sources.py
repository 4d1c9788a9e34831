"""Which sources the options of `maestro discover` name; what they find is shown with each provider."""

from __future__ import annotations

from pathlib import Path

from streams.discovery.ports import Listing
from topology.discover.sources import shared_sources

GROUP = "- targets: [{}]\n"


async def test_each_option_is_a_source_and_the_patterns_of_a_job_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GROUP.format("10.0.0.7:80"))
    (tmp_path / "b.yml").write_text(GROUP.format("10.0.0.8:80"))
    found = shared_sources(
        [tmp_path / "fleet.yaml"],
        ["edge=127.0.0.1:9999"],
        ["eu=http://prometheus:9090/?a=b"],
        [f"api={tmp_path}/a.yml", f"api={tmp_path}/b.yml"],
    )
    assert [s.source for s in found] == ["static:fleet", "haproxy:edge", "prometheus:eu", "file_sd:api"]
    assert isinstance(found[3], Listing)
    assert [asset.id for asset in await found[3].list()] == ["api/10.0.0.7:80", "api/10.0.0.8:80"]
