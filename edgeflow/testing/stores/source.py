"""How `StoreSuite` and `StoreMachine` come by the store that they test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeflow.testing.recorder import RecordingStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgeflow.store import Commit, Committed, Envelope, Store


class StoreSource:
    """What a subclass says about its store; only `open_store` is required."""

    many = 1000
    """How many instances or commits the longest cases make; less for a slow store."""

    async def open_store(self, where: Path) -> Store:
        """Open a store whose data are found again under the same `where`.

        `where` is an empty directory of the test; a store elsewhere can use its
        name as namespace.
        """
        raise NotImplementedError

    async def reopen(self, store: Store, where: Path) -> Store:
        """Open a second, independent store on the same data: another process.

        Where `limits.shared` is false it is the same object, as in two apps of
        one process.
        """
        return await self.open_store(where) if store.limits.shared else store

    async def set_clock(self, store: Store, now: float) -> None:
        """Set the clock of the store's server, in seconds since the epoch.

        Needed if `limits.server_clock` is true, for cases in which time passes.
        """
        pytest.skip(
            f"{type(store).__name__} declares server_clock, so time passes for it only "
            f"if set_clock() of {type(self).__name__} lets it"
        )

    def timed(self, store: Store) -> Store:
        """Let a store with a clock of its own go by the `now` of each call."""
        return TimedStore(store, self) if store.limits.server_clock else store


class TimedStore(RecordingStore):
    """Sets the server's clock to `now` before each call that has one."""

    def __init__(self, inner: Store, source: StoreSource) -> None:
        super().__init__(inner)
        self._source = source

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if commit.lease > 0:
            await self._source.set_clock(self.inner, commit.now)
        return await super().commit(instance, commit)

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        await self._source.set_clock(self.inner, now)
        return await super().renew(instance, token, now, lease)

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        await self._source.set_clock(self.inner, now)
        return await super().claim(now, limit, lease, worker)

    async def _resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        await self._source.set_clock(self.inner, now)
        return await super()._resume(instance, token, now, lease, worker)


def unwrapped(store: Store) -> Store:
    """The store itself, with the clock that it has."""
    return store.inner if isinstance(store, TimedStore) else store
