"""The binding of `KVStore` to Redis and Valkey."""

from __future__ import annotations

from edgeflow_kv.redis._kv import RedisKV

__all__ = ["RedisKV"]
