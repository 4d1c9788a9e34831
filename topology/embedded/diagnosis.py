"""From a system error or a dying broker's words to the cause that a person can do something about."""

from __future__ import annotations

import errno
from pathlib import Path

from topology.embedded.errors import DataFolderInUse, DiedAtStart, DiskFull, EmbeddedError


def explained(error: OSError, folder: Path) -> EmbeddedError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(folder, "writing failed")
    return EmbeddedError(f"Kafka's data folder {folder} cannot be used: {error}. Give another one (MAESTRO_DATA_DIR).")


def disk_full(folder: Path, what: str) -> DiskFull:
    return DiskFull(
        f"the disk of Kafka's data folder {folder} is full: {what}. Make room there, or give a folder on "
        "another disk (MAESTRO_DATA_DIR, or TMPDIR for temporary data)."
    )


def classified(message: str, folder: Path) -> EmbeddedError:
    """Puts the two causes that a user can do something about in front of Java's words."""
    if "No space left on device" in message:
        return DiskFull(f"{disk_full(folder, 'Kafka stopped')}\n{message}")
    if "Failed to acquire lock on file" in message:
        return DataFolderInUse(f"another Kafka already runs on {folder}. Stop it, or give another folder.\n{message}")
    return DiedAtStart(message)
