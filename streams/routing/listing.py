"""The candidates of a record: each with its verdict, its terms and its reasons. The best first, then the refused."""

from __future__ import annotations

from schemas.records import Candidate, PolicyVerdict
from streams.routing import wording
from streams.routing.case import Case
from streams.routing.fleet import rank
from streams.routing.scoring import ranked

_DIGITS = 6


def candidates(case: Case) -> tuple[Candidate, ...]:
    """At most `candidates_listed`; the chosen ones are always among them."""
    most = case.settings.candidates_listed
    first = ranked(case.scores, most)
    listed = sorted({*first, *case.selection.chosen}, key=case.scores.before)
    chosen, denied = set(case.selection.chosen), set(case.selection.denied)
    spare = [row for row in listed if row not in chosen]
    drop = set(spare[max(0, most - len(chosen)) :])
    rows = [row for row in listed if row not in drop]
    allowed = [_eligible(case, row) for row in rows if row not in denied]
    refused = [_denied(case, row) for row in rows if row in denied]
    rest = most - len(rows)
    by_filter = [_refused(case, index) for index in case.refused(rest)] if rest > 0 else []
    return (*allowed, *refused, *by_filter)


def verdicts(case: Case) -> tuple[PolicyVerdict, ...]:
    """Each distinct verdict once: the target's first, then in the order of asking."""
    answers = list(case.permissions.answers.items())
    target = case.selection.target
    if target is not None:
        index = int(case.scores.index[target])
        answers.sort(key=lambda entry: entry[0] != index)
    return tuple(dict.fromkeys(verdict for _, answer in answers for verdict in answer.verdicts))


def figures_of(case: Case, index: int) -> list[str]:
    """What is known of one candidate, in words with units; what is not known is said too."""
    now, losses = case.now, case.now.losses
    said = [
        _figure(case, "cost", index, now.cost_usd_per_hour.item(index), wording.usd_per_hour),
        _figure(case, "latency", index, now.latency_ms.item(index), wording.milliseconds),
        _figure(case, "reliability", index, now.failure_share.item(index), wording.reliability),
    ]
    for term, say in (("saturation", wording.saturation), ("carbon", wording.carbon)):
        value = losses[term].item(index)
        said.append(say(value) if wording.is_known(value) else f"{term} not known")
    return said


def _figure(case: Case, term: str, index: int, value: float, say: wording.Say) -> str:
    if not wording.is_known(value):
        return f"{term} not known"
    return f"{say(value)} {'measured' if case.now.measured[term][index] else 'declared'}"


def notes_of(case: Case, index: int) -> list[str]:
    """What else counted for one candidate: moving the data, a lesser incident, being the incumbent."""
    notes = []
    transfer = case.now.transfer
    if transfer.moves[index]:
        notes.append(
            f"{transfer.data_gb:g} GB move from {transfer.source} for {transfer.usd:,.2f} USD "
            f"in {wording.seconds(transfer.seconds)}"
        )
    severity = int(case.frame.codes("severity")[index])
    if 0 < severity < rank(case.settings.incident_severity):
        notes.append(f"an open lesser incident takes {case.settings.incident_penalty:g} from its score")
    if case.frame.id_of(index) == case.ask.incumbent and case.settings.incumbent_bonus:
        notes.append(f"has the job, which adds {case.settings.incumbent_bonus:g} to its score")
    if case.degraded:
        notes += [f"degraded, forgiven: {check.why(index)}" for check in case.forgiven(index)]
    return notes


def _eligible(case: Case, row: int) -> Candidate:
    index = int(case.scores.index[row])
    return _candidate(case, row, True, [*figures_of(case, index), *notes_of(case, index)])


def _denied(case: Case, row: int) -> Candidate:
    index = int(case.scores.index[row])
    return _candidate(case, row, False, [*case.permissions.of(index).reasons, *figures_of(case, index)])


def _candidate(case: Case, row: int, eligible: bool, reasons: list[str]) -> Candidate:
    return Candidate(
        asset_id=case.id_of(row),
        eligible=eligible,
        terms={term: round(column.item(row), _DIGITS) for term, column in case.scores.terms.items()},
        score=float(case.scores.score[row]),
        reasons=tuple(reasons),
    )


def _refused(case: Case, index: int) -> Candidate:
    return Candidate(asset_id=case.frame.id_of(index), eligible=False, reasons=tuple(reasons_against(case, index)))


def reasons_against(case: Case, index: int) -> list[str]:
    """Why a filter refused it, and what the policy says of it where it was asked all the same."""
    answer = case.permissions.answers.get(index)
    asked = list(answer.reasons) if answer is not None else []
    return [*(check.why(index) for check in case.failed_checks(index)), *asked]
