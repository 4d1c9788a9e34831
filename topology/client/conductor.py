"""The synchronous client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from schemas.records import (
    Asset,
    AutonomyMode,
    DiscoveryEvent,
    HealthSignal,
    JobOutcome,
    JobRequest,
    ModeRule,
    Op,
    PolicyRecord,
    Record,
    RegisteredAsset,
    RoutingDecision,
)
from schemas.schema_ids import SchemaIds
from streams.command.readmodel import ENTRY_TOPICS, ReadModel
from streams.policy.directory import read_directory
from topology.client import governance
from topology.client.connection import ask, broker_and_redis, read_model
from topology.client.publisher import Publisher
from topology.client.reading import Read, TopicReader, read_one
from topology.client.stories import Story, ledger_of, tell_story
from topology.clock import now_ms


class MaestroConductor:
    """One client; use it as a context manager, from one thread. What publishes returns when the broker confirmed.

    `broker` and `redis_url` None = those of the settings (SettingsError if there is no broker). Without Redis every
    question is answered from the topics, which takes as long as they are. Raises DeliveryError and FeedError.
    """

    def __init__(
        self, broker: str | None = None, *, redis_url: str | None = None, schema_ids: SchemaIds | None = None
    ) -> None:
        self.broker, self.redis_url = broker_and_redis(broker, redis_url)
        self._schema_ids = schema_ids
        self._publisher: Publisher | None = None
        self._model: ReadModel | None = read_model(self.redis_url) if self.redis_url else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.flush()

    @property
    def publisher(self) -> Publisher:
        """For what has no method of its own. Its `flush` confirms."""
        if self._publisher is None:
            self._publisher = Publisher(self.broker, schema_ids=self._schema_ids)
        return self._publisher

    # What users tell

    def ingest_health_signal(self, signal: HealthSignal) -> None:
        self.publisher.publish("health-signals", signal)
        self.publisher.flush()

    def ingest_health_signals(self, signals: Iterable[HealthSignal]) -> int:
        """In batches, each asset's in their order; gives their count."""
        count = self.publisher.publish_signals(signals)
        self.publisher.flush()
        return count

    def register_asset(
        self, asset: Asset, *, source: str = "client", scope: str = "client", at: int | None = None
    ) -> None:
        """What `source` says about an asset; the registry merges it with what others say."""
        told = DiscoveryEvent(source=source, scope=scope, op=Op.UPSERT, asset_id=asset.id, asset=asset, at=_or_now(at))
        self._tell("discovery-events", told)

    def remove_asset(
        self, asset_id: str, *, source: str = "client", scope: str = "client", at: int | None = None
    ) -> None:
        told = DiscoveryEvent(source=source, scope=scope, op=Op.DELETE, asset_id=asset_id, at=_or_now(at))
        self._tell("discovery-events", told)

    def report_outcome(self, outcome: JobOutcome) -> None:
        """How a routed job ended: what a pivot and the targets' reliability are learnt from."""
        self._tell("job-outcomes", outcome)

    def submit_job(self, job: JobRequest, wait_s: float | None = None) -> RoutingDecision | None:
        """Sends the job. With `wait_s` its decision, or None if there was none within that time.

        There is none either for a job that has a target already and is asked for again unchanged: see `decisions`.
        """
        if wait_s is None:
            self._tell("job-requests", job)
            return None
        with self.reader("routing-decisions") as reader:
            self._tell("job-requests", job)
            for read in reader.follow(wait_s):
                decision = read.value
                if isinstance(decision, RoutingDecision) and decision.job_id == job.id == decision.cause_id:
                    return decision
        return None

    # What users ask

    def decisions(
        self, job_id: str | None = None, *, from_beginning: bool = False, timeout_s: float | None = None
    ) -> Iterator[RoutingDecision]:
        """Decisions as they come, from this call on; of one job, or of all. Ends after `timeout_s` s (None = never).

        With `from_beginning` and `timeout_s` 0: those that are there now.
        """
        reader = self.reader("routing-decisions", from_beginning=from_beginning)
        return _decisions(reader, job_id, from_beginning, timeout_s)

    def explain(self, name: str) -> Story:
        """What led to an incident, action, recommendation, job or decision, and what came of it, by its id."""
        told = ask(self._model, "policies", lambda model: tell_story(name, model, self.fetch, "read model"))
        if told:
            return told
        with self.reader(*sorted(ENTRY_TOPICS), from_beginning=True) as reader:
            ledger = ledger_of(reader.read_all())
        return tell_story(name, ledger, self.fetch, "topics")

    def registry(self) -> dict[str, RegisteredAsset]:
        """Every asset by id, as it is merged now."""
        held: Mapping[str, Record | None] | None = ask(self._model, "assets", lambda model: model.latest("assets"))
        if held is None:
            with self.reader("assets", from_beginning=True) as reader:
                held = {read.key: read.value for read in reader.read_all() if not read.error}
        return {k: asset for k, asset in sorted(held.items()) if isinstance(asset, RegisteredAsset)}

    # How users govern

    def pause(
        self,
        holder: str,
        scope: str = "*",
        *,
        until: int | None = None,
        reason: str = "",
        starts_at: int | None = None,
        rrule: str | None = None,
        zone: str | None = None,
    ) -> PolicyRecord:
        """Holds all effects in a scope (`*`, `tenant:NAME`, `asset:ID`) until `until` (ms) or `resume`.

        `starts_at` (ms): a maintenance window, which holds from then on; `rrule`, `zone`: when it comes again.
        """
        hold = governance.pause(
            holder, scope, lifted=False, until=until, reason=reason, at=now_ms(), starts_at=starts_at, rrule=rrule,
            zone=zone,
        )  # fmt: skip
        return self.publish_policy(hold)

    def resume(self, holder: str, scope: str = "*", *, reason: str = "") -> PolicyRecord:
        """Ends this holder's pause of this scope, and nobody else's."""
        at = now_ms()
        return self.publish_policy(governance.pause(holder, scope, lifted=True, until=None, reason=reason, at=at))

    def approve(self, action_id: str, by: str, *, expires_at: int | None = None, reason: str = "") -> PolicyRecord:
        at = now_ms()
        answer = governance.approval(action_id, by, approved=True, expires_at=expires_at, reason=reason, at=at)
        return self.publish_policy(answer)

    def reject(self, action_id: str, by: str, *, reason: str = "") -> PolicyRecord:
        answer = governance.approval(action_id, by, approved=False, expires_at=None, reason=reason, at=now_ms())
        return self.publish_policy(answer)

    def set_mode(
        self, mode: AutonomyMode, *, strategy: str = "*", tenant: str = "*", environment: str = "*", author: str = "",
        reason: str = "",
    ) -> PolicyRecord:  # fmt: skip
        """How far healing may go by itself: of the rules that match, the most specific one counts."""
        rule = ModeRule(strategy=strategy, tenant=tenant, environment=environment, mode=mode)
        return self.publish_policy(governance.mode(rule, author=author, reason=reason, at=now_ms()))

    def set_budget(
        self, scope: str, limit_usd_per_hour: float, *, author: str = "", reason: str = "", period: str | None = None
    ) -> PolicyRecord:
        """With a `period` (day, week, month, an ISO 8601 duration; UTC) the limit is the average over each."""
        made = governance.budget(scope, limit_usd_per_hour, author=author, reason=reason, at=now_ms(), period=period)
        return self.publish_policy(made)

    def publish_policies(
        self, files: Path | Mapping[str, str], name: str | None = None, *, author: str = "", reason: str = ""
    ) -> PolicyRecord:
        """A folder of `*.cedar` (or file name -> text) as one set, checked first: PolicyLoadError names every fault."""
        texts = read_directory(files) if isinstance(files, Path) else files
        named = name or (files.resolve().name if isinstance(files, Path) else "cedar")
        return self.publish_policy(governance.policy_set(texts, named, author=author, reason=reason, at=now_ms()))

    def publish_policy(self, record: PolicyRecord) -> PolicyRecord:
        """Any policy record, such as one read from a file."""
        self._tell("policies", record)
        return record

    # Below the methods

    def reader(self, *topics: str, from_beginning: bool = False) -> TopicReader:
        return TopicReader(self.broker, topics, from_beginning=from_beginning, schema_ids=self._schema_ids)

    def fetch(self, topic: str, partition: int, offset: int) -> Read | None:
        """One record by its coordinates."""
        return read_one(self.broker, topic, partition, offset, schema_ids=self._schema_ids)

    def _tell(self, topic: str, record: Record) -> None:
        self.publisher.publish(topic, record)
        self.publisher.flush()


def _decisions(
    reader: TopicReader, job_id: str | None, from_beginning: bool, timeout_s: float | None
) -> Iterator[RoutingDecision]:
    with reader:
        reads = reader.read_all() if from_beginning and timeout_s == 0 else reader.follow(timeout_s)
        for read in reads:
            if isinstance(read.value, RoutingDecision) and job_id in (None, read.value.job_id):
                yield read.value


def _or_now(at: int | None) -> int:
    return now_ms() if at is None else at
