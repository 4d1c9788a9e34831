"""The declared topology is sound, and a contradiction in it is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from topology import graph
from topology.tables import LAYER_BY_NAME, LAYERS
from topology.topics import BY_NAME, EXTERNAL, TOPICS


def test_the_declaration_is_sound() -> None:
    assert graph.validate() == []


def test_a_layer_that_names_an_undeclared_topic_is_found() -> None:
    broken = (replace(LAYER_BY_NAME["routing"], outputs=("routing-decisons",)),)
    assert any("routing-decisons" in p for p in graph.validate(broken))


def test_inputs_of_different_partition_classes_are_found() -> None:
    broken = (replace(LAYER_BY_NAME["routing"], inputs=("job-requests", "anomalies")),)
    assert any("partition class" in p for p in graph.validate(broken))


def test_a_topic_that_claims_a_reader_it_does_not_have_is_found() -> None:
    topics = tuple(replace(t, read_by=(*t.read_by, "discovery")) if t.name == "job-requests" else t for t in TOPICS)
    assert any("says that discovery reads it" in p for p in graph.validate(LAYERS, topics))


def test_the_seven_topics_of_the_design_are_each_read_and_written() -> None:
    for name in graph.LAYER_TOPICS:
        assert BY_NAME[name].read_by
        assert BY_NAME[name].written_by


def test_mermaid_draws_each_topic_and_layer_once() -> None:
    drawn = graph.mermaid()
    for card in LAYERS:
        assert drawn.count(f'    {card.name}["') == 1


def test_json_is_stable_and_complete() -> None:
    assert graph.as_json() == graph.as_json()
    assert {t["name"] for t in json.loads(graph.as_json())["topics"]} == set(BY_NAME)


def test_external_topics_are_named_apart_from_ours() -> None:
    assert {t["name"] for t in json.loads(graph.as_json())["external"]} == {t.name for t in EXTERNAL}
    assert not {t.name for t in EXTERNAL} & set(BY_NAME)


def test_a_stale_readme_is_noticed_and_mended(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# x\n{graph.README_BEGIN}\nold\n{graph.README_END}\nend\n")
    assert not graph.readme_is_current(readme)
    graph.write_readme(readme)
    assert graph.readme_is_current(readme)
    assert readme.read_text().endswith("end\n")


def test_a_readme_without_markers_is_a_clear_error(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# x\n")
    with pytest.raises(ValueError, match="markers"):
        graph.write_readme(readme)
