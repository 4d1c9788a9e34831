"""Java, ports, progress lines, error texts and the broker's settings: what needs no broker to be shown."""

from __future__ import annotations

import errno
import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from topology.embedded import broker_config
from topology.embedded.diagnosis import classified, explained
from topology.embedded.errors import DataFolderInUse, DiedAtStart, DiskFull, EmbeddedError, JavaMissing, PortTaken, tail
from topology.embedded.java import find_java
from topology.embedded.parts import kafka_of, running_parts
from topology.embedded.process import LeashedProcess, check_port_free, free_ports
from topology.embedded.progress import Lines, Step, shown
from topology.limits import DEAD_LETTER_HEADROOM_BYTES, MAX_RECORD_BYTES
from topology.settings import Settings


def java_that_prints(folder: Path, text: str, status: int = 0) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit {status}\n")
    java.chmod(0o755)
    return java


def test_the_java_that_came_with_us_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAESTRO_JAVA", raising=False)
    assert find_java().name == "java"


@pytest.mark.parametrize("said", ['openjdk version "17.0.15" 2025-04-15', 'java version "25" 2025-09-16 LTS'])
def test_a_java_of_ones_own_is_used(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = java_that_prints(tmp_path, said)
    monkeypatch.setenv("MAESTRO_JAVA", str(java))
    assert find_java() == java


@pytest.mark.parametrize(("said", "found"), [('java version "1.8.0_392"', "8"), ('openjdk version "11.0.2"', "11")])
def test_an_old_java_is_refused(said: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(JavaMissing, match=rf"is Java {found}, which is too old\. Kafka needs Java 17"):
        find_java(java_that_prints(tmp_path, said))


def test_a_java_that_is_missing_broken_or_silent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JavaMissing, match="cannot be run"):
        find_java(tmp_path / "nowhere")
    with pytest.raises(JavaMissing, match="cannot be run"):
        find_java(java_that_prints(tmp_path, "broken", status=1))
    with pytest.raises(JavaMissing, match="does not say"):
        find_java(java_that_prints(tmp_path, "hello"))


def test_a_taken_port_names_its_holder_and_the_setting() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} .*MAESTRO_SOME_PORT"):
            check_port_free(port, "MAESTRO_SOME_PORT")
    check_port_free(port, "MAESTRO_SOME_PORT")


def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiedAtStart, match=r"nowhere could not be run: .*No such file"):
        LeashedProcess([str(tmp_path / "nowhere")], tmp_path / "out")


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("java.io.IOException: No space left on device", DiskFull),
        ("Failed to acquire lock on file .lock in /x", DataFolderInUse),
        ("anything else", DiedAtStart),
    ],
)
def test_the_brokers_last_words_become_a_cause(words: str, kind: type[EmbeddedError]) -> None:
    error = classified(words, Path("folder"))
    assert type(error) is kind
    assert words in str(error)


def test_a_system_error_on_the_data_folder_is_explained() -> None:
    assert isinstance(explained(OSError(errno.ENOSPC, "full"), Path("folder")), DiskFull)
    other = explained(PermissionError(errno.EACCES, "denied"), Path("folder"))
    assert "MAESTRO_DATA_DIR" in str(other)
    assert not isinstance(other, DiskFull)


def test_the_tail_shows_the_end_of_each_log_that_has_one(tmp_path: Path) -> None:
    full, empty = tmp_path / "full.log", tmp_path / "empty.log"
    full.write_text("\n".join(f"line {n}" for n in range(100)))
    empty.write_text("")
    shown = tail(full, empty, tmp_path / "missing.log")
    assert "line 99" in shown
    assert "line 75" in shown
    assert "line 74\n" not in shown
    assert "empty.log" not in shown
    assert tail(empty) == "(its log is empty)"


def test_lines_come_at_the_start_the_end_and_now_and_then() -> None:
    out, now = io.StringIO(), 0.0
    lines = Lines(out, clock=lambda: now)
    for done in range(0, 100, 10):
        now = done / 20
        lines(Step("jars", "downloading", done, 100))
    lines(Step("jars", "downloaded", 100, 100))
    lines(Step("start", "starting"))
    expected = ["downloading 0%", "downloading 40%", "downloading 80%", "downloaded 100%", "starting"]
    assert out.getvalue().splitlines() == expected


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_with_and_without_a_terminal(is_terminal: bool) -> None:
    out = io.StringIO()
    with shown(Console(file=out, force_terminal=is_terminal, width=100)) as progress:
        progress(Step("jars", "downloading jars", 5, 10))
        progress(Step("start", "starting Kafka"))
    assert "downloading jars" in out.getvalue()
    assert "starting Kafka" in out.getvalue()
    assert ("\x1b" in out.getvalue()) == is_terminal


def test_the_broker_listens_on_the_loopback_interface_only(tmp_path: Path) -> None:
    lines = broker_config.server_properties(tmp_path, 1234, 1235).splitlines()
    listeners = [line for line in lines if "listeners=" in line]
    assert len(listeners) == 2
    for line in listeners:
        assert all("//127.0.0.1:" in address for address in line.split("=", 1)[1].split(","))


def test_one_broker_keeps_one_copy_of_everything() -> None:
    copies = [v for k, v in broker_config.BROKER_SETTINGS.items() if "replication.factor" in k or "min.isr" in k]
    assert len(copies) == 6
    assert set(copies) == {"1"}


def test_the_broker_takes_what_the_largest_topic_takes() -> None:
    largest = MAX_RECORD_BYTES + DEAD_LETTER_HEADROOM_BYTES
    assert int(broker_config.BROKER_SETTINGS["message.max.bytes"]) == largest


def test_settings_reach_the_embedded_broker(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, embedded_kafka_port=4321, java=tmp_path / "java", cache_dir=tmp_path / "c")
    assert kafka_of(settings).bootstrap == "127.0.0.1:4321"
    with pytest.raises(EmbeddedError):
        _ = kafka_of(settings).pid


def test_named_parts_are_not_started() -> None:
    settings = Settings(broker="kafka:9092", redis_url="redis://redis:6379/0")
    with running_parts(settings) as parts:
        assert (parts.broker, parts.redis_url, parts.kafka, parts.redis) == (
            "kafka:9092", "redis://redis:6379/0", None, None,
        )  # fmt: skip
