"""What a layer keeps, read from the changelog of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from streams.atleastonce.changelog import ROW, flush_of
from topology.client.reading import NoSuchTopicError, Read
from topology.tables import LAYER_BY_NAME

if TYPE_CHECKING:
    from topology.client.conductor import MaestroConductor


def changelog_of(maestro: MaestroConductor, app_id: str, layer: str) -> Iterator[Read]:
    """All that it holds now; nothing where no worker of the layer has run yet. Raises FeedError and TimeoutError."""
    topic = f"{app_id}-{LAYER_BY_NAME[layer].name}-state-changelog"
    try:
        with maestro.reader(topic, from_beginning=True) as reader:
            yield from reader.read_all()
    except NoSuchTopicError:
        return


def row_changes(changelog: Iterable[Read], wanted: Callable[[str], bool]) -> Iterator[tuple[int, str, bytes | None]]:
    """Partition, key and content of each row whose key is `wanted`, in the order written; None = it was deleted."""
    prefix = ROW.decode()
    for read in changelog:
        key = read.key.removeprefix(prefix)
        if key != read.key and wanted(key):
            value = read.raw.value
            yield read.partition, key, None if value is None else flush_of(value, ())[1]
