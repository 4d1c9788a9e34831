"""What telemetry and the registry say: incidents open, change and close, assets vanish; and who is well or ill then."""

from __future__ import annotations

from schemas.records import Anomaly, AnomalyState, RemediationStatus
from streams.healing.desk import Desk, tell
from streams.healing.draft import action_key, incident_key
from streams.healing.grouping import waiting_downstream
from streams.healing.guards import UNCONFIRMED
from streams.healing.holding import put_aside, release
from streams.healing.ordering import joined_ids
from streams.healing.planning import diagnose
from streams.healing.pools import pool_of
from streams.healing.ranking import SEVERITY_WEIGHT, at_least
from streams.healing.settings import milliseconds
from streams.healing.state import IncidentRow, IncidentState
from streams.healing.verification import on_look, resolve, watched_id

_RECONSIDERED = ("no_strategy",)


def on_anomaly(desk: Desk, anomaly: Anomaly) -> None:
    row = desk.draft.incident(anomaly.incident_id)
    if row is None:
        if anomaly.state is not AnomalyState.CLOSED and at_least(anomaly.severity, desk.settings.min_severity):
            _opened(desk, anomaly)
    elif not row.is_open or anomaly.id == row.anomaly.id or anomaly.at < row.anomaly.at:
        return
    elif anomaly.state is AnomalyState.CLOSED:
        on_closed(desk, row, f"incident closed: {anomaly.reason}")
    else:
        _changed(desk, row, anomaly)


def _opened(desk: Desk, anomaly: Anomaly) -> None:
    pool = pool_of(desk.world.assets.get(anomaly.asset_id), desk.settings)
    row = desk.draft.put_incident(IncidentRow(anomaly=anomaly, pool=pool))
    _mark_ill(desk, row)
    diagnose(desk, row)
    desk.draft.to_diagnose.extend(waiting_downstream(desk, row))


def _changed(desk: Desk, row: IncidentRow, anomaly: Anomaly) -> None:
    worse = SEVERITY_WEIGHT[anomaly.severity] > SEVERITY_WEIGHT[row.anomaly.severity]
    reconsidered = row.held_by == UNCONFIRMED or (worse and row.held_by in _RECONSIDERED)
    row = desk.draft.put_incident(row.model_copy(update={"anomaly": anomaly}))
    if reconsidered and row.state is IncidentState.SUPPRESSED:
        diagnose(desk, row)


def on_closed(desk: Desk, row: IncidentRow, why: str) -> None:
    """An incident that is being acted on goes on to its proof; one that only waited needs nothing any more."""
    row = desk.draft.put_incident(row.model_copy(update={"is_open": False}))
    _mark_well(desk, row)
    if row.state is IncidentState.VERIFYING:
        on_look(desk, row)
    elif row.state is IncidentState.ACTING:
        return
    elif row.state is IncidentState.DIAGNOSING:
        if row.action_id:
            desk.draft.drop(action_key(row.action_id))
        row = tell(desk, row, RemediationStatus.SUPPRESSED, f"{row.strategy} is not needed any more: {why}")
        resolve(desk, row)
        _wake_joined(desk, row)
    else:
        resolve(desk, row)
        _wake_joined(desk, row)
    _look_at_lease_holders(desk, row)


def _look_at_lease_holders(desk: Desk, closed: IncidentRow) -> None:
    """The asset may be healthy now: what the incident that holds its lease waits for, or one that failed over to it."""
    for asset_id in dict.fromkeys((closed.asset_id, *sorted(desk.draft.pool(closed.pool).acting))):
        lease = desk.draft.asset(asset_id).lease
        holder = desk.draft.incident(lease.incident_id) if lease is not None else None
        if holder is None or holder.id == closed.id or holder.state is not IncidentState.VERIFYING:
            continue
        if closed.asset_id in (asset_id, watched_id(desk, holder)):
            on_look(desk, holder)


def _wake_joined(desk: Desk, ended: IncidentRow) -> None:
    if desk.draft.asset(ended.asset_id).lease is None:
        desk.draft.to_diagnose.extend(joined_ids(desk, ended.asset_id))


def _mark_ill(desk: Desk, row: IncidentRow) -> None:
    asset, pool = desk.draft.asset(row.asset_id), desk.draft.pool(row.pool)
    failing_back = asset.drain is not None and asset.drain.executing
    failback_at = asset.failback_at if failing_back else None
    update = {"open_ids": (*asset.open_ids, row.id), "pool": row.pool, "failback_at": failback_at}
    desk.draft.put_asset(asset.model_copy(update=update))
    ill = {**pool.ill, row.asset_id: (*pool.ill.get(row.asset_id, ()), row.id)}
    desk.draft.put_pool(pool.model_copy(update={"ill": ill}))


def _mark_well(desk: Desk, row: IncidentRow, *, known_healthy: bool = True) -> None:
    asset, pool = desk.draft.asset(row.asset_id), desk.draft.pool(row.pool)
    open_ids = tuple(i for i in asset.open_ids if i != row.id)
    update: dict[str, object] = {"open_ids": open_ids}
    if not open_ids and known_healthy:
        update["healthy_since"] = desk.now
        if asset.drain is not None:
            update["failback_at"] = desk.now + milliseconds(desk.settings.failback_after_s)
    desk.draft.put_asset(asset.model_copy(update=update))
    left = tuple(i for i in pool.ill.get(row.asset_id, ()) if i != row.id)
    ill = {a: ids for a, ids in pool.ill.items() if a != row.asset_id} | ({row.asset_id: left} if left else {})
    desk.draft.put_pool(pool.model_copy(update={"ill": ill}))


def on_asset_removed(desk: Desk, asset_id: str) -> None:
    for incident_id in desk.draft.asset(asset_id).open_ids:
        row = desk.draft.incident(incident_id)
        if row is None:
            continue
        was_at_work = row.state in (IncidentState.ACTING, IncidentState.VERIFYING)
        if was_at_work:
            put_aside(desk, row, "removed", f"{asset_id} left the registry, so {row.strategy} is not followed further")
            row = desk.draft.incident(incident_id) or row
        on_closed(desk, row, f"{asset_id} left the registry")
    asset = desk.draft.asset(asset_id)
    desk.draft.put_asset(asset.model_copy(update={"drain": None, "failback_at": None}))


def forget(desk: Desk, row: IncidentRow) -> None:
    """The end of retention. An incident that was never closed says nothing about health: no failback follows."""
    if row.is_open:
        _mark_well(desk, row, known_healthy=False)
    release(desk, row)
    desk.draft.drop(incident_key(row.id))
