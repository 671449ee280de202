"""The contract of `edgeflow.store.Store` as tests, for every adapter.

    class TestMyStore(StoreSuite):
        async def open_store(self, where: Path) -> Store:
            store = MyStore(where / "data")
            await store.open()
            return store

The tests are async (pytest-asyncio, mode "auto"), never sleep, and name the rows
of the conformance checklist that they pin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeflow.testing._store_claims import ClaimCases
from edgeflow.testing._store_commits import CommitCases
from edgeflow.testing._store_lists import ListCases
from edgeflow.testing._store_messages import MessageCases
from edgeflow.testing._store_owners import OwnerCases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edgeflow.store import Store


class StoreSuite(CommitCases, OwnerCases, MessageCases, ClaimCases, ListCases):
    """Subclass it, say how your store is opened, and pytest does the rest."""

    async def open_store(self, where: Path) -> Store:
        """Open a store whose data are found again under the same `where`.

        `where` is an empty directory of the test; a store elsewhere can use its
        name as namespace.
        """
        raise NotImplementedError

    async def reopen(self, store: Store, where: Path) -> Store:
        """Open a second, independent store on the same data: another process."""
        return await self.open_store(where)

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Yield the store under test."""
        store = await self.open_store(tmp_path)
        yield store
        await store.close()

    @pytest.fixture
    async def other(self, store: Store, tmp_path: Path) -> AsyncIterator[Store]:
        """Yield another process's view of the same data."""
        other = await self.reopen(store, tmp_path)
        yield other
        await other.close()
