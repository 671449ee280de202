"""The command line: one command, one file, imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Do what `argv` (default: that of the process) says; give the exit code.

    0 completed or done, 1 failed, 2 a mistake in the command, 3 suspended.
    """
    from edgeflow.cli._main import dispatch  # noqa: PLC0415  importing cli is free

    return dispatch(argv)
