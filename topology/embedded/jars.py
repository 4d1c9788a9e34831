"""Kafka's jars: exactly those of kafka-jars.lock, kept in the user's cache, their SHA-256 checked at every start.

jgo knows the repositories (and the user's own jgo configuration) and fetches; it only warns about a wrong checksum
and writes straight into its cache, so each jar is fetched into a staging folder, checked, and then renamed into place.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import requests
from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver

from topology.embedded.errors import DiskFull, JarDamaged, JarsUnavailable
from topology.embedded.progress import Callback, Step, silent

LOCK_PATH = Path(__file__).with_name("kafka-jars.lock")
DOWNLOADS_AT_ONCE = 6
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Jar:
    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def repository_path(self) -> Path:
        return Path(*self.group.split("."), self.artifact, self.version, self.filename)


@dataclass(frozen=True, slots=True)
class Lock:
    kafka: str
    jars: tuple[Jar, ...]


@cache
def lock() -> Lock:
    data = tomllib.loads(LOCK_PATH.read_text(encoding="utf-8"))
    return Lock(data["kafka"], tuple(Jar(**jar) for jar in data["jar"]))


def cache_dir() -> Path:
    """`MAESTRO_CACHE_DIR`, else `$XDG_CACHE_HOME/maestro-conductor`, else `~/.cache/maestro-conductor`."""
    if own := os.environ.get("MAESTRO_CACHE_DIR"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "maestro-conductor"


def is_sound(jar: Jar, path: Path) -> bool:
    """Present, with the size and the SHA-256 of the lock (all 45 jars take 30 ms)."""
    try:
        if path.stat().st_size != jar.size_bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def ensure_jars(progress: Callback = silent, folder: Path | None = None) -> tuple[Path, ...]:
    """The class path. Downloads what is missing or damaged; needs no network when nothing is.

    Raises JarsUnavailable, JarDamaged, DiskFull.
    """
    jars = lock().jars
    folder = folder or cache_dir() / "jars"
    wanted = [jar for jar in jars if not is_sound(jar, folder / jar.filename)]
    if wanted:
        with _disk_full_explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _check_room(folder, sum(jar.size_bytes for jar in wanted))
            _fetch_all(wanted, folder, progress)
    return tuple(folder / jar.filename for jar in jars)


def _check_room(folder: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise DiskFull(
            f"Kafka's jars need {needed_bytes / 1e6:.0f} MB in {folder}, which has {free / 1e6:.0f} MB left. "
            "Make room there, or set MAESTRO_CACHE_DIR to a folder on another disk."
        )


@contextmanager
def _disk_full_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"the disk filled up while Kafka's jars were written to {folder}. Nothing broken was left behind. "
            "Make room there, or set MAESTRO_CACHE_DIR to a folder on another disk."
        ) from error


def _fetch_all(wanted: list[Jar], folder: Path, progress: Callback) -> None:
    total = sum(jar.size_bytes for jar in wanted)
    text = f"downloading Kafka {lock().kafka} ({len(wanted)} jars, {total / 1e6:.0f} MB)"
    counted = _Count(total, lambda done: progress(Step("jars", text, done, total)))
    counted.add(0)
    with (
        tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as staging,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE, thread_name_prefix="jar") as pool,
    ):
        fetched = [pool.submit(_fetch, jar, Path(staging), counted.add) for jar in wanted]
        for jar, future in zip(wanted, fetched, strict=True):
            try:
                source = future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            os.replace(source, folder / jar.filename)
    progress(Step("jars", f"Kafka {lock().kafka} is in {folder}", total, total))


class _Count:
    """Bytes of all downloads together; called from their threads."""

    def __init__(self, total: int, tell: Callable[[int], None]) -> None:
        self._done, self._total, self._tell, self._guard = 0, total, tell, threading.Lock()

    def add(self, size_bytes: int) -> None:
        with self._guard:
            self._done = min(self._done + size_bytes, self._total - 1)
            self._tell(self._done)


def _fetch(jar: Jar, staging: Path, count: Callable[[int], None]) -> Path:
    settings = GlobalSettings.load()
    known = Path(settings.repo_cache) / jar.repository_path
    target = staging / jar.filename
    if is_sound(jar, known):
        shutil.copyfile(known, target)
        count(jar.size_bytes)
    else:
        _download(jar, target, settings.repositories, count)
    if not is_sound(jar, target):
        raise JarDamaged(
            f"{jar.filename} arrived with {target.stat().st_size} bytes and not the SHA-256 that kafka-jars.lock names "
            f"({jar.size_bytes} bytes, {jar.sha256}). It was thrown away. Try again; if it happens again, something "
            "between here and the Maven repository changes downloads: tell whoever runs your network or mirror."
        )
    return target


def _download(jar: Jar, target: Path, repositories: dict[str, str], count: Callable[[int], None]) -> None:
    @contextmanager
    def counting(filename: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield count

    own = staging_of(target)
    maven = MavenContext(
        resolver=PythonResolver(progress_callback=counting),
        repo_cache=own,
        timeout=TIMEOUT_S,
    )
    maven.remote_repos = {**repositories, **maven.remote_repos}
    try:
        artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
        os.replace(maven.resolver.download(artifact), target)
    except (requests.RequestException, RuntimeError) as error:
        raise JarsUnavailable(
            f"could not download {jar.group}:{jar.artifact}:{jar.version}: {_root(error)}. The first start needs the "
            "network (45 MB, once); check the connection and any proxy settings, name a mirror in jgo's own "
            f"configuration file, copy a filled cache folder to {cache_dir()}, or set MAESTRO_BROKER."
        ) from error
    finally:
        shutil.rmtree(own, ignore_errors=True)


def staging_of(target: Path) -> Path:
    return target.with_name(target.name + ".d")


def _root(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return f"{type(error).__name__}: {error}"
