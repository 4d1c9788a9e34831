"""The setting `adapters`, and which workers it gives."""

from __future__ import annotations

import pytest

from streams.adapters.formats import FORMATS
from topology import adapters
from topology.settings import Settings, SettingsError, load_settings
from topology.topics import EXTERNAL
from topology.worker import chosen


def test_every_format_has_a_usual_topic() -> None:
    assert {topic.format for topic in EXTERNAL} == set(FORMATS)


def test_the_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_ADAPTERS", "otlp:otlp_metrics, collectd:collectd")
    monkeypatch.setenv("MAESTRO_INTAKE__OTLP_IDENTITY", "service.name,host.name")
    settings = load_settings()
    assert settings.adapters == ("otlp:otlp_metrics", "collectd:collectd")
    assert settings.intake.otlp_identity == ("service.name", "host.name")


@pytest.mark.parametrize(
    "value", ["otlp", "otlp:", "nonsense:topic", "otlp:health-signals", "otlp:a,collectd:a", "otlp:a b"]
)
def test_what_is_no_adapter_is_told(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_ADAPTERS", value)
    with pytest.raises(SettingsError, match="MAESTRO_ADAPTERS"):
        load_settings()


def test_workers_run_the_adapters_of_the_settings() -> None:
    settings = Settings(adapters=("otlp:otlp_metrics", "collectd:c"))
    both = ("adapter-otlp_metrics", "adapter-c")
    assert tuple(adapters.cards(settings)) == both
    assert chosen(settings, None)[-2:] == both
    assert chosen(settings, ["adapters"]) == both
    assert chosen(settings, ["telemetry", "adapter-c"]) == ("telemetry", "adapter-c")
    assert chosen(Settings(), None)[-1] == "routing"


def test_adapters_without_a_setting_say_which() -> None:
    with pytest.raises(LookupError, match="MAESTRO_ADAPTERS"):
        chosen(Settings(), ["adapters"])
