"""The verdict of one policy, kept in every record that a policy decided on."""

from __future__ import annotations

from schemas.records.base import Record


class PolicyVerdict(Record):
    id: str
    version: str
    allowed: bool
    reason: str
