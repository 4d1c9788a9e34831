"""Kubernetes' HorizontalPodAutoscaler v2 for CPU utilisation, rule by rule.

Source: kubernetes/kubernetes `pkg/controller/podautoscaler/replica_calculator.go` (groupPods, GetResourceReplicas) and
`horizontal.go` (stabilizeRecommendationWithBehaviors, convertDesiredReplicasWithBehaviorRate), with the defaults of
`pkg/apis/autoscaling/v2/defaults.go` and of the controller manager's flags. Times in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

CPU_INITIALISATION_S = 300
"""--horizontal-pod-autoscaler-cpu-initialization-period"""
INITIAL_READINESS_S = 30
"""--horizontal-pod-autoscaler-initial-readiness-delay"""


class Select(Enum):
    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class Policy:
    """`kind` Pods or Percent."""

    kind: str
    value: int
    period_s: int


@dataclass(frozen=True, slots=True)
class Rules:
    stabilisation_s: int
    policies: tuple[Policy, ...]
    select: Select = Select.MAX


UP = Rules(0, (Policy("Pods", 4, 15), Policy("Percent", 100, 15)))
DOWN = Rules(300, (Policy("Percent", 100, 15),))


@dataclass(frozen=True, slots=True)
class PodState:
    """`usage_m`: CPU in millicores of the newest metric, None = missing; `ready_changed_s`: last transition."""

    start_s: float
    ready: bool
    ready_changed_s: float
    usage_m: int | None
    metric_at_s: float = 0.0
    metric_window_s: float = 0.0
    request_m: int = 1000
    deleted: bool = False
    failed: bool = False


@dataclass(slots=True)
class Hpa:
    """`want(now_s, replicas, pods)` is one sync. `target` in percent of the request."""

    target: int = 80
    least: int = 1
    most: int = 100
    tolerance: float = 0.1
    up: Rules = UP
    down: Rules = DOWN
    recommendations: list[tuple[float, int]] = field(default_factory=list)
    ups: list[tuple[float, int]] = field(default_factory=list)
    downs: list[tuple[float, int]] = field(default_factory=list)

    def want(self, now_s: float, replicas: int, pods: Sequence[PodState]) -> int:
        if replicas > self.most:
            return self.most
        if replicas < self.least:
            return self.least
        desired = replicas_for(replicas, self.target, pods, now_s, self.tolerance)
        if desired is None:
            return replicas
        settled = self._rated(now_s, replicas, self._stabilised(now_s, replicas, desired))
        self._remember(now_s, settled - replicas)
        return settled

    def _stabilised(self, now_s: float, replicas: int, desired: int) -> int:
        up, down = desired, desired
        for at_s, units in self.recommendations:
            if at_s > now_s - self.up.stabilisation_s:
                up = min(up, units)
            if at_s > now_s - self.down.stabilisation_s:
                down = max(down, units)
        longest_s = max(self.up.stabilisation_s, self.down.stabilisation_s)
        self.recommendations = [r for r in self.recommendations if r[0] > now_s - longest_s]
        self.recommendations.append((now_s, desired))
        return min(max(replicas, up), down)

    def _rated(self, now_s: float, replicas: int, desired: int) -> int:
        if desired > replicas:
            return min(desired, max(replicas, self._limit_up(now_s, replicas)), self.most)
        if desired < replicas:
            return max(desired, min(replicas, self._limit_down(now_s, replicas)), self.least)
        return desired

    def _limit_up(self, now_s: float, replicas: int) -> int:
        if self.up.select is Select.DISABLED:
            return replicas
        found = []
        for policy in self.up.policies:
            start = replicas - _within(self.ups, policy, now_s) + _within(self.downs, policy, now_s)
            found.append(
                start + policy.value if policy.kind == "Pods" else math.ceil(start * (100 + policy.value) / 100)
            )
        return max(found) if self.up.select is Select.MAX else min(found)

    def _limit_down(self, now_s: float, replicas: int) -> int:
        if self.down.select is Select.DISABLED:
            return replicas
        found = []
        for policy in self.down.policies:
            start = replicas + _within(self.downs, policy, now_s) - _within(self.ups, policy, now_s)
            found.append(start - policy.value if policy.kind == "Pods" else start * (100 - policy.value) // 100)
        return min(found) if self.down.select is Select.MAX else max(found)

    def _remember(self, now_s: float, change: int) -> None:
        if change:
            events = self.ups if change > 0 else self.downs
            events.append((now_s, abs(change)))
            longest_s = max(policy.period_s for policy in (*self.up.policies, *self.down.policies))
            events[:] = [event for event in events if event[0] > now_s - longest_s]


def _within(events: Sequence[tuple[float, int]], policy: Policy, now_s: float) -> int:
    return sum(change for at_s, change in events if at_s > now_s - policy.period_s)


def replicas_for(
    replicas: int, target: int, pods: Sequence[PodState], now_s: float, tolerance: float = 0.1
) -> int | None:
    """GetResourceReplicas: None = no metrics of ready pods, so nothing is done."""
    counted, unready, missing = _grouped(pods, now_s)
    if not counted:
        return None
    ratio = _ratio(counted, target)
    with_unready = bool(unready) and ratio > 1
    if not with_unready and not missing:
        return replicas if abs(1 - ratio) <= tolerance else math.ceil(ratio * len(counted))
    filled = list(counted)
    if missing:
        at = max(100, target) if ratio < 1 else 0
        if ratio != 1:
            filled += [(pod.request_m * at // 100, pod.request_m) for pod in missing]
    if with_unready:
        filled += [(0, pod.request_m) for pod in unready]
    again = _ratio(filled, target)
    if abs(1 - again) <= tolerance or (ratio < 1 < again) or (again < 1 < ratio):
        return replicas
    found = math.ceil(again * len(filled))
    if (again < 1 and found > replicas) or (again > 1 and found < replicas):
        return replicas
    return found


def _grouped(pods: Sequence[PodState], now_s: float) -> tuple[list[tuple[int, int]], list[PodState], list[PodState]]:
    """((usage, request) of ready pods, unready, missing); deleted and failed ones are ignored."""
    counted: list[tuple[int, int]] = []
    unready: list[PodState] = []
    missing: list[PodState] = []
    for pod in pods:
        if pod.deleted or pod.failed:
            continue
        if pod.usage_m is None:
            missing.append(pod)
        elif _unready(pod, now_s):
            unready.append(pod)
        else:
            counted.append((pod.usage_m, pod.request_m))
    return counted, unready, missing


def _unready(pod: PodState, now_s: float) -> bool:
    if pod.start_s + CPU_INITIALISATION_S > now_s:
        return not pod.ready or pod.metric_at_s < pod.ready_changed_s + pod.metric_window_s
    return not pod.ready and pod.start_s + INITIAL_READINESS_S > pod.ready_changed_s


def _ratio(pods: Sequence[tuple[int, int]], target: int) -> float:
    """Whole percents of the requests over the target: what the controller divides."""
    return sum(usage for usage, _ in pods) * 100 // sum(request for _, request in pods) / target
