"""What is to be done next about an instance that a command has made due."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace


def who_goes_on(instance: str, args: Namespace) -> str:
    """Say that a worker goes on with it, or by which command to do it here."""
    words = ["edgeflow", "wake", instance, "--app", args.app or "TARGET"]
    if args.store is not None:
        words += ["--store", args.store]
    return f"it is due: a worker runs it, or {shlex.join(words)}"
