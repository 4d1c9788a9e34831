"""One line about a record, for people: what happened, with figures and units. Pure.

Records with a `reason` of their own are told by it; the others by their fields.
"""

from __future__ import annotations

from functools import singledispatch

from schemas.records import (
    ActionOutcome,
    Anomaly,
    DiscoveryEvent,
    HealthSignal,
    HealthSignalBatch,
    JobOutcome,
    JobRequest,
    LifecycleEvent,
    Performance,
    PolicyRecord,
    Recommendation,
    Record,
    RegisteredAsset,
    Remediation,
    RoutingDecision,
    Spending,
)


def _figure(value: float, unit: str) -> str:
    return f"{value:,.6g} {unit}".rstrip()


@singledispatch
def sentence(record: Record) -> str:
    """One line without a full stop."""
    return type(record).__name__


@sentence.register
def _(record: HealthSignal) -> str:
    return f"{record.metric} of {record.asset_id} was {_figure(record.value, record.unit)}"


@sentence.register
def _(record: HealthSignalBatch) -> str:
    who = f" from {record.source}" if record.source else ""
    return f"{len(record.value)} samples of {len(record.series)} series{who}"


@sentence.register
def _(record: Anomaly) -> str:
    what = f"{record.severity.value} {record.kind.value} of {record.metric} on {record.asset_id} {record.state.value}"
    return f"{what}: {record.reason}"


@sentence.register
def _(record: Remediation) -> str:
    return f"{record.strategy or 'healing'} of {record.asset_id} {_words(record.status.value)}: {record.reason}"


@sentence.register
def _(record: ActionOutcome) -> str:
    ended = "rolled back" if record.rolled_back else ("succeeded" if record.succeeded else "failed")
    return f"{record.strategy} of {record.asset_id} {ended}: {record.detail}"


@sentence.register
def _(record: Recommendation) -> str:
    step = f"from {record.from_units:g} to {record.to_units:g} units"
    withdrawn = " withdrawn" if record.withdrawn else ""
    return f"{_words(record.action.value)} {record.asset_id} {step}{withdrawn}: {record.reason}"


@sentence.register
def _(record: JobRequest) -> str:
    needs = f", needs {', '.join(record.required_capabilities)}" if record.required_capabilities else ""
    whose = f" for {record.tenant}" if record.tenant else ""
    return f"job {record.id}{whose} asked for a target (priority {record.priority.value}{needs})"


@sentence.register
def _(record: RoutingDecision) -> str:
    where = f" to {record.target_id}" if record.target_id else ""
    return f"job {record.job_id} {record.outcome.value}{where} (revision {record.revision}): {record.reason}"


@sentence.register
def _(record: JobOutcome) -> str:
    why = f": {record.error}" if record.error else ""
    return f"job {record.job_id} {record.outcome.value} on {record.target_id}{why}"


@sentence.register
def _(record: LifecycleEvent) -> str:
    return f"{record.asset_id} {record.change.value} (source {record.source}): {record.reason}"


@sentence.register
def _(record: RegisteredAsset) -> str:
    where = ", ".join(part for part in (record.cloud, record.region) if part)
    return f"{record.kind.value} {record.id}{f' in {where}' if where else ''} is {record.state.value}"


@sentence.register
def _(record: DiscoveryEvent) -> str:
    about = record.asset_id or (record.asset.id if record.asset is not None else record.snapshot_id or "")
    why = f": {record.reason}" if record.reason else ""
    return f"{record.source} says {_words(record.op.value)} {about} in {record.scope}".replace("  ", " ") + why


@sentence.register
def _(record: Performance) -> str:
    return f"performance of {record.asset_id}"


@sentence.register
def _(record: Spending) -> str:
    """Its reason names scope and amount."""
    return f"{record.layer} has committed: {record.reason}"


@sentence.register
def _(record: PolicyRecord) -> str:
    why = f": {record.reason}" if record.reason else ""
    by = f" by {record.author}" if record.author and record.approval is None else ""  # which says it itself
    return f"{_policy_body(record)}{by}{why}"


def _policy_body(record: PolicyRecord) -> str:
    if record.pause is not None:
        verb = "lifted" if record.pause.lifted else "set"
        again = f", again by {record.pause.rrule} in {record.pause.zone or 'UTC'}" if record.pause.rrule else ""
        return f"pause of {record.pause.holder} on {record.pause.scope} {verb}{again}"
    if record.approval is not None:
        verb = "approved" if record.approval.approved else "rejected"
        return f"action {record.approval.action_id} {verb} by {record.approval.by}"
    if record.mode is not None:
        rule = record.mode
        return f"mode {rule.mode.value} for strategy {rule.strategy}, tenant {rule.tenant}, {rule.environment}"
    if record.budget is not None:
        over = f" in the mean of each {record.budget.period}" if record.budget.period else ""
        return f"budget of {record.budget.scope} is {record.budget.limit_usd_per_hour:g} USD/h{over}"
    files = len(record.policy_set.files) if record.policy_set is not None else 0
    return f"policy set {record.id} version {record.version} ({files} files)"


def _words(value: str) -> str:
    return value.replace("_", " ")
