"""The root group: errors that a person can mend become one message and an exit status, never a traceback."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

FAILURE, USAGE = 1, 2
WRONG_SETUP = (("topology.settings", "SettingsError"), ("streams.policy.cedar", "PolicyLoadError"))
FAILED = (
    ("topology.admin", "AdminError"),
    ("topology.client.publisher", "DeliveryError"),
    ("streams.atleastonce.errors", "DeliveryFailed"),
    ("streams.command.ports", "FeedError"),
    ("topology.embedded.errors", "EmbeddedError"),
    ("confluent_kafka", "KafkaException"),
    ("builtins", "TimeoutError"),
)


def loaded(names: tuple[tuple[str, str], ...]) -> tuple[type[Exception], ...]:
    """Those of the classes whose module was loaded: no other can have been raised, and loading them takes seconds."""
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)


class Refused(Exception):
    """What a command says before it ends with 1."""

    exit_status = FAILURE


class Misused(Refused):
    """What a command says before it ends with 2."""

    exit_status = USAGE


class Root(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Refused as error:
            raise _ended(error, error.exit_status) from error
        except loaded(WRONG_SETUP) as error:
            raise _ended(error, USAGE) from error
        except loaded(FAILED) as error:
            raise _ended(error, FAILURE) from error
        except BrokenPipeError:
            # Whoever read our output has gone (`maestro tail ... | head`): that is no failure.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


def _ended(error: Exception, exit_status: int) -> typer.Exit:
    print(error, file=sys.stderr)
    return typer.Exit(exit_status)
