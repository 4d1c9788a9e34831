"""May this job go to one candidate: has it room, does the policy allow it, can its obligations be met? Asked once each.

Met here: max_cost, keep_in_region (the candidate's own figures), require_approval (an approval record of that job and
target), redact (nothing of a job's metadata is put into a record). notify and x.<name> bind whoever runs the job: they
stand in the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.records import JobRequest, PolicyVerdict
from streams.kit import ids
from streams.policy.gate import ask
from streams.policy.modes import approval, approval_used
from streams.policy.obligations import Duty, Obligation, parse_all
from streams.policy.population import Candidates
from streams.policy.port import Context, Outcome, Point, PolicyHook, Question
from streams.routing import wording
from streams.routing.columns import Frame
from streams.routing.figures import Figures
from streams.routing.fleet import Fleet
from streams.routing.plan import Asked
from streams.routing.room import BY_QUOTA, EMPTY, Asking, Room
from streams.routing.settings import RoutingSettings

Plain = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Permission:
    """`reasons` say why not; empty when allowed."""

    allowed: bool
    verdicts: tuple[PolicyVerdict, ...]
    obligations: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    by: str = "policy"


def approval_id(job_id: str, asset_id: str) -> str:
    """What an approval record names (its `action_id`) to let this job run on this target."""
    return ids.derive("route", job_id, asset_id)


@dataclass(slots=True)
class Permissions:
    """The answers of one decision. `at` in ms: approvals that have expired by then do not count."""

    hook: PolicyHook
    fleet: Fleet
    frame: Frame
    job: JobRequest
    now: Figures
    at: int
    room: Room = EMPTY
    settings: RoutingSettings = field(default_factory=RoutingSettings)
    answers: dict[int, Permission] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    """Who was asked for room, in order, and what came of it."""
    situation: dict[str, Plain] = field(init=False)
    asking: Asking = field(init=False)

    def __post_init__(self) -> None:
        self.situation = _of_job(self.job)
        self.asking = self.room.asked_by(self.job, self.at, self.settings)

    @property
    def quota(self) -> Permission | None:
        """The answer about every candidate, if the tenant may have no more active jobs."""
        return _denied(BY_QUOTA, self.asking.quota) if self.asking.quota else None

    @property
    def distinct(self) -> list[Permission]:
        """Each answer once, in the order of asking: of a tenant over its quota all candidates have the same one."""
        given = list(self.answers.values())
        return list(dict(zip(map(id, given), given, strict=True)).values())

    def of(self, index: int) -> Permission:
        """`index` is the candidate's place in the frame."""
        if index not in self.answers:
            self.answers[index] = self._ask(index)
        return self.answers[index]

    def _ask(self, index: int) -> Permission:
        asset_id, capacity = self.frame.id_of(index), self.frame.floats("capacity").item(index)
        cost = self.now.losses["cost"].item(index)
        by, full = self.asking.refused(asset_id, capacity, cost)
        self.asked.append(Asked(asset_id, capacity, cost, full))
        if full:
            return _denied(by, full)
        answer = ask(self.hook, self.fleet.world, self.question(index))
        if answer.outcome is not Outcome.ALLOW:
            said = "policy error" if answer.outcome is Outcome.ERROR else "denied by policy"
            return Permission(False, answer.verdicts, (), (f"{said} {answer.reason}",))
        unmet = tuple(text for o in parse_all(answer.obligations) if (text := self._unmet(index, o)) is not None)
        verdicts = answer.verdicts
        if any(o.duty is Duty.REQUIRE_APPROVAL for o in parse_all(answer.obligations)):
            action_id = approval_id(self.job.id, self.frame.id_of(index))
            verdicts += approval_used(self.fleet.world, action_id, self.at)
        return Permission(not unmet, verdicts, answer.obligations, unmet)

    def question(self, index: int) -> Question:
        """What the policy is asked about the candidate at this place in the frame."""
        asset_id = self.frame.id_of(index)
        cost = float(self.now.losses["cost"][index]) if self._cost_known(index) else None
        context = {**self.situation, **({"cost_usd_per_hour": cost} if cost is not None else {})}
        return self._question(asset_id, self.fleet.attributes_of(asset_id), context)

    def candidates(self, places: npt.NDArray[np.intp]) -> Candidates:
        """What the policy is asked about all candidates at these places in the frame, at once."""
        known = ~np.isnan(self.now.cost_usd_per_hour[places])
        cost = np.where(known, self.now.losses["cost"][places], np.nan)
        asked = self._question("", {}, self.situation)
        return Candidates(self.fleet.population, places + self.frame.start, asked, {"cost_usd_per_hour": cost})

    def _question(self, asset_id: str, attributes: Context, context: Context) -> Question:
        principal = f"tenant:{self.job.tenant}" if self.job.tenant else "layer:routing"
        return Question(Point.ROUTING, principal, "route", asset_id, attributes, context)

    def _cost_known(self, index: int) -> bool:
        return wording.is_known(self.now.cost_usd_per_hour[index])

    def _unmet(self, index: int, obligation: Obligation) -> str | None:
        """Why this obligation cannot be met with this candidate; None = it can."""
        if obligation.duty is Duty.MAX_COST:
            return self._over_cost(index, obligation)
        if obligation.duty is Duty.KEEP_IN_REGION:
            region = self.frame.text("region", index)
            if region != obligation.argument:
                return f"obligation {obligation.text} not met: region is {region or 'not known'}"
        if obligation.duty is Duty.REQUIRE_APPROVAL:
            action_id = approval_id(self.job.id, self.frame.id_of(index))
            answer = approval(self.fleet.world, action_id, self.at)
            if answer is None:
                return f"obligation require_approval not met: no approval of {action_id}"
            if not answer.approved:
                return f"obligation require_approval not met: {answer.by} refused {action_id}"
        return None

    def _over_cost(self, index: int, obligation: Obligation) -> str | None:
        limit = obligation.cost_usd_per_hour
        cost = float(self.now.losses["cost"][index])
        if limit is not None and wording.is_known(cost) and cost <= limit:
            return None
        said = wording.usd_per_hour(cost) if wording.is_known(cost) else "not known"
        return f"obligation {obligation.text} not met: cost is {said}"


def _denied(by: str, why: str) -> Permission:
    return Permission(False, (), (), (why,), by=by)


def _of_job(job: JobRequest) -> dict[str, Plain]:
    """The situation: the job's own fields, and its metadata as `job.<name>` and `metadata.<name>`."""
    out: dict[str, Plain] = {}
    for name, value in sorted(job.metadata.items()):
        if value is not None:
            out[f"job.{name}"] = out[f"metadata.{name}"] = value
    if isinstance(sensitive := job.metadata.get("sensitive"), bool):
        out["sensitive"] = sensitive
    out |= {"job_id": job.id, "job_type": job.type, "priority": job.priority.value}
    if job.tenant is not None:
        out["tenant"] = job.tenant
    if job.data_gb is not None:
        out["data_gb"] = job.data_gb
    c = job.constraints
    return out | {
        "required_capabilities": job.required_capabilities,
        "compliance": c.compliance,
        "data_regions": c.data_regions,
    }
