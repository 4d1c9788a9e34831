"""A job request as JSON: its kind, the id of its decision and its row all need it. Pure.

Requests that were read alike share the objects of all their fields but id and time (`schemas.alike`): the text between
these two is made once for all of them.
"""

from __future__ import annotations

from operator import is_, itemgetter
from typing import Final

import orjson

from schemas.records import JobRequest

KEPT: Final = 4_096
"""More than the jobs of a step of the runner, which are decided one after the other and then written."""
_kept: Final[dict[int, tuple[tuple[object, ...], str]]] = {}
_BESIDE: Final = tuple(name for name in JobRequest.model_fields if name not in ("id", "at"))
_beside: Final = itemgetter(*_BESIDE)


def text_of(job: JobRequest) -> str:
    return f'{{"id":{orjson.dumps(job.id).decode()}{kind_of(job)},"at":{job.at}}}'


def kind_of(job: JobRequest) -> str:
    """What a job asks for, as JSON: the fields between its first one, the id, and its last one, the time.

    Known by the identity of these fields: a request never changes, and they are kept, so that nothing else can get
    their place meanwhile.
    """
    fields = job.__dict__
    beside = _beside(fields)
    found = _kept.get(id(fields["metadata"]))
    if found is None or not all(map(is_, found[0], beside)):
        if len(_kept) >= KEPT:
            _kept.clear()
        text = job.model_dump_json()
        found = _kept[id(fields["metadata"])] = beside, text[text.index(',"type":') : text.rindex(',"at":')]
    return found[1]
