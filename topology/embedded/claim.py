"""A folder is for one owner at a time: a file lock that the system releases however its owner ends."""

from __future__ import annotations

import fcntl
from pathlib import Path

from topology.embedded.errors import DataFolderInUse


class FolderClaim:
    """Held from construction to release(). Raises DataFolderInUse, before anything in the folder is touched."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "maestro.lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise DataFolderInUse(
                f"another Maestro runs its Kafka on {folder}. Stop it, or give another folder (MAESTRO_DATA_DIR)."
            ) from error

    def release(self) -> None:
        self._file.close()
