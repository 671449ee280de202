"""The binding of `KVStore` to DynamoDB."""

from __future__ import annotations

from edgeflow_kv.dynamodb._kv import DynamoKV

__all__ = ["DynamoKV"]
