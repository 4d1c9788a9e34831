"""What each kill came to: effects counted by their receiver, beside what the records say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.records import ActionOutcome, RemediationStatus
from streams.healing.ports import INTERRUPTED
from topology.bench.healing.killed import Story
from topology.bench.healing.receiver import Receiver


@dataclass(frozen=True, slots=True)
class Trial:
    """`ended`: verified, or escalated with a person told, in time; `took_s`: from the kill until then."""

    number: int
    step: str
    kind: str
    asset: str
    incident: str
    ended: bool
    took_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`effects`: those on the asset, over all its action ids (pages apart). `lost`: an order without an outcome, an
    outcome that says succeeded without an effect, a page that nobody got, or no end."""

    effects: int
    twice: bool
    lost: bool
    told_unknown: bool
    repeats: int
    contradicted: bool


def verdict(trial: Trial, receiver: Receiver, story: Story) -> Verdict:
    steps = story.steps(trial.incident)
    ordered = {r.action_id: r.strategy for r in steps if r.status is RemediationStatus.EXECUTING}
    acts = [a for a, strategy in ordered.items() if strategy != "page"]
    pages = [a for a, strategy in ordered.items() if strategy == "page"]
    by_key = trial.kind == "control"
    effects = sum(receiver.applied["/control", a] for a in acts) if by_key else receiver.commands[trial.asset]
    paged = sum(receiver.applied["/page", a] for a in pages)
    told: list[ActionOutcome] = [o for a in ordered for o in story.outcomes.get(a, [])]
    unknown = any(o.detail.startswith(INTERRUPTED) for o in told)
    claimed = any(o.succeeded and o.strategy != "page" for o in told)
    unanswered = any(a not in story.outcomes for a in ordered)
    untold = unknown and not paged
    deliveries = sum(receiver.deliveries[p, a] - receiver.applied[p, a] for p in ("/control", "/page") for a in ordered)
    return Verdict(
        effects=effects,
        twice=effects > 1 or paged > 1,
        lost=not trial.ended or unanswered or untold or not ordered or (effects == 0 and (claimed or not unknown)),
        told_unknown=unknown,
        repeats=deliveries,
        contradicted=any(len(story.outcomes.get(a, ())) > 1 for a in ordered),
    )


def rows(
    trials: Sequence[Trial], steps: Sequence[str], receiver: Receiver, story: Story
) -> Iterator[dict[str, object]]:
    found = [(trial, verdict(trial, receiver, story)) for trial in trials]
    for step in (*steps, "all"):
        of_step = [(t, v) for t, v in found if step in ("all", t.step)]
        if of_step:
            yield _row(step, of_step)


def _row(step: str, found: Sequence[tuple[Trial, Verdict]]) -> dict[str, object]:
    took = sorted(t.took_s * 1000 for t, _ in found)
    verdicts = [v for _, v in found]
    return {
        "what": "kills",
        "step": step,
        "kills": len(found),
        "effects": sum(v.effects for v in verdicts),
        "twice": sum(v.twice for v in verdicts),
        "lost": sum(v.lost for v in verdicts),
        "told_unknown": sum(v.told_unknown for v in verdicts),
        "repeats": sum(v.repeats for v in verdicts),
        "contradicted": sum(v.contradicted for v in verdicts),
        "p50_ms": took[math.ceil(0.5 * len(took)) - 1],
        "most_ms": took[-1],
        "worst": [f"{t.incident} {t.step} {t.kind}" for t, v in found if v.twice or v.lost or v.contradicted][:5],
    }
