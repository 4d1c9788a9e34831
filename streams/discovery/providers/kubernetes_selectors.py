"""Which workloads a selector chooses: those of its namespace whose labels hold the whole of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

Pair = tuple[str, str, str]
"""Namespace, label, value."""


class Selections:
    """Of one cluster. Who has an empty selector chooses nothing: somebody else says where it leads."""

    def __init__(self) -> None:
        self._selectors: dict[str, frozenset[Pair]] = {}
        self._labels: dict[str, frozenset[Pair]] = {}
        self._having: dict[Pair, set[str]] = {}
        self._moved = False

    def chooser(self, asset_id: str, namespace: str, selector: Mapping[str, str]) -> None:
        self._selectors[asset_id] = _pairs(namespace, selector)

    def workload(self, asset_id: str, namespace: str, labels: Mapping[str, str]) -> None:
        """`labels` of a deployment are its pods'."""
        before, now = self._labels.get(asset_id, frozenset()), _pairs(namespace, labels)
        for pair in before - now:
            self._having[pair].discard(asset_id)
        for pair in now - before:
            self._having.setdefault(pair, set()).add(asset_id)
        self._labels[asset_id] = now
        self._moved |= before != now

    def gone(self, asset_id: str) -> None:
        self._selectors.pop(asset_id, None)
        pairs = self._labels.pop(asset_id, frozenset())
        for pair in pairs:
            self._having[pair].discard(asset_id)
        self._moved |= bool(pairs)

    def take_moved(self) -> bool:
        """Whether labels of workloads are others than when this was asked last, so that selections may be too."""
        moved, self._moved = self._moved, False
        return moved

    def of(self, asset_id: str) -> tuple[str, ...]:
        """Ids of the workloads that it chooses, in order."""
        holders = [self._having.get(pair, set()) for pair in self._selectors.get(asset_id, ())]
        return tuple(sorted(set.intersection(*holders))) if holders else ()


def _pairs(namespace: str, labels: Mapping[str, str]) -> frozenset[Pair]:
    return frozenset((namespace, label, value) for label, value in labels.items())
