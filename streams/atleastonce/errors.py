"""What can go wrong here, and the status with which the process ends because of it."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Process exit statuses of a worker."""

    CONFIGURATION = 2
    BUG = 70
    """An agent raised, or a promise could not be kept: nothing unflushed was acked, all of it is delivered again."""


class AtLeastOnceError(Exception):
    """Base; `status` is what the process ends with when nobody handles it."""

    status: Exit = Exit.BUG


class ConfigurationError(AtLeastOnceError):
    """The worker can't start as configured; the message names what to change."""

    status = Exit.CONFIGURATION


class DeliveryFailed(AtLeastOnceError):
    """The broker did not confirm a record in time, or refused it."""


class Fenced(AtLeastOnceError):
    """Someone else wrote to a changelog partition that we believed to own: our flush may be void."""


class ChangelogCorrupt(AtLeastOnceError):
    """A changelog record that this version never writes."""


class TooLarge(AtLeastOnceError):
    """A row or output over `max_record_bytes`, which the broker would refuse; raised by `stage`, before any effect."""


class NotOwned(AtLeastOnceError):
    """Work was staged for a partition that this worker does not hold."""


class NotStarted(AtLeastOnceError):
    """A thread asked for what the app's event loop makes when it starts."""


class Stalled(AtLeastOnceError):
    """Input waits, and nothing was committed for longer than `stall_s`."""


class Interrupted(AtLeastOnceError):
    """A restore was given up because the assignment changed or the app stops."""
