"""Buckets of one test's own, and what looks into them from outside."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from edgeflow_kv import KVStore
from edgeflow_kv.nats import NatsKV
from tests.servers.nats import url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from edgeflow.store import Store
    from edgeflow_kv import KV

PATIENCE = 10.0
"""Seconds within which what is waited for has to happen."""


def bucket(where: Path) -> str:
    """Name a bucket after a directory that no other test has."""
    return "_".join(where.parts[-3:]).strip("/").replace(".", "-")


class OnNats:
    """Opens what the suites test; `port` is the server's."""

    port: ClassVar[int]

    def made(self, where: Path) -> NatsKV:
        return NatsKV(f"{url(OnNats.port)}?bucket={bucket(where)}")

    async def open_kv(self, where: Path) -> KV:
        kv = self.made(where)
        await kv.open()
        return kv

    async def open_store(self, where: Path) -> Store:
        store = KVStore(self.made(where))
        await store.open()
        return store


@asynccontextmanager
async def opened(made: str) -> AsyncGenerator[NatsKV]:
    """Have a bucket open for the length of a block."""
    kv = NatsKV(made)
    await kv.open()
    try:
        yield kv
    finally:
        await kv.close()


@asynccontextmanager
async def client(made: str) -> AsyncGenerator[Any]:
    """Have JetStream as other tools do, by nats-py alone."""
    connection: Any = await import_module("nats").connect(made.partition("?")[0])
    try:
        yield connection.jetstream()
    finally:
        await connection.close()
