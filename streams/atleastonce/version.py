"""The one faust-streaming version whose behaviour the contract tests pin down."""

from __future__ import annotations

from streams.atleastonce.errors import ConfigurationError

PINNED = "0.15.3"


def require_pinned(found: str) -> None:
    """Refuses any other version: this package overrides methods that are private to faust-streaming 0.15.3."""
    if found != PINNED:
        raise ConfigurationError(
            f"faust-streaming {found} is installed, {PINNED} is needed: `streams.atleastonce` closes message losses of "
            f"exactly that version. To upgrade, run tests/contract/test_faust_*.py on the new one, then change PINNED."
        )
