"""Ends the process in a way that nothing can stop: no ack, no commit, no destructor runs afterwards."""

from __future__ import annotations

import logging
import os
import sys

log = logging.getLogger(__name__)


def end_process(error: BaseException, status: int) -> None:
    """Logs why, then exits with `status` at once. What was not flushed is read again after the restart."""
    log.critical("ending with status %s: %s", status, error, exc_info=error)
    logging.shutdown()
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(status)
