"""The jar lock: only what it names, only with its SHA-256, and never half a file. The network is a fake here."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from jgo.maven import PythonResolver

from topology.embedded import jars
from topology.embedded.errors import DiskFull, JarDamaged, JarsUnavailable
from topology.embedded.jars import Jar, Lock, ensure_jars, is_sound
from topology.embedded.progress import Step

BODY = {"one": b"1" * 1000, "two": b"2" * 2000}
LOCK = Lock(
    "4.0.0",
    tuple(Jar("org.example", n, "1.0", len(b), hashlib.sha256(b).hexdigest()) for n, b in BODY.items()),
)


class Repository:
    """Stands in for jgo's download; `serve` may be replaced by a test."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.serve: Callable[[str], bytes] = lambda name: BODY[name]

    def download(self, resolver: PythonResolver, artifact: object) -> Path:
        name = artifact.artifactId  # type: ignore[attr-defined]
        self.asked.append(name)
        path = Path(artifact.cached_path)  # type: ignore[attr-defined]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.serve(name))
        return path


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    fake = Repository()
    monkeypatch.setattr(PythonResolver, "download", lambda resolver, artifact: fake.download(resolver, artifact))
    monkeypatch.setattr(jars, "lock", lambda: LOCK)
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jars"


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_first_start_downloads_second_needs_nothing(repository: Repository, folder: Path) -> None:
    assert [path.read_bytes() for path in ensure_jars(folder=folder)] == list(BODY.values())
    assert sorted(repository.asked) == ["one", "two"]
    assert len(ensure_jars(folder=folder)) == 2
    assert len(repository.asked) == 2
    assert left_in(folder) == {"one-1.0.jar", "two-1.0.jar"}


@pytest.mark.parametrize("damage", [b"", b"1" * 500, b"x" * 1000])
def test_a_truncated_or_changed_jar_is_fetched_again(repository: Repository, folder: Path, damage: bytes) -> None:
    ensure_jars(folder=folder)
    (folder / "one-1.0.jar").write_bytes(damage)
    ensure_jars(folder=folder)
    assert repository.asked[2:] == ["one"]
    assert (folder / "one-1.0.jar").read_bytes() == BODY["one"]


@pytest.mark.parametrize("served", [b"", b"2" * 1999, b"z" * 2000])
def test_a_download_that_is_not_what_the_lock_names_is_thrown_away(
    repository: Repository, folder: Path, served: bytes
) -> None:
    repository.serve = lambda name: served if name == "two" else BODY[name]
    with pytest.raises(JarDamaged, match=r"two-1\.0\.jar arrived with \d+ bytes"):
        ensure_jars(folder=folder)
    assert left_in(folder) <= {"one-1.0.jar"}


def test_no_network_says_which_jar_and_what_to_do(repository: Repository, folder: Path) -> None:
    def offline(name: str) -> bytes:
        raise requests.ConnectionError("no route to host")

    repository.serve = offline
    with pytest.raises(JarsUnavailable, match=r"org\.example:one:1\.0.*no route to host.*MAESTRO_BROKER"):
        ensure_jars(folder=folder)
    assert left_in(folder) == set()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_leaves_nothing_broken(repository: Repository, folder: Path, number: int) -> None:
    def full(name: str) -> bytes:
        raise OSError(number, "No space left on device")

    repository.serve = full
    with pytest.raises(DiskFull, match="MAESTRO_CACHE_DIR"):
        ensure_jars(folder=folder)
    assert left_in(folder) == set()


def test_too_little_room_is_told_before_anything_is_fetched(
    repository: Repository, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 2999))
    with pytest.raises(DiskFull, match="MAESTRO_CACHE_DIR"):
        ensure_jars(folder=folder)
    assert repository.asked == []


def test_another_system_error_is_not_called_a_full_disk(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        ensure_jars(folder=tmp_path / "file" / "jars")


def test_the_users_own_maven_repository_is_looked_at_first(
    repository: Repository, folder: Path, tmp_path: Path
) -> None:
    for jar, body in zip(LOCK.jars, (BODY["one"], b"not two"), strict=True):
        path = tmp_path / "m2" / jar.repository_path
        path.parent.mkdir(parents=True)
        path.write_bytes(body)
    ensure_jars(folder=folder)
    # Its `two` is not what the lock names: only that one is downloaded.
    assert repository.asked == ["two"]


def test_progress_counts_up_to_the_whole(repository: Repository, folder: Path) -> None:
    steps: list[Step] = []
    ensure_jars(steps.append, folder)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert [step.finished for step in steps].count(True) == 1
    assert steps[-1].finished
    assert "Kafka 4.0.0" in steps[0].text


def test_the_committed_lock_is_whole_and_names_no_host() -> None:
    text = jars.LOCK_PATH.read_text(encoding="utf-8")
    assert "://" not in text
    locked = jars.lock()
    names = {jar.artifact for jar in locked.jars}
    # The broker, and the binding without which its log would be empty.
    assert {"kafka_2.13", "kafka-clients", "log4j-slf4j-impl", "log4j-core"} <= names
    assert len({jar.filename for jar in locked.jars}) == len(locked.jars)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.size_bytes > 0 for jar in locked.jars)
    assert {jar.version for jar in locked.jars if jar.artifact.startswith("kafka")} == {locked.kafka}


def test_a_jar_that_is_a_folder_or_missing_is_not_sound(tmp_path: Path) -> None:
    assert not is_sound(LOCK.jars[0], tmp_path / "missing")
    assert not is_sound(LOCK.jars[0], tmp_path)


def test_the_cache_folder_follows_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MAESTRO_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jars.cache_dir() == tmp_path / "maestro-conductor"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert jars.cache_dir() == Path.home() / ".cache" / "maestro-conductor"
    monkeypatch.setenv("MAESTRO_CACHE_DIR", str(tmp_path / "own"))
    assert jars.cache_dir() == tmp_path / "own"
