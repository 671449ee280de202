"""The default store: one SQLite file."""

from __future__ import annotations

from edgeflow_sqlite._store import SqliteStore

__all__ = ["SqliteStore"]
