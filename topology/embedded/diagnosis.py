"""From a system error or a dying broker's words to the cause that a person can do something about."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from topology.embedded.errors import DataFolderInUse, DiedAtStart, DiskFull, EmbeddedError, StartTimeout, tail

FULL_BELOW_BYTES = 1024 * 1024


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
    # A log on a full disk breaks off before it can say so: the disk itself is asked too.
    if "No space left on device" in message or _free_bytes(folder) < FULL_BELOW_BYTES:
        return DiskFull(f"{disk_full(folder, 'Kafka stopped')}\n{message}")
    if "Failed to acquire lock on file" in message:
        return DataFolderInUse(f"another Kafka already runs on {folder}. Stop it, or give another folder.\n{message}")
    return DiedAtStart(message)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free if folder.exists() else FULL_BELOW_BYTES


def too_slow(what: str, timeout_s: float, *logs: Path) -> StartTimeout:
    return StartTimeout(
        f"{what} took longer than {timeout_s:g} s. A loaded machine may need longer: raise "
        f"MAESTRO_EMBEDDED_START_TIMEOUT_S.\n{tail(*logs)}"
    )
