"""A job request as JSON, made once: its kind, the id of its decision and its row all need it. Pure."""

from __future__ import annotations

from typing import Final

from schemas.records import JobRequest

KEPT: Final = 1_024
"""As many as the jobs of a step of the runner, which are decided one after the other and then written."""
_kept: Final[dict[int, tuple[JobRequest, str]]] = {}


def text_of(job: JobRequest) -> str:
    """Known by its identity: a request never changes, and is kept so that no other one can get its place meanwhile."""
    found = _kept.get(id(job))
    if found is None:
        if len(_kept) >= KEPT:
            _kept.clear()
        found = _kept[id(job)] = job, job.model_dump_json()
    return found[1]


def kind_of(job: JobRequest) -> str:
    """What a job asks for, as JSON: the fields between its first one, the id, and its last one, the time."""
    text = text_of(job)
    return text[text.index(',"type":') : text.rindex(',"at":')]
