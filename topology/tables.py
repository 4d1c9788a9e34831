"""Every table and layer, once: what a layer reads by key, what it reads whole, what it writes, where its state is.

`graph.validate` holds these cards to the topics and to the engines, so that a card cannot drift from the code.
"""

from __future__ import annotations

from dataclasses import dataclass

from topology.topics import BY_NAME, Split


@dataclass(frozen=True, slots=True)
class LayerCard:
    """One layer: its Faust app (and consumer group), inputs by key, views read whole, outputs, and its table.

    The inputs have equal partition counts; partition p of the table belongs to partition p of each input.
    """

    name: str
    engine: str
    inputs: tuple[str, ...]
    views: tuple[str, ...]
    outputs: tuple[str, ...]
    does: str
    gather_s: float = 0.0
    """Seconds that inputs may wait for company, of a layer whose outputs are about windows of many times that."""
    flush_wait_most_s: float = 3.0
    """Seconds that outputs may wait so that rows which change all the time are written less often (ADR 10). Little for
    a layer that somebody waits for and whose rows are written once: merging them would save nothing."""

    @property
    def table(self) -> str:
        return f"{self.name}-table"

    @property
    def group(self) -> str:
        """The Faust app id, which is the consumer group."""
        return f"maestro-{self.name}"

    @property
    def split(self) -> Split:
        return BY_NAME[self.inputs[0]].split


LAYERS: tuple[LayerCard, ...] = (
    LayerCard(
        "discovery",
        "AssetDiscoveryEngine",
        ("discovery-events",),
        ("policies",),
        ("assets", "lifecycle-events"),
        "merges what the sources say into one registry",
    ),
    LayerCard(
        "telemetry",
        "HealthMonitor, AnomalyDetector",
        ("health-signals",),
        ("assets",),
        ("anomalies",),
        "scores each sample against its own past, opens and closes incidents",
    ),
    LayerCard(
        "healing",
        "SelfHealingOrchestrator",
        ("anomalies", "action-outcomes"),
        ("assets", "performance", "policies", "spending"),
        ("remediations", "spending"),
        "plans, guards, executes, verifies and escalates actions",
    ),
    LayerCard(
        "executors",
        "ActionRunner",
        ("remediations",),
        ("assets", "policies"),
        ("action-outcomes",),
        "does the effect of an action, once per action id",
    ),
    LayerCard(
        "optimisation",
        "CostLatencyOptimizer",
        ("health-signals",),
        ("assets", "anomalies", "policies", "remediations", "spending"),
        ("performance", "recommendations"),
        "keeps windows and percentiles, advises on scale and placement",
        gather_s=0.5,
    ),
    LayerCard(
        "routing",
        "JobRouter",
        ("job-requests", "job-outcomes"),
        ("assets", "performance", "anomalies", "remediations", "policies", "spending"),
        ("routing-decisions", "spending"),
        "filters, scores and chooses a target, pivots when it fails",
        flush_wait_most_s=0.02,
    ),
)

LAYER_BY_NAME: dict[str, LayerCard] = {card.name: card for card in LAYERS}
