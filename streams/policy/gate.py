"""The gate: every policy that is loaded, asked as one. All must allow; a deny wins; a failure is a deny with a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.records import PolicyRecord, PolicyVerdict
from streams.kit.world import World
from streams.policy.cedar import CedarPolicySet, PolicyLoadError, content_version
from streams.policy.obligations import Duty, ObligationError, parse_all
from streams.policy.port import Answer, Outcome, PolicyHook, Preference, Question
from streams.policy.settings import PolicySettings

_COMPILED_LIMIT = 64


class PolicyGate:
    """Python hooks, the Cedar set given at start, and the Cedar sets among the policy records.

    `decide` reads the records last given to `bind`, a live mapping (`World.policies`); `decide_within` those it is
    given. Each set must permit on its own: they are not merged. A policy set record that cannot be loaded denies
    everything until it is replaced, since a rule that nobody can read may be the one that matters.
    """

    id = "gate"
    version = "1"

    def __init__(
        self,
        hooks: Iterable[PolicyHook] = (),
        initial: CedarPolicySet | None = None,
        settings: PolicySettings | None = None,
    ) -> None:
        self.hooks: tuple[PolicyHook, ...] = (*hooks, *((initial,) if initial is not None else ()))
        self.settings = settings or PolicySettings()
        self._records: Mapping[str, PolicyRecord] = {}
        self._compiled: dict[str, tuple[PolicyRecord, PolicyHook]] = {}

    def bind(self, records: Mapping[str, PolicyRecord]) -> None:
        """From now on `decide` sees these records, and what is later written to the same mapping."""
        self._records = records

    def decide(self, question: Question) -> Answer:
        return self.decide_within(self._records, question)

    def decide_within(self, records: Mapping[str, PolicyRecord], question: Question) -> Answer:
        hooks = self.asked(records)
        if not hooks:
            return self.default()
        return self.binding(combine([ask_one(hook, question) for hook in hooks]))

    def binding(self, answer: Answer) -> Answer:
        """An allow that obliges to what nobody here meets is a deny, and says so."""
        own = [o for o in parse_all(answer.obligations) if o.duty is Duty.CUSTOM]
        unmet = [o.text for o in own if o.text.partition(":")[0].strip() not in self.settings.met_obligations]
        if not unmet:
            return answer
        reason = f"nobody here meets {', '.join(unmet)} (policy.met_obligations)"
        verdict = PolicyVerdict(id="obligations", version=self.version, allowed=False, reason=reason)
        return Answer(Outcome.DENY, (*answer.verdicts, verdict))

    def soft_terms_within(self, records: Mapping[str, PolicyRecord]) -> tuple[Preference, ...]:
        """The preferences of every hook and set that has some, in the order of asking."""
        found = (getattr(hook, "soft_terms", None) for hook in self.asked(records))
        return tuple(term for terms in found if terms is not None for term in terms())

    def asked(self, records: Mapping[str, PolicyRecord]) -> tuple[PolicyHook, ...]:
        """Whoever must allow, in the order of asking: the hooks, then the sets by name."""
        sets = sorted((r for r in records.values() if r.policy_set is not None), key=lambda r: r.id)
        return (*self.hooks, *(self._hook_of(record) for record in sets))

    def default(self) -> Answer:
        """The answer while there is nobody to ask."""
        allowed = self.settings.default_allow
        verdict = PolicyVerdict(id="default", version="0", allowed=allowed, reason="no policy set is loaded")
        return Answer(Outcome.ALLOW if allowed else Outcome.DENY, (verdict,))

    def _hook_of(self, record: PolicyRecord) -> PolicyHook:
        known = self._compiled.get(record.id)
        if known is None or known[0] is not record:
            if len(self._compiled) >= _COMPILED_LIMIT:
                self._compiled.clear()
            files = record.policy_set.files if record.policy_set is not None else {}
            known = self._compiled[record.id] = (record, _compile(record.id, files))
        return known[1]


class RefusedSet:
    """Stands for a policy set that could not be loaded: answers every question with that error."""

    reads_job_id = False

    def __init__(self, name: str, version: str, error: PolicyLoadError) -> None:
        self.id, self.version = name, version
        self._reason = str(error).replace("\n", " ")

    def decide(self, question: Question) -> Answer:
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=False, reason=self._reason)
        return Answer(Outcome.ERROR, (verdict,))


def ask(hook: PolicyHook, world: World, question: Question) -> Answer:
    """Asks in the light of the policy records of this world: how an engine with a World asks. Never raises."""
    if isinstance(hook, PolicyGate):
        return hook.decide_within(world.policies, question)
    return ask_one(hook, question)


def reads_job_id(hook: PolicyHook, world: World) -> bool:
    """Might two jobs that differ in nothing but their ids be answered differently? Of a hook that does not say: yes."""
    if type(hook) is not PolicyGate:
        return True
    return any(getattr(asked, "reads_job_id", True) for asked in hook.asked(world.policies))


def preferences(hook: PolicyHook, world: World) -> tuple[Preference, ...]:
    """The soft terms in the light of the policy records of this world; a hook need not have any."""
    if isinstance(hook, PolicyGate):
        return hook.soft_terms_within(world.policies)
    terms = getattr(hook, "soft_terms", None)
    return tuple(terms()) if terms is not None else ()


def ask_one(hook: PolicyHook, question: Question) -> Answer:
    """One hook's answer; what it throws, and an obligation that nobody can read, become an ERROR answer."""
    try:
        answer = hook.decide(question)
        if not isinstance(answer, Answer):
            raise TypeError(f"decide() returned {type(answer).__name__}, not an Answer")
        parse_all(answer.obligations)
    except ObligationError as error:
        return _failed(hook, str(error))
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it must name itself and deny, not stop us
        return _failed(hook, f"{type(error).__name__}: {error}")
    return answer


def combine(answers: list[Answer]) -> Answer:
    """All must allow. Obligations are united on an allow and void otherwise; every verdict is kept."""
    verdicts = tuple(v for answer in answers for v in answer.verdicts)
    outcomes = {answer.outcome for answer in answers}
    for worst in (Outcome.ERROR, Outcome.DENY):
        if worst in outcomes:
            return Answer(worst, verdicts)
    return Answer(Outcome.ALLOW, verdicts, tuple(sorted({o for answer in answers for o in answer.obligations})))


def _compile(name: str, files: Mapping[str, str]) -> PolicyHook:
    try:
        return CedarPolicySet(files, name)
    except PolicyLoadError as error:
        return RefusedSet(name, content_version(files), error)


def _failed(hook: PolicyHook, what: str) -> Answer:
    name, version = str(getattr(hook, "id", type(hook).__name__)), str(getattr(hook, "version", "?"))
    verdict = PolicyVerdict(id=name, version=version, allowed=False, reason=f"failed, so denied: {what}")
    return Answer(Outcome.ERROR, (verdict,))
