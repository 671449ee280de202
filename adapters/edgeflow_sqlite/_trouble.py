"""What SQLite's errors mean, as sentences that say what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.errors import Conflict, OutcomeUnknown, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from types import TracebackType

TAKEN = {
    sqlite3.SQLITE_CONSTRAINT_TRIGGER,  # raise(abort, …)
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
}
"""Codes of an `IntegrityError` that mean: another writer was there first."""

_MISUSE = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else holds a lock."""
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_trouble(error: sqlite3.Error) -> bool:
    """Whether the file or its disk is the cause, and not what we asked for."""
    return not isinstance(error, _MISUSE)


class Explained:
    """Turns the errors of SQLite that a block raises into ours; see `meaning`."""

    def __init__(self, path: str, patience: float, *, committing: bool = False) -> None:
        """Name the file, and the busy timeout in seconds; it serves many blocks."""
        self._path = path
        self._patience = patience
        self._committing = committing

    def __enter__(self) -> None:
        """Begin a block."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End it."""
        if isinstance(error, sqlite3.Error):
            ours = meaning(
                error, self._path, self._patience, committing=self._committing
            )
            if ours is not None:
                raise ours from error


def meaning(
    error: sqlite3.Error, path: str, patience: float, *, committing: bool = False
) -> StoreError | None:
    """Return what we raise in place of an error; None if we raise it as it is.

    A commit meets `Conflict` if another writer was there first.
    """
    if committing and getattr(error, "sqlite_errorcode", 0) in TAKEN:
        return Conflict("another writer was there first")
    if is_trouble(error):
        return explain(error, path, patience, committing=committing)
    return None


def explain(
    error: sqlite3.Error, path: str, patience: float, *, committing: bool = False
) -> StoreError:
    """Turn an error of SQLite into ours; `patience` is the busy timeout in seconds."""
    code = _code(error)
    if code == sqlite3.SQLITE_IOERR and committing:
        # A failed fsync may have left the frames in the log all the same.
        return OutcomeUnknown(f"the disk failed while {path} was written: {error}")
    if code == sqlite3.SQLITE_INTERRUPT and committing:
        # It may come when the last instruction, which commits, was already done.
        return OutcomeUnknown(f"writing {path} was broken off: {error}")
    if is_busy(error):
        return StoreUnavailable(
            f"another program holds a lock on {path} and kept it for {patience:g} s: "
            "close it there, then try again"
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreUnavailable(_cannot_open(Path(path)))
    text = _SENTENCES.get(code, "SQLite refused to work on {path}: {error}")
    return StoreUnavailable(text.format(path=path, error=error))


_SENTENCES = {
    sqlite3.SQLITE_FULL: "the disk with {path} is full: make room, then try again",
    sqlite3.SQLITE_READONLY: (
        "{path} is read-only for this process: "
        "allow it to write the file and its directory"
    ),
    sqlite3.SQLITE_NOTADB: (
        "{path} is not a SQLite database: name another file, or move this one away"
    ),
    sqlite3.SQLITE_CORRUPT: (
        "{path} is damaged ({error}): restore a copy, or try the .recover command of "
        "the sqlite3 shell"
    ),
    sqlite3.SQLITE_IOERR: "the disk with {path} failed ({error}): check it",
}


def _cannot_open(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no directory {path.parent} for {path.name}: create it"
    if path.is_dir():
        return f"{path} is a directory: name a file in it"
    return (
        f"{path} cannot be opened: allow this process to write the file and its "
        "directory"
    )


def _code(error: sqlite3.Error) -> int:
    """Return the primary code; errors of the module itself have none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
