"""A store in memory: for tests, and the oracle of every other store."""

from __future__ import annotations

from edgeflow_memory._store import MemoryStore

__all__ = ["MemoryStore"]
