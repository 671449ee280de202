"""What tests of the store in Redis share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgeflow.store import Commit
from edgeflow_kv.redis import RedisKV
from tests.servers.redis import url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgeflow.store import Finding, Store
    from edgeflow_kv import KVStore

START = Commit(
    seq=1,
    frames=(b"frame",),
    token=b"owner",
    workflow="flow",
    status="running",
    due=1000.0,
    now=1000.0,
)


class OnRedis:
    """Has stores in namespaces of their own."""

    port: ClassVar[int]

    async def open_store(self, where: Path) -> Store:
        return await opened(OnRedis.port, where.name)


async def opened(port: int, namespace: str, options: str = "") -> KVStore:
    store = RedisKV.from_url(f"{url(port)}?ns={namespace}{options}")
    await store.open()
    return store


def kv_of(store: KVStore) -> RedisKV:
    assert isinstance(store.kv, RedisKV)
    return store.kv


async def command(store: KVStore, *words: str) -> Any:
    """Have a store's connection say something else."""
    return await kv_of(store).opened().call(*words)


def texts(findings: Sequence[Finding], verdict: str) -> str:
    return " / ".join(each.text for each in findings if each.verdict == verdict)
