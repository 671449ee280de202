"""What a command ends with, other than its result."""

from __future__ import annotations

COMPLETED = 0
FAILED = 1
USAGE = 2
SUSPENDED = 3
SIGNALLED = 128
"""Plus the number of the signal."""


class CommandError(Exception):
    """Ends a command with one line on stderr and an exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        """Say `message`, exit with `code`."""
        self.code = code
        super().__init__(message)


class UsageError(CommandError):
    """Ends a command that was not given what it needs."""

    def __init__(self, message: str) -> None:
        """Say what is wrong with the command."""
        super().__init__(message, USAGE)
