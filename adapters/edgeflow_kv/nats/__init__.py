"""The binding of `KVStore` to NATS JetStream."""

from __future__ import annotations

from edgeflow_kv.nats._kv import NatsKV

__all__ = ["NatsKV"]
