"""Plug-ins of other packages: entry points `maestro.providers`, `.strategies`, `.executors`, `.policies`.

An entry point names something that is called without arguments and gives the plug-in: a `DiscoveryProvider`, a
`ResponseStrategy`, an `Executor`, a `PolicyHook`. They are taken in order of their names.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import cast

from streams.discovery.ports import DiscoveryProvider, Listing, Watching
from streams.healing.ports import Executor, ResponseStrategy
from streams.policy.port import PolicyHook


class PluginError(Exception):
    """A plug-in that is installed cannot be used; the message names it and says why."""


def policy_hooks() -> list[PolicyHook]:
    return cast("list[PolicyHook]", _installed("policies", ("id", "version", "decide")))


def strategies() -> list[ResponseStrategy]:
    return cast("list[ResponseStrategy]", _installed("strategies", ("id", "precheck", "plan", "compensate")))


def executors() -> list[Executor]:
    return cast("list[Executor]", _installed("executors", ("action_type", "repeatable", "execute")))


def providers() -> list[DiscoveryProvider]:
    """PluginError also for one that can neither list nor watch."""
    found = _installed("providers", ("source", "scope", "complete", "freshness_s"))
    for provider in found:
        if not isinstance(provider, Listing | Watching):
            raise PluginError(f"plug-in {type(provider).__name__} of maestro.providers lacks list or watch")
    return cast("list[DiscoveryProvider]", found)


def _installed(kind: str, needs: tuple[str, ...]) -> list[object]:
    """Every plug-in of a kind; PluginError if one cannot be loaded or lacks part of its port."""
    found: list[object] = []
    for point in sorted(entry_points(group=f"maestro.{kind}"), key=lambda p: p.name):
        try:
            plugin: object = point.load()()
        except Exception as error:
            raise PluginError(f"plug-in {point.name} ({point.value}) of maestro.{kind}: {error!r}") from error
        missing = [name for name in needs if not hasattr(plugin, name)]
        if missing:
            raise PluginError(f"plug-in {point.name} ({point.value}) of maestro.{kind} lacks {', '.join(missing)}")
        found.append(plugin)
    return found
