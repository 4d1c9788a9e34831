"""From a proposal to what is published: second look, limits, policy, cooldown, renewal, withdrawal, expiry.

                proposed         looked at again (recheck_s; an urgent scale-out at once)
(nothing) ----------------> pending ----------------> published --- renewed shortly before it is over
    ^                          |                          |
    |     proposal gone        |      gone, held, expired |   another action: withdrawn, then that one
    +--------------------------+--------------------------+
held back or denied by policy: one withdrawn record says why, again only when its time to live is over
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Recommendation, RecommendedAction
from streams.kit import ids
from streams.kit.layer import Emission
from streams.kit.world import World
from streams.optimisation import wording
from streams.optimisation.confidence import confidence_of
from streams.optimisation.limits import Held, limit
from streams.optimisation.permission import ask_policy, published
from streams.optimisation.proposal import DOWN, Proposal
from streams.optimisation.renewal import is_news, saving_of, steadied
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Situation
from streams.optimisation.state import AssetRow, Pending, Published, Refused
from streams.policy.port import PolicyHook


@dataclass(slots=True)
class Publication:
    """One look at one asset; `row` is this look's own copy. `told` collects the emissions."""

    asset_id: str
    row: AssetRow
    at: int
    settings: OptimisationSettings
    told: list[Emission]

    def consider(self, proposal: Proposal | None, s: Situation, world: World, policy: PolicyHook | None) -> None:
        standing = self.row.published
        if standing is not None and s.units != standing.from_units:
            self.withdraw(f"it has {s.units:g} units now")
        elif standing is not None and proposal is None:
            self._let_go(standing, s)
        if proposal is None:
            self.row.pending = None
            return
        if standing is not None and standing.action is not proposal.action:
            self.withdraw(f"{proposal.action.value} is called for instead, since {proposal.why}")
        if self._waits(proposal):
            return
        result = limit(proposal, s, self.row, world, self.settings)
        if isinstance(result, Held):
            self._hold(result, s)
        else:
            self._say(steadied(self.row.published, result), s, world, policy)

    def _let_go(self, standing: Published, s: Situation) -> None:
        """What stands is no longer called for; it lives for the cooldown at least: noise is one record."""
        if self.at - standing.at >= self.settings.cooldown_s * 1000:
            self.withdraw(_gone(s))

    def withdraw(self, why: str) -> None:
        """Takes back what stands; nothing if nothing does."""
        standing = self.row.published
        if standing is None:
            return
        self.row.published = None
        self.row.withdrawn = Refused(standing.action.value, self.at + self.settings.cooldown_s * 1000)
        self._emit(
            Recommendation(
                id=standing.id,
                asset_id=self.asset_id,
                action=standing.action,
                from_units=standing.from_units,
                to_units=standing.to_units,
                confidence=standing.confidence,
                saving_usd_per_hour=standing.saving_usd_per_hour,
                slo_risk=standing.slo_risk,
                valid_until=self.at,
                withdrawn=True,
                cause_id=self.row.cause_id,
                reason=wording.withdrawal(standing.action, self.asset_id, why),
                at=self.at,
            )
        )

    def _waits(self, proposal: Proposal) -> bool:
        """True while the second look is still to come, or a withdrawn action cools down."""
        pending = self.row.pending
        if pending is None or pending.action is not proposal.action:
            pending = self.row.pending = Pending(proposal.action, self.at)
        if self.row.published is not None or proposal.urgent:
            return False
        cooling = self.row.withdrawn
        if cooling is not None and cooling.what == proposal.action.value and self.at < cooling.until_at:
            return True
        return self.at - pending.since_at < self.settings.recheck_s * 1000

    def _say(self, p: Proposal, s: Situation, world: World, policy: PolicyHook | None) -> None:
        """Publishes what is news, if policy lets it."""
        standing = self.row.published
        if standing is not None and not is_news(standing, p, s, self.settings):
            return
        denied = self._permitted(p, s, world, policy)
        if denied is not None:
            self._hold(denied, s)

    def _permitted(self, p: Proposal, s: Situation, world: World, policy: PolicyHook | None) -> Held | None:
        """Publishes if policy lets it; else says what forbids it."""
        record = self._record(p, s)
        denied, said = ask_policy(policy, world, record, s)
        if denied is not None:
            return Held(p, "policy", denied)
        self._publish(published(record, said))
        return None

    def _publish(self, r: Recommendation) -> None:
        renewed = self.row.published is not None
        self.row.published = Published(
            r.id,
            r.action,
            r.from_units,
            r.to_units,
            r.confidence,
            r.saving_usd_per_hour,
            r.slo_risk,
            r.valid_until,
            r.at,
        )
        self.row.refused = None
        if r.action in DOWN and not renewed:
            self.row.stepped_down_at = self.at
        if r.action is RecommendedAction.RIGHT_SIZE and not renewed:
            self.row.sized_at = self.at
        self._emit(r)

    def _hold(self, held: Held, s: Situation) -> None:
        """Takes back what stands of it, or says, once per time to live, why it is not recommended."""
        told = self.row.published is not None
        self.withdraw(held.why)
        what = f"{held.proposal.action.value}:{held.what}"
        refused = self.row.refused
        if held.quiet or (refused is not None and refused.what == what and self.at < refused.until_at):
            return
        self.row.refused = Refused(what, self.at + self.settings.ttl_s * 1000)
        if told:
            return
        record = self._record(held.proposal, s)
        text = wording.refusal(held.proposal, s, held.why)
        evidence = {**record.evidence, "held_by": held.what}
        self._emit(
            record.model_copy(update={"withdrawn": True, "valid_until": self.at, "reason": text, "evidence": evidence})
        )

    def _record(self, p: Proposal, s: Situation) -> Recommendation:
        confidence = confidence_of(s, p.because)
        saving = saving_of(p, s)
        return Recommendation(
            id=ids.derive("recommendation", self.asset_id, p.action.value, self.at),
            asset_id=self.asset_id,
            action=p.action,
            from_units=s.units,
            to_units=p.to_units,
            confidence=confidence,
            saving_usd_per_hour=saving or 0.0,
            slo_risk=round(s.risk_with(p.to_units), 4),
            evidence=wording.evidence(p, s),
            valid_until=self.at + self.settings.ttl_s * 1000,
            cause_id=self.row.cause_id,
            reason=wording.reason(p, s, confidence, saving),
            at=self.at,
        )

    def _emit(self, record: Recommendation) -> None:
        self.told.append(Emission("recommendations", self.asset_id, record, self.at, record.cause_id))


def _gone(s: Situation) -> str:
    load = s.load
    return f"{load.said} asks for nothing" if load is not None else "its metrics are no longer reported"
