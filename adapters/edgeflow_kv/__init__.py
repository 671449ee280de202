"""A store on any key-value backend that can put a value if there is none."""

from __future__ import annotations

from edgeflow_kv._files import FilesKV
from edgeflow_kv._kv import KV, value_limits
from edgeflow_kv._memory import MemoryKV
from edgeflow_kv._store import KVStore

__all__ = ["KV", "FilesKV", "KVStore", "MemoryKV", "value_limits"]
