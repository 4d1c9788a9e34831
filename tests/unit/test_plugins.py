"""Plug-ins by entry point: loaded in order of name, used by the engines, refused clearly when they do not fit."""

from __future__ import annotations

import pytest

from streams.policy.port import Answer, Outcome, Question
from topology import engines, plugins
from topology.settings import Settings


class Hook:
    id, version = "mine", "1"

    def decide(self, question: Question) -> Answer:
        return Answer(Outcome.DENY, ())


class Strategy:
    id = "mine"

    def precheck(self, situation: object) -> str:
        return "not today"

    def plan(self, situation: object) -> tuple[()]:
        return ()

    def compensate(self, actions: object) -> tuple[()]:
        return ()


class Executor:
    action_type, repeatable = "mine", True

    async def execute(self, order: object) -> None: ...


def explode() -> None:
    raise RuntimeError("no licence")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    def put(kind: str, *objects: object) -> None:
        points = [_Point(f"p{i}", made) for i, made in enumerate(objects)]
        monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == f"maestro.{kind}" else [])

    return put


class _Point:
    def __init__(self, name: str, made: object) -> None:
        self.name, self.value, self._made = name, f"test:{made!r}", made

    def load(self) -> object:
        return self._made


def test_an_installed_strategy_stands_beside_those_that_ship(install) -> None:
    install("strategies", Strategy)
    healing = engines.build_layers(Settings())["healing"]
    assert healing.orchestrator.strategy_ids[-1] == "mine"


def test_an_installed_executor_takes_its_actions(install) -> None:
    install("executors", Executor)
    _, actions = engines.build_executors(Settings())
    assert isinstance(actions.executors["mine"], Executor)
    assert "failover" in actions.executors


def test_an_installed_policy_is_asked(install) -> None:
    install("policies", Hook)
    question = Question(point="routing", principal="p", action="route", asset_id="a")
    assert engines.build_gate(Settings()).decide(question).outcome is Outcome.DENY


def test_a_plug_in_that_cannot_be_made_is_named_with_its_error(install) -> None:
    install("providers", explode)
    with pytest.raises(plugins.PluginError, match=r"p0 .*no licence"):
        plugins.providers()


def test_a_plug_in_that_lacks_part_of_its_port_is_refused(install) -> None:
    install("strategies", Executor)
    with pytest.raises(plugins.PluginError, match="lacks id, precheck, plan, compensate"):
        plugins.strategies()


def test_our_own_package_names_no_plug_in_that_cannot_be_loaded() -> None:
    assert plugins.policy_hooks() == plugins.strategies() == plugins.executors() == plugins.providers() == []
