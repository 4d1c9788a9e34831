"""Open Policy Agent over HTTP as a PolicyHook. Not pure, so its answers are journalled (ADR 16). Fails closed.

    POST <opa_url>   {"input": {"point", "principal", "action", "asset_id", "attributes", "context"}}
    answer           {"result": true} or {"result": {"allow": true, "reason": "...", "obligations": ["notify:x"]}}

The call blocks the layer that asks, for `opa_timeout_s` at most; after a failure OPA is left alone for `opa_rest_s`, in
which all is denied at once. So a dead OPA costs one time-out in that span, however many candidates there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from schemas.records import PolicyVerdict
from streams.policy.obligations import ObligationError, parse_all
from streams.policy.port import Answer, Outcome, Question
from streams.policy.recorded import as_document, digest_of
from streams.policy.settings import PolicySettings

_KEPT = 10_000
_BODY_LIMIT_BYTES = 1_048_576


class _Result(BaseModel):
    """What the rule of the URL gives; further fields are its own business."""

    model_config = ConfigDict(extra="ignore")

    allow: StrictBool
    id: str = "opa"
    version: str = ""
    reason: str = ""
    obligations: tuple[str, ...] = Field(default=())


class OpaError(Exception):
    """No answer that could be used; the message says why."""


class OpaHook:
    """`now_s`: seconds that only rise; `client` None = one of its own. `settings.opa_url` must be set."""

    id, version = "opa", "1"
    pure = False

    def __init__(
        self,
        settings: PolicySettings,
        client: httpx.Client | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._now_s = settings, now_s
        self._client = client or httpx.Client(trust_env=False, follow_redirects=False)
        self._kept: dict[str, tuple[float, Answer]] = {}
        self._rests_until_s = float("-inf")
        self._failure = ""

    def decide(self, question: Question) -> Answer:
        now_s, digest = self._now_s(), digest_of(question)
        kept = self._kept.get(digest)
        if kept is not None and now_s < kept[0]:
            return kept[1]
        if now_s < self._rests_until_s:
            return self._failed(f"{self._failure}; it is not asked again for {self._rests_until_s - now_s:.1f} s")
        try:
            answer = self._answer(self._asked(question))
        except OpaError as error:
            self._failure, self._rests_until_s = str(error), self._now_s() + self._settings.opa_rest_s
            return self._failed(self._failure)
        self._keep(digest, answer)
        return answer

    def _asked(self, question: Question) -> _Result:
        """Raises OpaError. The time-out is for the whole call: a server that drips its answer ends with it."""
        limit_s = self._settings.opa_timeout_s
        ends_s = self._now_s() + limit_s
        body = bytearray()
        try:
            asked = {"input": as_document(question)}
            with self._client.stream("POST", str(self._settings.opa_url), json=asked, timeout=limit_s) as response:
                for part in response.iter_bytes():
                    body += part
                    if self._now_s() > ends_s or len(body) > _BODY_LIMIT_BYTES:
                        raise OpaError(f"OPA sent no whole answer in {limit_s:g} s")
                if response.status_code != httpx.codes.OK:
                    raise OpaError(f"OPA answered with status {response.status_code}")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise OpaError(f"OPA did not answer in {limit_s:g} s: {type(error).__name__} {error}".rstrip()) from error
        return _read(bytes(body))

    def _answer(self, result: _Result) -> Answer:
        try:
            parse_all(result.obligations)
        except ObligationError as error:
            raise OpaError(f"OPA obliges to what nobody can read: {error}") from error
        reason = result.reason or f"OPA {'allows' if result.allow else 'denies'} it"
        verdict = PolicyVerdict(id=result.id, version=result.version, allowed=result.allow, reason=reason)
        if not result.allow:
            return Answer(Outcome.DENY, (verdict,))
        return Answer(Outcome.ALLOW, (verdict,), tuple(sorted(set(result.obligations))))

    def _keep(self, digest: str, answer: Answer) -> None:
        if self._settings.opa_remember_s <= 0:
            return
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[digest] = (self._now_s() + self._settings.opa_remember_s, answer)

    def _failed(self, what: str) -> Answer:
        verdict = PolicyVerdict(id=self.id, version=self.version, allowed=False, reason=f"failed, so denied: {what}")
        return Answer(Outcome.ERROR, (verdict,))


def _read(body: bytes) -> _Result:
    try:
        document: Any = httpx.Response(200, content=body).json()
    except ValueError as error:
        raise OpaError("OPA's answer is not JSON") from error
    result = document.get("result") if isinstance(document, dict) else None
    if result is None:
        raise OpaError("OPA's answer has no result: the rule of the URL is undefined")
    try:
        return _Result.model_validate({"allow": result} if isinstance(result, bool) else result)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "result"
        raise OpaError(f"OPA's result cannot be used: {where}: {first['msg']}") from error
