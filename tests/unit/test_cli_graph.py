"""Every channel of the AsyncAPI document carries schemas that an Avro reader accepts."""

from __future__ import annotations

import json

import fastavro

from topology.graph import asyncapi
from topology.topics import TOPICS


def test_every_channels_payload_parses() -> None:
    document = json.loads(asyncapi("1.2.3"))
    assert document["info"]["version"] == "1.2.3"
    assert set(document["channels"]) == {t.name for t in TOPICS}
    for topic in TOPICS:
        messages = document["channels"][topic.name]["messages"]
        assert set(messages) == {r.__name__ for r in topic.records}
        for record in topic.records:
            payload = document["components"]["messages"][record.__name__]["payload"]
            parsed = fastavro.parse_schema(payload["schema"])
            assert parsed["name"].endswith(f".{record.__name__}")
            assert {f["name"] for f in payload["schema"]["fields"]} == set(record.model_fields)


def test_every_reference_leads_somewhere() -> None:
    document = json.loads(asyncapi("1"))

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [r for value in node.values() for r in references(value)]
        return [r for item in node for r in references(item)] if isinstance(node, list) else []

    assert references(document)
    for reference in references(document):
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
