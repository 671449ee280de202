"""Every store answers and holds what the model of a store does (N-19)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict, TooLarge
from edgeflow.store import Limits, Store
from edgeflow.testing.stores.machine import StoreMachine
from edgeflow.testing.stores.parts import FIRST, NOW
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edgeflow.store import Commit

# Only a difference takes so long: Hypothesis looks for its shortest story.
pytestmark = pytest.mark.timeout(300)

SMALL = Limits(max_frame=8, max_group=12)


class Memory(StoreMachine):
    async def open_store(self, where: Path) -> Store:
        return MemoryStore(SMALL)


class MemoryWhoseSendsComeLater(StoreMachine):
    async def open_store(self, where: Path) -> Store:
        return MemoryStore(replace(SMALL, joins_sends=False))


class Sqlite(StoreMachine):
    async def open_store(self, where: Path) -> Store:
        store = SqliteStore(where / "test.db", synchronous="normal")
        store.limits = replace(
            store.limits, max_frame=SMALL.max_frame, max_group=SMALL.max_group
        )
        await store.open()
        return store


@pytest.fixture(params=[Memory, Sqlite])
async def small(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    machine: type[StoreMachine] = request.param
    store = await machine.open_store(object.__new__(machine), tmp_path)
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("commit", "error", "told"),
    [
        (replace(FIRST, seq=3), Conflict, r"frame 3 of instance 'i' .* another writer"),
        (replace(FIRST, frames=(b"x" * 9,)), TooLarge, "a frame of 9 bytes"),
        (replace(FIRST, frames=(b"x" * 5,) * 3), TooLarge, "frames of 15 bytes"),
    ],
    ids=["conflict", "frame", "group"],
)
async def test_stores_refuse_with_the_same_words(
    small: Store, commit: Commit, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        await small.commit("i", commit)


async def test_of_those_due_at_once_the_first_by_id_is_claimed(small: Store) -> None:
    for instance in ("c", "a", "d", "b"):
        await small.commit(instance, replace(FIRST, due=NOW))

    assert list(await small.claim(NOW, 3, 5, "w")) == ["a", "b", "c"]


TestMemory = Memory.TestCase
TestMemoryWhoseSendsComeLater = MemoryWhoseSendsComeLater.TestCase
TestSqlite = Sqlite.TestCase
