"""How settings change the declared topics, and how a difference to the broker is told. No broker needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from topology.admin import FoundTopic, WantedTopic, differences, wanted_topics
from topology.settings import Settings
from topology.topics import BY_NAME, TOPICS, Split


def wanted(name: str, **settings: object) -> WantedTopic:
    return {topic.name: topic for topic in wanted_topics(Settings(**settings))}[name]  # type: ignore[arg-type]


def found_as(topic: WantedTopic) -> FoundTopic:
    return FoundTopic(topic.name, topic.partitions, topic.replication_factor or 1, dict(topic.config) | {"other": "1"})


def test_every_declared_topic_is_wanted_once() -> None:
    assert [topic.name for topic in wanted_topics(Settings())] == [topic.name for topic in TOPICS]


def test_partitions_scale_the_scaled_topics_only() -> None:
    for topic in wanted_topics(Settings(partitions=7)):
        assert topic.partitions == (7 if BY_NAME[topic.name].split is Split.SCALED else 1)


def test_retention_comes_from_the_setting_then_from_the_declaration() -> None:
    assert wanted("anomalies").config["retention.ms"] == str(BY_NAME["anomalies"].retention_ms)
    assert wanted("anomalies", retention_ms={"anomalies": 60_000}).config["retention.ms"] == "60000"
    assert wanted("anomalies", retention_ms={"anomalies": -1}).config["retention.ms"] == "-1"


def test_compacted_topics_have_no_retention() -> None:
    assert wanted("assets").config["cleanup.policy"] == "compact"
    assert "retention.ms" not in wanted("assets").config
    assert wanted("anomalies").config["cleanup.policy"] == "delete"


def test_what_any_topic_takes_fits_into_dead_letters_with_its_headers() -> None:
    limits = {t.name: int(t.config["max.message.bytes"]) for t in wanted_topics(Settings(max_record_bytes=2048))}
    assert limits.pop("dead-letters") > max(limits.values()) == 2048


def test_three_copies_need_two_in_step() -> None:
    assert "min.insync.replicas" not in wanted("assets", replication_factor=2).config
    assert wanted("assets", replication_factor=3).config["min.insync.replicas"] == "2"


def test_a_topic_as_declared_has_no_difference() -> None:
    for topic in wanted_topics(Settings(replication_factor=3)):
        assert differences(topic, found_as(topic)) == []


def test_a_missing_topic_is_one_line() -> None:
    [line] = differences(wanted("anomalies"), None)
    assert (line.topic, line.what, line.fix) == ("anomalies", "missing", "maestro topics create")


@pytest.mark.parametrize(
    ("name", "found", "advice"), [("health-signals", 2, "MAESTRO_PARTITIONS=2"), ("assets", 3, "order")]
)
def test_a_wrong_partition_count_is_told_with_a_way_out(name: str, found: int, advice: str) -> None:
    topic = wanted(name)
    [line] = differences(topic, replace(found_as(topic), partitions=found))
    assert (line.what, line.wanted, line.found) == ("partitions", str(topic.partitions), str(found))
    assert advice in line.fix


def test_the_replication_factor_is_compared_only_where_it_is_set() -> None:
    assert differences(wanted("assets"), replace(found_as(wanted("assets")), replication_factor=9)) == []
    topic = wanted("assets", replication_factor=2)
    [line] = differences(topic, replace(found_as(topic), replication_factor=1))
    assert (line.what, line.wanted, line.found) == ("replication factor", "2", "1")


def test_every_wrong_config_is_told() -> None:
    topic = wanted("anomalies")
    config = {"cleanup.policy": "compact", "retention.ms": "1"}
    lines = differences(topic, replace(found_as(topic), config=config))
    assert {line.what for line in lines} == set(topic.config)
    assert next(line.found for line in lines if line.what == "retention.ms") == "1"
    assert next(line.found for line in lines if line.what == "max.message.bytes") == "not set"
