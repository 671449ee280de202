"""Checks a file before anything is written to it, then sets it up; on the thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.errors import StoreUnavailable
from edgeflow_sqlite import _schema as sql

if TYPE_CHECKING:
    import sqlite3
    from typing import Any


def switch(db: sqlite3.Connection, path: str) -> None:
    """Have a file that is ours, or empty, use a write-ahead log.

    Raises:
        StoreUnavailable: if it is not ours, or cannot have such a log.
    """
    _check_is_ours(db, path)
    (mode,) = _one(db, "pragma journal_mode")
    if mode != "wal":
        (mode,) = _one(db, "pragma journal_mode=wal")
    if mode != "wal":
        raise StoreUnavailable(
            f"{path} cannot have a write-ahead log: use a local disk"
        )


def set_up(db: sqlite3.Connection, path: str, synchronous: str) -> None:
    """Create what is missing in the file, and what the connection needs to commit.

    Raises:
        StoreUnavailable: if the file is not ours.
    """
    for statement in sql.settings(synchronous):
        db.execute(statement)
    db.execute("begin immediate")
    try:
        if _check_is_ours(db, path):  # under the lock: another may have been faster
            for statement in sql.TABLES:
                db.execute(statement)
            db.execute(f"pragma application_id={sql.APPLICATION_ID}")
            db.execute(f"pragma user_version={sql.VERSION}")
        db.execute("delete from ef_head where 0")  # fails if we may not write
        db.execute("commit")
    finally:
        db.rollback()  # does nothing after a commit
    for statement in sql.CONNECTION:
        db.execute(statement)


def _check_is_ours(db: sqlite3.Connection, path: str) -> bool:
    """Return whether the file is still empty."""
    application, version, objects = _one(db, sql.STATE)
    if not (application or version or objects):
        return True
    if application != sql.APPLICATION_ID:
        raise StoreUnavailable(
            f"{path} is the database of another program: name a new file"
        )
    if version > sql.VERSION:
        raise StoreUnavailable(
            f"{path} was written by a newer edgeflow (its tables have "
            f"version {version}, not {sql.VERSION}): upgrade edgeflow"
        )
    return False


def _one(db: sqlite3.Connection, statement: str) -> tuple[Any, ...]:
    (row,) = db.execute(statement).fetchall()
    return tuple(row)
