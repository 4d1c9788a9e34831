"""Buckets of two layouts beside each other: what was added between two points, and the sum of several series.

An exponential histogram takes a coarser scale, or a wider zero bucket, when its values spread: each bucket of the new
layout then holds whole buckets of the old one. Where buckets lie in one, that one is the layout of the result; so a
figure is as exact as the coarser of both (scale s: any value of a bucket is within 2^(2^-s) - 1 of any other).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streams.adapters.points import Bucket


def since(now: Iterable[Bucket], before: Iterable[Bucket]) -> tuple[Bucket, ...] | None:
    """`now` less `before`, without the empty ones; below 0 where a bucket fell. None = the layouts cross."""
    found: list[Bucket] = []
    for group in _overlapping([*now, *((low, high, -n) for low, high, n in before)]):
        whole = _in_one(group)
        if whole is None:
            return None
        if whole[2]:
            found.append(whole)
    return tuple(found)


def together(buckets: Iterable[Bucket]) -> tuple[Bucket, ...]:
    """Buckets of several layouts as one. Those that cross stay as they are: no layout of theirs holds both."""
    found: list[Bucket] = []
    for group in _overlapping(buckets):
        whole = _in_one(group)
        found += group if whole is None else [whole]
    return tuple(found)


def _overlapping(buckets: Iterable[Bucket]) -> Iterator[list[Bucket]]:
    """Groups that share values, ascending. A zero bucket of no width lies in what begins where it does."""
    group: list[Bucket] = []
    top = 0.0
    for bucket in sorted(buckets):
        if group and not (bucket[0] < top or bucket[0] == group[0][0]):
            yield group
            group = []
        top = max(top, bucket[1]) if group else bucket[1]
        group.append(bucket)
    if group:
        yield group


def _in_one(group: list[Bucket]) -> Bucket | None:
    """The group as the bucket of it that holds all others, with the sum of their counts."""
    low, high = group[0][0], max(bucket[1] for bucket in group)
    if not any(bucket[0] == low and bucket[1] == high for bucket in group):
        return None
    return (low, high, sum(n for _, _, n in group))
