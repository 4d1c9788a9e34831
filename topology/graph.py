"""Checks the declared topology and draws it: Mermaid for people, JSON for programs, AsyncAPI 3.0 for both."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schemas.catalog import current
from schemas.records import Record
from topology.tables import LAYERS, LayerCard
from topology.topics import BY_NAME, EXTERNAL, TOPICS, Topic

README_BEGIN = "<!-- topology:begin (made by `maestro graph`; `maestro graph --check README.md` holds it current) -->"
README_END = "<!-- topology:end -->"
LAYER_TOPICS = (
    "discovery-events",
    "health-signals",
    "anomalies",
    "remediations",
    "recommendations",
    "job-requests",
    "routing-decisions",
)
"""The seven topics of the design; the others are supporting."""


def validate(layers: tuple[LayerCard, ...] = LAYERS, topics: tuple[Topic, ...] = TOPICS) -> list[str]:
    """Every way in which the declaration contradicts itself, one sentence each; empty = sound."""
    known = {t.name: t for t in topics}
    problems: list[str] = []
    for card in layers:
        named = {*card.inputs, *card.views, *card.outputs}
        problems += [f"layer {card.name} names topic {n}, which is not declared" for n in sorted(named - known.keys())]
        splits = {known[n].split for n in card.inputs if n in known}
        if len(splits) > 1:
            problems.append(
                f"layer {card.name}: its inputs differ in partition class, so keys would not meet their rows"
            )
        for role, names in (("written_by", card.outputs), ("read_by", (*card.inputs, *card.views))):
            problems += [
                f"topic {n}: {role} does not name {card.name}"
                for n in names
                if n in known and card.name not in getattr(known[n], role) and "every layer" not in known[n].written_by
            ]
    return problems + [p for t in topics for p in _topic_problems(t, layers)]


def _topic_problems(topic: Topic, layers: tuple[LayerCard, ...]) -> list[str]:
    cards = {card.name: card for card in layers}
    problems = []
    for name in topic.read_by:
        card = cards.get(name)
        if card is not None and topic.name not in (*card.inputs, *card.views):
            problems.append(f"topic {topic.name} says that {name} reads it, but {name} does not")
    for name in topic.written_by:
        card = cards.get(name)
        if card is not None and topic.name not in card.outputs:
            problems.append(f"topic {topic.name} says that {name} writes it, but {name} does not")
    return problems


def mermaid() -> str:
    """A flowchart: rounded = topic, box = layer, thick = read by key (one partition a worker), dotted = read whole.

    The topics that adapters read are others'; which, the setting `adapters` says.
    """
    lines = ["flowchart LR"]
    for topic in TOPICS:
        if topic.name != "dead-letters":
            lines.append(f"    {_node(topic.name)}([{topic.name}])")
    for card in LAYERS:
        lines.append(f'    {card.name}["<b>{card.name}</b><br/>{card.engine}"]')
    lines += [f"    x_{topic.name.replace('-', '_')}([{topic.name}]) -.-> adapters" for topic in EXTERNAL]
    lines += ['    adapters["<b>adapters</b><br/>foreign telemetry"]', f"    adapters --> {_node('health-signals')}"]
    for card in LAYERS:
        lines += [f"    {_node(t)} ==> {card.name}" for t in card.inputs]
        lines += [f"    {_node(t)} -.-> {card.name}" for t in card.views]
        lines += [f"    {card.name} --> {_node(t)}" for t in card.outputs]
    main = ",".join(_node(t) for t in LAYER_TOPICS)
    lines += ["    classDef seven stroke-width:3px", f"    class {main} seven"]
    return "\n".join(lines) + "\n"


def _node(topic: str) -> str:
    return "t_" + topic.replace("-", "_")


def as_json() -> str:
    """`{"topics": [...], "layers": [...], "external": [...]}`, stable order."""
    topics = [
        {
            "name": t.name,
            "key": t.key,
            "records": [r.__name__ for r in t.records],
            "split": t.split.value,
            "compacted": t.compacted,
            "retention_ms": t.retention_ms,
            "written_by": list(t.written_by),
            "read_by": list(t.read_by),
            "doc": t.doc,
        }
        for t in TOPICS
    ]
    layers = [
        {
            "name": c.name,
            "engine": c.engine,
            "group": c.group,
            "table": c.table,
            "inputs": list(c.inputs),
            "views": list(c.views),
            "outputs": list(c.outputs),
            "does": c.does,
        }
        for c in LAYERS
    ]
    external = [asdict(topic) for topic in EXTERNAL]
    return json.dumps({"topics": topics, "layers": layers, "external": external}, indent=2) + "\n"


def asyncapi(version: str) -> str:
    """AsyncAPI 3.0: a channel a topic; payloads are the Avro schemas of `schemas/avro`."""
    channels: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for topic in TOPICS:
        names = [r.__name__ for r in topic.records]
        channels[topic.name] = {
            "address": topic.name,
            "description": topic.doc,
            "messages": {n: {"$ref": f"#/components/messages/{n}"} for n in names},
            "bindings": {
                "kafka": {"topicConfiguration": {"cleanup.policy": ["compact" if topic.compacted else "delete"]}}
            },
        }
        for n, record in zip(names, topic.records, strict=True):
            payload = {"schemaFormat": "application/vnd.apache.avro+json;version=1.9.0", "schema": _avro(record)}
            messages[n] = {"name": n, "payload": payload, "bindings": {"kafka": {"key": {"type": "string"}}}}
    document = {
        "asyncapi": "3.0.0",
        "info": {"title": "Maestro Conductor", "version": version},
        "channels": channels,
        "operations": _operations(),
        "components": {"messages": messages},
    }
    return json.dumps(document, indent=2) + "\n"


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for card in LAYERS:
        for action, topics in (("receive", (*card.inputs, *card.views)), ("send", card.outputs)):
            for topic in topics:
                key = f"{card.name}-{action}-{topic}"
                operations[key] = {"action": action, "channel": {"$ref": f"#/channels/{topic}"}, "summary": card.does}
    return operations


def _avro(record: type[Record]) -> object:
    """The schema as published, with its logical types."""
    return json.loads(current(record).text)


def readme_block() -> str:
    return f"{README_BEGIN}\n```mermaid\n{mermaid()}```\n{README_END}"


def readme_is_current(path: Path) -> bool:
    """Whether the picture in the README is the one that this declaration draws."""
    return readme_block() in path.read_text()


def write_readme(path: Path) -> None:
    """Replaces the picture between the markers; ValueError if the markers are not there."""
    text = path.read_text()
    begin, end = text.find(README_BEGIN), text.find(README_END)
    if begin < 0 or end < 0:
        raise ValueError(f"{path}: the markers {README_BEGIN!r} and {README_END!r} are missing")
    path.write_text(text[:begin] + readme_block() + text[end + len(README_END) :])


__all__ = ["BY_NAME", "as_json", "asyncapi", "mermaid", "readme_block", "readme_is_current", "validate", "write_readme"]
