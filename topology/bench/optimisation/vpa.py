"""The recommender of Kubernetes' VerticalPodAutoscaler for CPU, and when its updater acts.

Source: kubernetes/autoscaler `vertical-pod-autoscaler/pkg/recommender/{util/decaying_histogram.go, util/histogram.go,
model/aggregations_config.go, logic/estimator.go, logic/recommender.go}` and `pkg/updater/priority`. Cores and seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

DAY_S = 86_400
FIRST_BUCKET, RATIO, MOST = 0.01, 1.05, 1_000.0
HALF_LIFE_S = 24 * 3_600
LEAST_WEIGHT = 0.1
EPSILON = 0.001 * LEAST_WEIGHT
BUCKETS = math.ceil(math.log(MOST * (RATIO - 1) / FIRST_BUCKET + 1, RATIO)) + 1
MARGIN = 0.15
LEAST_CORES = 0.025
MIN_CHANGE = 0.1
LIFETIME_S = 12 * 3_600


def bucket_start(bucket: int) -> float:
    return FIRST_BUCKET * (RATIO**bucket - 1) / (RATIO - 1)


def bucket_of(value: float) -> int:
    if value < FIRST_BUCKET:
        return 0
    return min(int(math.log(value * (RATIO - 1) / FIRST_BUCKET + 1, RATIO)), BUCKETS - 1)


@dataclass(slots=True)
class DecayingHistogram:
    """A weight halves every `half_life_s`: newer samples are given more instead, by 2^((t - reference) / half-life)."""

    half_life_s: float = HALF_LIFE_S
    reference_s: float = 0.0
    weights: list[float] = field(default_factory=lambda: [0.0] * BUCKETS)
    total: float = 0.0

    def add(self, value: float, weight: float, at_s: float) -> None:
        if at_s > self.reference_s + self.half_life_s * 100:
            self._shift(at_s)
        decayed = weight * 2 ** ((at_s - self.reference_s) / self.half_life_s)
        self.weights[bucket_of(value)] += decayed
        self.total += decayed

    def _shift(self, at_s: float) -> None:
        moved_s = round(at_s / self.half_life_s) * self.half_life_s
        factor = 2 ** ((self.reference_s - moved_s) / self.half_life_s)
        self.weights, self.total = [w * factor for w in self.weights], self.total * factor
        self.reference_s = moved_s

    def percentile(self, share: float) -> float:
        """The end of the bucket in which the share is reached; 0 if nothing weighs."""
        full = [i for i, weight in enumerate(self.weights) if weight >= EPSILON]
        if not full:
            return 0.0
        seen, bucket = 0.0, full[0]
        for bucket in range(full[0], full[-1] + 1):
            seen += self.weights[bucket]
            if seen >= share * self.total:
                break
        return bucket_start(bucket + 1) if bucket < BUCKETS - 1 else bucket_start(bucket)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Cores: the request to set, and the band in which one that is there is let be."""

    lower: float
    target: float
    upper: float


@dataclass(slots=True)
class Vpa:
    """`sample` once a minute; `want` is the request that the updater would have set by now."""

    histogram: DecayingHistogram = field(default_factory=DecayingHistogram)
    first_s: float | None = None
    last_s: float = 0.0
    samples: int = 0
    changed_s: float = 0.0

    def sample(self, cores: float, request: float, at_s: float) -> None:
        self.histogram.add(cores, max(request, LEAST_WEIGHT), at_s)
        self.first_s = at_s if self.first_s is None else self.first_s
        self.last_s, self.samples = at_s, self.samples + 1

    @property
    def confidence(self) -> float:
        """Days: the lesser of the life span and of the samples at one a minute."""
        return min((self.last_s - (self.first_s or 0.0)) / DAY_S, self.samples / (60 * 24))

    def bounds(self) -> Bounds | None:
        if not self.samples:
            return None
        low, target, high = (
            max(LEAST_CORES, self.histogram.percentile(share) * (1 + MARGIN)) for share in (0.5, 0.9, 0.95)
        )
        sure = self.confidence
        if sure <= 0:
            return Bounds(0.0, target, math.inf)
        return Bounds(low * (1 + 0.001 / sure) ** -2.0, target, high * (1 + 1.0 / sure))

    def want(self, request: float, at_s: float) -> float:
        """The target if the request lies outside the band, or differs by 10 % and is 12 h old; else the request."""
        found = self.bounds()
        if found is None:
            return request
        outside = not found.lower <= request <= found.upper
        stale = at_s - self.changed_s >= LIFETIME_S and abs(found.target - request) / request >= MIN_CHANGE
        if not outside and not stale:
            return request
        self.changed_s = at_s
        return found.target
