"""How a caller is told what is being waited for: one callback, and two ways to show it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Step:
    """`total` 0 = length not known. `stage` is one of jars, format, start, ready; `done == total` ends a stage."""

    stage: str
    text: str
    done: int = 0
    total: int = 0

    @property
    def finished(self) -> bool:
        return self.total > 0 and self.done >= self.total


Callback = Callable[[Step], None]


def silent(step: Step) -> None:
    """The default: a library does not print."""


class Lines:
    """One plain line when a stage begins, when it ends, and every two seconds in between."""

    def __init__(self, out: IO[str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stderr
        self._clock = clock
        self._stage = ""
        self._said_at = 0.0

    def __call__(self, step: Step) -> None:
        now = self._clock()
        if step.stage == self._stage and not step.finished and now - self._said_at < LINE_EVERY_S:
            return
        self._stage, self._said_at = ("" if step.finished else step.stage), now
        share = f" {100 * step.done // step.total}%" if step.total else ""
        print(f"{step.text}{share}", file=self._out, flush=True)


@contextmanager
def shown(console: Console | None = None) -> Iterator[Callback]:
    """Bars on a terminal, plain lines elsewhere (a pipe, a CI log)."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console.file)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.text, total=None)
            bars.update(tasks[step.stage], description=step.text, completed=step.done, total=step.total or None)

        yield show
