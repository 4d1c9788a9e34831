"""One partition's rows on local disk (RocksDB), always together with the position that they belong to."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import rocksdb

from streams.atleastonce.errors import ConfigurationError, NotOwned
from streams.atleastonce.replay import Position
from streams.atleastonce.settings import AtLeastOnceSettings

log = logging.getLogger(__name__)

_ROW, _POSITION, _LINEAGE = b"r", b"p", b"l"
LOCK_WAIT_S = 15.0
"""A worker that was just killed may hold the file lock for a moment longer."""


class PartitionStore:
    """Rows and position are written in one write batch: after any kill the store is a committed state.

    `lineage` is the changelog topic's id: a store of another topic (deleted and created again) is thrown away, and so
    is one not written for `store_max_age_s` (tombstones that it missed may be gone from the changelog) or unreadable.
    """

    def __init__(self, path: Path, settings: AtLeastOnceSettings, lineage: str) -> None:
        self.path = path
        self._settings = settings
        self._lineage = lineage.encode()
        self._using = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and time.time() - _modified_at_s(path) > settings.store_max_age_s:  # noqa: TID251 - age of files
            log.warning("store %s is older than %s s: rebuilt from the changelog", path, settings.store_max_age_s)
            shutil.rmtree(path)
        self._db: Any = self._open()
        if self._db.get(_LINEAGE) not in (None, self._lineage):
            log.warning("store %s belongs to a changelog that was deleted since: rebuilt", path)
            self.wipe()
        self._db.put(_LINEAGE, self._lineage)

    def position(self) -> Position:
        data = self._db.get(_POSITION)
        return Position() if data is None else Position.decode(data)

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        cursor = self._db.iteritems()
        cursor.seek(_ROW)
        for key, value in cursor:
            if key[:1] != _ROW:
                return
            yield key[1:], value

    def get(self, key: bytes) -> bytes | None:
        row: bytes | None = self._db.get(_ROW + key)
        return row

    def write(self, rows: Iterable[tuple[bytes, bytes | None]], position: Position) -> None:
        """Of several rows with one key the last counts."""
        batch = rocksdb.WriteBatch()
        for key, row in rows:
            if row is None:
                batch.delete(_ROW + key)
            else:
                batch.put(_ROW + key, row)
        batch.put(_POSITION, position.encode())
        with self._using:
            if self._db is None:
                raise NotOwned(f"store {self.path} was closed meanwhile")
            self._db.write(batch)

    def wipe(self) -> None:
        """Empty, as if new."""
        self.close()
        shutil.rmtree(self.path)
        self._db = self._open()
        self._db.put(_LINEAGE, self._lineage)

    def close(self) -> None:
        with self._using:
            if self._db is not None:
                self._db.close()
            self._db = None

    def _open(self) -> Any:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                return rocksdb.DB(str(self.path), rocksdb.Options(**rocksdb_options(self._settings)))
            except rocksdb.errors.Corruption:
                log.warning("store %s can't be read: rebuilt from the changelog", self.path)
                shutil.rmtree(self.path)
            except rocksdb.errors.RocksIOError as error:
                if b"lock" not in str(error).lower().encode() or time.monotonic() > deadline:
                    raise ConfigurationError(
                        f"store {self.path} can't be opened: {error}. Each worker process needs its own data folder."
                    ) from error
                time.sleep(0.2)


def rocksdb_options(settings: AtLeastOnceSettings) -> dict[str, Any]:
    """Small: there is one database per partition, and the rows of held partitions live in the layer's memory."""
    cache = rocksdb.LRUCache(settings.store_cache_bytes)
    return {
        "create_if_missing": True,
        "max_open_files": 256,
        "write_buffer_size": settings.store_buffer_bytes,
        "max_write_buffer_number": 2,
        "table_factory": rocksdb.BlockBasedTableFactory(filter_policy=rocksdb.BloomFilterPolicy(10), block_cache=cache),
    }


def _modified_at_s(path: Path) -> float:
    return max((file.stat().st_mtime for file in path.iterdir()), default=0.0)
