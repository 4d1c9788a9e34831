"""The root group: errors that a person can mend become one message and an exit status, never a traceback."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from confluent_kafka import KafkaException
from typer.core import TyperGroup

from streams.command.ports import FeedError
from streams.policy.cedar import PolicyLoadError
from topology.admin import AdminError
from topology.client.publisher import DeliveryError
from topology.embedded.errors import EmbeddedError
from topology.schema_registry import RegistryError
from topology.settings import SettingsError

WRONG_SETUP = (SettingsError, PolicyLoadError)
FAILED = (AdminError, DeliveryError, FeedError, EmbeddedError, RegistryError, KafkaException, TimeoutError)
FAILURE, USAGE = 1, 2


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
        except WRONG_SETUP as error:
            raise _ended(error, USAGE) from error
        except FAILED as error:
            raise _ended(error, FAILURE) from error
        except BrokenPipeError:
            # Whoever read our output has gone (`maestro tail ... | head`): that is no failure.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


def _ended(error: Exception, exit_status: int) -> typer.Exit:
    print(error, file=sys.stderr)
    return typer.Exit(exit_status)
