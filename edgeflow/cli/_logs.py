"""What the engine logs, on a command line."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def logging_to_stderr(
    *, verbose: bool, level: int = logging.CRITICAL
) -> Generator[None]:
    """Let the log of edgeflow go to stderr from `level` on; more of it if `verbose`."""
    log, handler = logging.getLogger("edgeflow"), logging.StreamHandler()
    handler.setLevel(logging.INFO if verbose else level)
    handler.setFormatter(logging.Formatter("edgeflow: %(message)s"))
    kept = log.level
    log.addHandler(handler)
    if verbose:
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(kept)
