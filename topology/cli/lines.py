"""JSON lines of records: bare, or in the shape of `maestro replay` (`{"topic", "value", ...}`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import orjson

from schemas.errors import DecodeError, Invalid
from schemas.json_form import one_of_from_json
from schemas.records import PolicyRecord, Record
from topology.cli.options import input_lines
from topology.cli.output import note
from topology.clock import now_ms


class LineReader:
    """Iterate it for the records of a source; bad lines are reported with file and line, counted and passed by."""

    def __init__(
        self, source: str, topic: str, records: Sequence[type[Record]], report: Callable[[str], None] = note
    ) -> None:
        self.read = 0
        self.refused = 0
        self._source, self._topic, self._records, self._report = source, topic, records, report
        self._place = source

    def __iter__(self) -> Iterator[Record]:
        for name, number, line in input_lines(self._source):
            self.read += 1
            self._place = f"{name}:{number}"
            try:
                record = parse(line, self._topic, self._records, now_ms)
            except DecodeError as error:
                self.refuse(str(error))
            else:
                yield record

    def refuse(self, reason: str) -> None:
        """Reports the line that was read last."""
        self.refused += 1
        self._report(f"{self._place}: {reason}")


def parse(line: bytes, topic: str, records: Sequence[type[Record]], clock_ms: Callable[[], int]) -> Record:
    """The record of one line; `at` is the clock's where the line has none. Raises a DecodeError."""
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError:
        # NaN and Infinity have a reason of their own, and so has what is no JSON at all.
        return one_of_from_json(records, line)
    if isinstance(given, dict) and isinstance(given.get("topic"), str) and "value" in given:
        if given["topic"] != topic:
            raise Invalid(f"the line is for topic {given['topic']}, not for {topic}")
        given = given["value"]
    if isinstance(given, dict) and "at" not in given:
        given = given | {"at": clock_ms()}
    record = one_of_from_json(records, orjson.dumps(given))
    if isinstance(record, PolicyRecord) and record.policy_set is not None:
        _check_policies(record.id, record.policy_set.files)
    return record


def _check_policies(name: str, files: dict[str, str]) -> None:
    from streams.policy.cedar import CedarPolicySet, PolicyLoadError

    try:
        CedarPolicySet(files, name)
    except PolicyLoadError as error:
        raise Invalid(str(error)) from error
