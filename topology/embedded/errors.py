"""What can go wrong before a broker is up: one class a cause, each message says what to do next."""

from __future__ import annotations

from pathlib import Path

TAIL_LINES = 25


class EmbeddedError(Exception):
    """An embedded part could not be had or started. `str()` is meant for a person's eyes."""


class JarsUnavailable(EmbeddedError):
    """A jar is neither in the cache nor could it be downloaded (no network, a refused or broken download)."""


class JarDamaged(EmbeddedError):
    """A downloaded jar does not have the size or the SHA-256 of the lock file."""


class DiskFull(EmbeddedError):
    """Not enough room for the jars, the data or the log."""


class PortTaken(EmbeddedError):
    """Another process listens on the port that was asked for."""


class JavaMissing(EmbeddedError):
    """No Java runtime that can run this Kafka."""


class DataFolderInUse(EmbeddedError):
    """Another broker already runs on this data folder, or the folder holds something else."""


class DiedAtStart(EmbeddedError):
    """The child process ended before it answered."""


class StartTimeout(EmbeddedError):
    """The child process lives but did not answer in time."""


def tail(*logs: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of each log that has any, ready to be put under an error message."""
    parts = []
    for log in logs:
        try:
            text = log.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
        if text:
            parts.append(f"--- end of {log} ---\n" + "\n".join(text.splitlines()[-lines:]))
    return "\n".join(parts) or "(its log is empty)"
