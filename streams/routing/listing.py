"""The candidates of a record: each with its verdict, its terms and its reasons. The best first, then the refused."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from schemas.records import Candidate, PolicyVerdict
from streams.policy.modes import budgets_used
from streams.routing import wording
from streams.routing.budgets import scopes_of
from streams.routing.case import Case
from streams.routing.columns import Flags, Floats
from streams.routing.fleet import rank
from streams.routing.scoring import ranked

_DIGITS: Final = 6
PHRASES_CACHED: Final = 65_536
"""Figures in words of that many: the same assets are listed in decision after decision."""


def candidates(case: Case) -> tuple[Candidate, ...]:
    """At most `candidates_listed`, or as many as are chosen: those are always among them."""
    most, chosen = case.settings.candidates_listed, case.selection.chosen
    rows = ranked(case.scores, most)
    if not set(chosen) <= set(rows):
        others = [row for row in rows if row not in chosen]
        rows = sorted([*others[: max(0, most - len(chosen))], *chosen], key=case.scores.before)
    scored = _scored(case, rows, set(case.selection.denied))
    rest = most - len(rows)
    by_filter = [_refused(case, index) for index in case.refused(rest)] if rest > 0 else []
    return (*sorted(scored, key=lambda c: not c.eligible), *by_filter)


def verdicts(case: Case) -> tuple[PolicyVerdict, ...]:
    """Each distinct verdict once: the target's first, then in the order of asking, then soft terms and budgets."""
    answers, target = case.permissions.distinct, case.selection.target
    if target is not None:
        answers.insert(0, case.permissions.of(int(case.scores.index[target])))
    asked = (verdict for answer in answers for verdict in answer.verdicts)
    fleet = case.permissions.fleet
    scopes = [scope for scope in scopes_of(case.ask.job.tenant) if scope in fleet.budgets]
    budgets = budgets_used(fleet.world, scopes) if scopes else ()
    return tuple(dict.fromkeys((*asked, *case.soft.verdicts, *budgets)))


def figures_of(case: Case, index: int) -> list[str]:
    """What is known of one candidate, in words with units; what is not known is said too."""
    return list(_said(case, [index])[0])


def _said(case: Case, indexes: list[int]) -> list[tuple[str, ...]]:
    """The figures of several candidates: read column by column, which is what makes a long list cheap."""
    now = case.now
    columns = [
        _column("cost", now.cost_usd_per_hour[indexes], wording.usd_per_hour, now.measured["cost"][indexes]),
        _column("latency", now.latency_ms[indexes], wording.milliseconds, now.measured["latency"][indexes]),
        _reliability(case, indexes),
        _column("saturation", now.saturation[indexes], wording.saturation, None),
        _column("carbon", now.carbon_g_per_kwh[indexes], wording.carbon, None),
    ]
    return list(zip(*columns, strict=True))


def _column(term: str, values: Floats, say: wording.Say, measured: Flags | None) -> list[str]:
    """`measured` None = the source goes without saying."""
    known = [""] * len(values) if measured is None else [" measured" if m else " declared" for m in measured.tolist()]
    return [
        _phrase(say, value, source) if value == value else f"{term} not known"
        for value, source in zip(values.tolist(), known, strict=True)
    ]


def _reliability(case: Case, indexes: list[int]) -> list[str]:
    now = case.now
    plain = _column(
        "reliability", now.failure_share[indexes], wording.reliability, now.measured["reliability"][indexes]
    )
    if now.learned is None:
        return plain
    return [now.learned_reliability(index) or said for index, said in zip(indexes, plain, strict=True)]


@lru_cache(PHRASES_CACHED)
def _phrase(say: wording.Say, value: float, source: str) -> str:
    return f"{say(value)}{source}"


def notes_of(case: Case, index: int) -> list[str]:
    """What else counted for one candidate: moving the data, a lesser incident, being the incumbent."""
    notes = []
    transfer = case.now.transfer
    if transfer.moves[index]:
        notes.append(
            f"{transfer.data_gb:g} GB move from {transfer.source} for {transfer.usd:,.2f} USD "
            f"in {wording.seconds(transfer.seconds)}"
        )
    severity = case.frame.codes("severity").item(index)
    if 0 < severity < rank(case.settings.incident_severity):
        notes.append(f"an open lesser incident takes {case.settings.incident_penalty:g} from its score")
    if case.frame.id_of(index) == case.ask.incumbent and case.settings.incumbent_bonus:
        notes.append(f"has the job, which adds {case.settings.incumbent_bonus:g} to its score")
    if case.degraded:
        notes += [f"degraded, forgiven: {check.why(index)}" for check in case.forgiven(index)]
    return notes


def _scored(case: Case, rows: list[int], denied: set[int]) -> list[Candidate]:
    """Candidates that were scored, in order: those that the policy refused with its reasons first."""
    scores = case.scores
    indexes = scores.index[rows].tolist()
    columns = [np.round(values[rows], _DIGITS).tolist() for values in scores.terms.values()]
    noted = _noted(case, indexes)
    return [
        Candidate.known(
            {
                "asset_id": case.frame.id_of(index),
                "eligible": row not in denied,
                "terms": dict(zip(scores.terms, terms, strict=True)),
                "score": score,
                "reasons": (
                    *(case.permissions.of(index).reasons if row in denied else ()),
                    *said,
                    *(notes_of(case, index) if index in noted else ()),
                ),
            }
        )
        for row, index, score, terms, said in zip(
            rows, indexes, scores.score[rows].tolist(), zip(*columns, strict=True), _said(case, indexes), strict=True
        )
    ]


def _noted(case: Case, indexes: list[int]) -> set[int]:
    """Those of which `notes_of` may have something to say."""
    if case.degraded:
        return set(indexes)
    places = np.array(indexes, np.intp)
    some = case.now.transfer.moves[places] | (case.frame.codes("severity")[places] > 0)
    incumbent = {index for index in indexes if case.frame.id_of(index) == case.ask.incumbent}
    return {*places[some].tolist(), *incumbent}


def _refused(case: Case, index: int) -> Candidate:
    reasons = tuple(reasons_against(case, index))
    asset_id = case.frame.id_of(index)
    return Candidate.known({"asset_id": asset_id, "eligible": False, "terms": {}, "score": None, "reasons": reasons})


def reasons_against(case: Case, index: int) -> list[str]:
    """Why a filter refused it, and what the policy says of it where it was asked all the same."""
    answer = case.permissions.answers.get(index)
    asked = list(answer.reasons) if answer is not None else []
    return [*(check.why(index) for check in case.failed_checks(index)), *asked]
