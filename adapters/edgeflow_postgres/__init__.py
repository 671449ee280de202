"""The store for a fleet: one PostgreSQL database."""

from __future__ import annotations

from edgeflow_postgres._store import PostgresStore

__all__ = ["PostgresStore"]
