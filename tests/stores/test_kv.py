from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeflow.store import Limits, Store
from edgeflow.testing import StoreSuite
from edgeflow.testing.stores.kv import KVSuite
from edgeflow.testing.stores.machine import StoreMachine
from edgeflow_kv import KV, FilesKV, KVStore, MemoryKV

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Limits(
    max_frame=8,
    max_group=12,
    joins_sends=False,
    durable=False,
    persistent=False,
    shared=False,
)


async def opened(kv: MemoryKV | FilesKV) -> KVStore:
    store = KVStore(kv)
    await store.open()
    return store


class InMemory:
    """Two stores on one dict, as two processes on one backend."""

    async def open_store(self, where: Path) -> Store:
        return await opened(MemoryKV())

    async def reopen(self, store: Store, where: Path) -> Store:
        assert isinstance(store, KVStore)
        assert isinstance(store.kv, MemoryKV)
        return await opened(store.kv)


class TestKVStoreInMemory(InMemory, StoreSuite):  # N-18
    pass


@pytest.mark.timeout(120)  # thousands of small files, in turn
class TestKVStoreOfFiles(StoreSuite):  # N-18
    async def open_store(self, where: Path) -> Store:
        return await opened(FilesKV(where / "kv", sync=False))


class KVMachine(InMemory, StoreMachine):  # N-19
    async def open_store(self, where: Path) -> Store:
        return await opened(MemoryKV(SMALL))


TestKVMachine = KVMachine.TestCase


class TestMemoryKV(KVSuite):
    async def open_kv(self, where: Path) -> KV:
        return MemoryKV()


class TestFilesKV(KVSuite):
    async def open_kv(self, where: Path) -> KV:
        kv = FilesKV(where / "kv", sync=where.name.endswith("0"))
        await kv.open()
        return kv
