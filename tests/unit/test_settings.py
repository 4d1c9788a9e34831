"""Where a setting comes from, which wins, and that all wrong ones are reported at once with a way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from topology.settings import Settings, SettingsError, load_settings, rows


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("MAESTRO_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "maestro.toml"
    monkeypatch.setenv("MAESTRO_SETTINGS", str(path))
    return path


def problems(**options: object) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(**options)  # type: ignore[arg-type]
    return {problem.name: f"{problem.what} {problem.fix}" for problem in caught.value.problems}


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert {row.source for row in rows(settings)} == {"default"}


def test_option_beats_environment_beats_file_beats_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(
        "partitions = 8\nstandby_replicas = 2\nsession_timeout_s = 30\n[telemetry]\ngrace_s = 7\nleave_z = 2\n"
    )
    monkeypatch.setenv("MAESTRO_PARTITIONS", "16")
    monkeypatch.setenv("MAESTRO_STANDBY_REPLICAS", "3")
    monkeypatch.setenv("MAESTRO_TELEMETRY__GRACE_S", "9")
    settings = load_settings(partitions=32, replication_factor=None)
    assert (settings.partitions, settings.standby_replicas, settings.session_timeout_s) == (32, 3, 30.0)
    # The groups are merged name by name, not replaced.
    assert (settings.telemetry.grace_s, settings.telemetry.leave_z) == (9.0, 2.0)
    assert settings.log_level == "info"
    source = {row.name: row.source for row in rows(settings)}
    assert source["partitions"] == "option"
    assert source["standby_replicas"] == source["telemetry.grace_s"] == "environment"
    assert source["session_timeout_s"] == source["telemetry.leave_z"] == "file"
    assert source["replication_factor"] == source["log_level"] == "default"


def test_an_explicit_file_beats_the_variable(file: Path, tmp_path: Path) -> None:
    file.write_text("partitions = 8\n")
    other = tmp_path / "other.toml"
    other.write_text("partitions = 9\n")
    assert load_settings().partitions == 8
    assert load_settings(other).partitions == 9


def test_an_empty_variable_is_as_if_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_PARTITIONS", "")
    assert load_settings().partitions == Settings().partitions


def test_all_errors_are_reported_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('partition = 3\n[telemetry]\ngrace_s = -1\nnonsense = 1\n[retention_ms]\n"health-signals" = 5\n')
    monkeypatch.setenv("MAESTRO_STANDBY_REPLICAS", "many")
    monkeypatch.setenv("MAESTRO_HEALING__COOLDWN_S", "1")
    monkeypatch.setenv("MAESTRO_BROKER", "nowhere")
    monkeypatch.setenv("MAESTRO_DISCOVERY__FIELD_PRECEDENCE", "not json")
    found = problems(log_level="loud")
    assert set(found) == {
        f"partition in {file}",
        f"telemetry.grace_s in {file}",
        f"telemetry.nonsense in {file}",
        f"retention_ms in {file}",
        "MAESTRO_STANDBY_REPLICAS",
        "MAESTRO_HEALING__COOLDWN_S",
        "MAESTRO_BROKER",
        "MAESTRO_DISCOVERY__FIELD_PRECEDENCE",
        "--log-level",
    }
    assert "Did you mean partitions?" in found[f"partition in {file}"]
    assert "Did you mean MAESTRO_HEALING__COOLDOWN_S?" in found["MAESTRO_HEALING__COOLDWN_S"]
    assert "Did you mean" not in found[f"telemetry.nonsense in {file}"]
    assert ">= 0, <= 5" in found["MAESTRO_STANDBY_REPLICAS"]
    assert "HOST:PORT" in found["MAESTRO_BROKER"]
    assert "debug | info | warning | error" in found["--log-level"]


@pytest.mark.parametrize("broker", ["host", "host:", ":9092", "host:0", "host:70000", "a:1,b", "http://h"])
def test_a_broker_that_is_no_address_is_refused(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_BROKER", broker)
    assert set(problems()) == {"MAESTRO_BROKER"}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "0", "-1", "1e9", "abc"])
def test_a_number_out_of_bounds_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_SESSION_TIMEOUT_S", value)
    assert set(problems()) == {"MAESTRO_SESSION_TIMEOUT_S"}


def test_a_whole_group_may_be_given_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_TELEMETRY", '{"grace_s": 3}')
    monkeypatch.setenv("MAESTRO_TELEMETRY__LEAVE_Z", "2")
    telemetry = load_settings().telemetry
    assert (telemetry.grace_s, telemetry.leave_z) == (3.0, 2.0)


def test_a_group_that_is_no_json_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_TELEMETRY", "abc")
    with pytest.raises(SettingsError, match="telemetry"):
        load_settings()


def test_lists_and_tables_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_DISCOVERY__PRECEDENCE", "cmdb:*, k8s:*")
    monkeypatch.setenv("MAESTRO_RETENTION_MS__HEALTH-SIGNALS", "3600000")
    settings = load_settings()
    assert settings.discovery.precedence == ("cmdb:*", "k8s:*")
    assert settings.retention_ms == {"health-signals": 3_600_000}


@pytest.mark.parametrize(
    ("topic", "ms", "said"), [("nope", 60_000, "no topic"), ("assets", 60_000, "compacted"), ("anomalies", 1, "minute")]
)
def test_retention_is_for_topics_that_have_one(topic: str, ms: int, said: str, file: Path) -> None:
    file.write_text(f'[retention_ms]\n"{topic}" = {ms}\n')
    assert said in problems()[f"retention_ms in {file}"]


@pytest.mark.parametrize("text", [None, "= 3", "partitions = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_one_error(text: str | bytes | None, file: Path) -> None:
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert "cannot be read as TOML" in problems()[str(file)]


def test_an_unknown_variable_is_an_error_but_the_test_suites_own_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_TEST_BROKER", "x:1")
    load_settings()
    monkeypatch.setenv("MAESTRO_BROKERS", "x:1")
    assert problems() == {"MAESTRO_BROKERS": "there is no such setting Did you mean MAESTRO_BROKER?"}


def test_every_row_says_what_a_person_needs() -> None:
    for row in rows(Settings()):
        assert row.description, row.name
        assert row.variable == "MAESTRO_" + row.name.replace(".", "__").upper()
        if row.name.endswith("_s"):
            assert row.unit, row.name


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_REDIS_URL", "redis://user:secret@host:1/0")
    assert "redis://user:***@host:1/0" in {row.value for row in rows(load_settings())}
    monkeypatch.setenv("MAESTRO_REDIS_URL", "memcached://user:secret@host:1/0")
    assert "secret" not in str(problems())
