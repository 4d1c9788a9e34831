"""The reason of a decision: one sentence with figures and units, and the nearest counterfactual."""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.routing import wording
from streams.routing.case import Case
from streams.routing.counterfactual import Rivalry, winning_change
from streams.routing.figures import data_source
from streams.routing.listing import figures_of, notes_of, reasons_against
from streams.routing.scoring import best

NAMED_IN_FULL: Final = 3


def reason(case: Case) -> str:
    """What led to a revision is put before it."""
    text = _routed(case) if case.selection.target is not None else _unroutable(case)
    return "; ".join(part for part in (text, *_job_notes(case), *_unlisted(case)) if part)


def counterfactual(case: Case) -> str | None:
    rival = runner_up(case)
    if rival is not None and case.selection.target is not None:
        return _against(case, case.selection.target, rival)
    if case.selection.denied:
        row = case.first_denied
        index = int(case.scores.index[row])
        return f"{case.id_of(row)} would be eligible without: {'; '.join(case.permissions.of(index).reasons)}"
    nearest = case.refused(1)
    if not nearest:
        return None
    remedies = [check.remedy(nearest[0]) for check in case.failed_checks(nearest[0])]
    answer = case.permissions.answers.get(nearest[0])
    if answer is not None and not answer.allowed:
        remedies.append(f"without: {'; '.join(answer.reasons)}")
    return f"{case.frame.id_of(nearest[0])} would be eligible {' and '.join(remedies)}"


def runner_up(case: Case) -> int | None:
    """The best row that is neither the target nor denied."""
    among = np.ones(len(case.scores.index), np.bool_)
    among[case.selection.denied] = False
    if case.selection.target is not None:
        among[case.selection.target] = False
    return best(case.scores, among)


def _against(case: Case, target: int, rival: int) -> str:
    name = case.id_of(rival)
    if case.scores.before(rival) < case.scores.before(target):
        return (
            f"{name} scores higher ({_score(case, rival)} to {_score(case, target)}), but a pivot comes before scores"
        )
    change = winning_change(Rivalry(case.scores, case.now, case.weights, case.settings, target, rival))
    if change is not None:
        return f"{name} would win {change}"
    return f"no single figure of {name} would make it win"


def _routed(case: Case) -> str:
    target = case.selection.target
    assert target is not None
    index = int(case.scores.index[target])
    total, eligible = case.counts()
    parts = [
        f"{case.id_of(target)} scores {_score(case, target)} of {eligible} eligible among {total} candidates: "
        + wording.listed([*figures_of(case, index), *notes_of(case, index), *case.soft.said(target)])
    ]
    rival = runner_up(case)
    if rival is not None:
        parts.append(f"next is {case.id_of(rival)} with {_score(case, rival)}")
    if case.selection.fallbacks:
        domains = [case.frame.text("domain", int(case.scores.index[row])) for row in case.selection.fallbacks]
        named = [f"{i} in {d or 'an unknown domain'}" for i, d in zip(case.fallback_ids, domains, strict=True)]
        parts.append(f"fallbacks {wording.listed(named)}")
    return "; ".join(parts)


def _unroutable(case: Case) -> str:
    total, _ = case.counts()
    if total == 0:
        return "no asset is registered"
    head = f"none of {total} candidates is eligible: "
    if total <= NAMED_IN_FULL:
        return head + "; ".join(f"{name} {', '.join(reasons)}" for name, reasons in _all_reasons(case))
    counts = [f"{count} by {name}" for name, count in case.refusals_by_check()]
    if case.selection.denied:
        counts += [f"{count} by {name}" for name, count in sorted(case.denials().items())]
        first = case.first_denied
        counts.append(f"such as {case.id_of(first)} {', '.join(_denials(case, first))}")
    return head + ", ".join(counts)


def _all_reasons(case: Case) -> list[tuple[str, list[str]]]:
    denied = [(case.id_of(row), _denials(case, row)) for row in sorted(case.selection.denied, key=case.scores.before)]
    refused = [(case.frame.id_of(i), reasons_against(case, i)) for i in case.refused(NAMED_IN_FULL)]
    return denied + refused


def _denials(case: Case, row: int) -> list[str]:
    return list(case.permissions.of(int(case.scores.index[row])).reasons)


def _job_notes(case: Case) -> list[str]:
    job, notes = case.ask.job, list(case.weights.notes)
    if job.data_gb and data_source(job) is None:
        notes.append(
            f"where its {job.data_gb:g} GB are is not said (metadata data_region), so moving them is not counted"
        )
    deadline_at, target = job.constraints.deadline_at, case.selection.target
    if deadline_at is not None and target is not None:
        index = int(case.scores.index[target])
        left_s = (deadline_at - case.ask.at) / 1000
        needed_s = case.now.losses["latency"].item(index) / 1000
        notes.append(f"needs {wording.seconds(needed_s)} of the {wording.seconds(left_s)} to its deadline")
    if case.selection.inside_domain:
        notes.append(f"nothing known to be outside failure domain {case.ask.preference.leave_domain} is eligible")
    if case.selection.stopped:
        notes.append(f"stopped after {len(case.permissions.answers)} questions to the policy (policy_asks_max)")
    return notes


def _unlisted(case: Case) -> list[str]:
    total, listed = len(case.frame.columns), case.settings.candidates_listed
    if total <= listed:
        return []
    refused = ", ".join(f"{count} fail {name}" for name, count in case.refusals_by_check())
    return [f"{listed} of {total} candidates are listed{': of all, ' + refused if refused else ''}"]


def _score(case: Case, row: int) -> str:
    return f"{float(case.scores.score[row]):.3f}"
