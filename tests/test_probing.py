"""What a store is tried out by: each promise that is broken is named; nothing stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict, StoreUnavailable
from edgeflow.probing import COMMITS, RESERVED, probe
from edgeflow.store import Commit, Committed, Envelope, Frame, Limits, Query
from edgeflow.testing import RecordingStore
from edgeflow_kv import KVStore, MemoryKV
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgeflow.store import Finding, Loaded, Store

NOW = 1_700_000_000.0
ID = f"{RESERVED}x"


async def tried(store: Store) -> list[Finding]:
    ticks = count()
    return [*await probe(store, "x", now=NOW, timer=lambda: next(ticks) / 1000)]


async def is_clean(store: Store) -> bool:
    found = [head.instance async for head in store.find(Query())]
    letters = [*await store.unread(ID), *await store.unread(f"{ID}-inbox")]
    return not found and not letters


def make(kind: str, folder: Path) -> Store:
    stores: dict[str, Callable[[], Store]] = {
        "memory": MemoryStore,
        "sends come later": lambda: MemoryStore(Limits(joins_sends=False)),
        "sqlite": lambda: SqliteStore(folder / "x.db"),
        "kv": lambda: KVStore(MemoryKV()),
    }
    return stores[kind]()


@pytest.mark.parametrize("kind", ["memory", "sends come later", "sqlite", "kv"])
async def test_a_store_that_keeps_its_promises_is_praised_and_left_clean(
    kind: str, tmp_path: Path
) -> None:
    # N-01 N-02 N-03 N-07 N-13
    store = RecordingStore(make(kind, tmp_path))
    await store.open()
    [found] = await tried(store)

    assert found.verdict == "good"
    assert found.text.endswith("; a commit took 1.0 ms")
    assert await is_clean(store)
    await store.close()


async def test_what_is_tried_is_never_due() -> None:
    store = RecordingStore(MemoryStore())
    await tried(store)

    assert {commit.due for commit in store.commits} == {None}
    assert {commit.awaiting for commit in store.commits} == {()}
    assert "claim" not in store.calls


# Stores that break one promise each.


class Accepts(MemoryStore):
    """Says of some commits that they are written, whoever was there first."""

    def __init__(self, wrongly: Callable[[Commit], bool]) -> None:
        super().__init__()
        self._wrongly = wrongly

    async def commit(self, instance: str, commit: Commit) -> Committed:
        try:
            return await super().commit(instance, commit)
        except Conflict:
            if self._wrongly(commit):
                return Committed()
            raise


class Spoils(MemoryStore):
    async def load(self, instance: str) -> Loaded | None:
        loaded = await super().load(instance)
        if loaded is None:
            return None
        bad = [Frame(f.seq, f.body.replace(b"\0", b"")) for f in loaded.frames]
        return replace(loaded, frames=bad)


class Loses(MemoryStore):
    async def load(self, instance: str) -> Loaded | None:
        loaded = await super().load(instance)
        if loaded is None or len(loaded.frames) < COMMITS:
            return loaded
        return replace(loaded, frames=loaded.frames[:-1])


class Empty(MemoryStore):
    async def load(self, instance: str) -> Loaded | None:
        return None


class TakesAgain(MemoryStore):
    async def send(self, message: Envelope) -> bool:
        await super().send(message)
        return True


class Mangles(MemoryStore):
    async def unread(self, instance: str) -> Sequence[Envelope]:
        return [replace(m, body=m.body[:9]) for m in await super().unread(instance)]


class NeverForgets(MemoryStore):
    async def commit(self, instance: str, commit: Commit) -> Committed:
        return await super().commit(instance, replace(commit, acks=()))


class ForgetsIds(MemoryStore):
    async def send(self, message: Envelope) -> bool:
        fresh = await super().send(message)
        return fresh or not await self.unread(message.to)


class DropsSends(MemoryStore):
    async def commit(self, instance: str, commit: Commit) -> Committed:
        return await super().commit(instance, replace(commit, sends=()))


class NeverTrims(MemoryStore):
    async def commit(self, instance: str, commit: Commit) -> Committed:
        return await super().commit(instance, replace(commit, snapshot=False))


class Keeps(MemoryStore):
    """Deletes only what is deleted twice."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: set[str] = set()

    async def delete(self, instance: str) -> None:
        if instance in self._asked or instance != ID:
            await super().delete(instance)
        self._asked.add(instance)


class Refuses(MemoryStore):
    async def unread(self, instance: str) -> Sequence[Envelope]:
        raise StoreUnavailable("there is no permission to read")


LATE = COMMITS + 6


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (Accepts(lambda c: c.seq == 1), "a second start under one id was written"),
        (Spoils(), "a start of 256 bytes was loaded as something else"),
        (Empty(), "an instance is not there after its start"),
        (Loses(), "of 5 frames that were committed, [1, 2, 3, 4] were loaded"),
        (
            Accepts(lambda c: c.seq == COMMITS),
            "a frame whose number is taken was writt",
        ),
        (
            Accepts(lambda c: c.seq == 7),
            "a frame of an owner that was replaced was wri",
        ),
        (
            TakesAgain(),
            "a message that was sent twice was taken as new 2 times, not on",
        ),
        (Mangles(), "a message that was sent is not in the inbox as it was sent"),
        (NeverForgets(), "a message is still unread that a commit has acknowledged"),
        (ForgetsIds(), "a message that was received once was taken as new when it was"),
        (DropsSends(), "a message that went out with a commit did not arrive"),
        (NeverTrims(), "a snapshot that replaces all frames before it was loaded with"),
        (Keeps(), "an instance is still there after it was deleted"),
        (Accepts(lambda c: c.seq == LATE), "a frame of an instance that was deleted"),
        (
            Refuses(),
            "it refused what it must do: StoreUnavailable: there is no permiss",
        ),
    ],
)
async def test_a_broken_promise_is_named_with_what_it_means_and_what_to_do(
    store: MemoryStore, told: str
) -> None:
    # N-01 N-02 N-03 N-07 N-13 N-14
    [found] = await tried(store)

    assert found.verdict == "bad"
    assert told in found.text
    if not isinstance(store, Refuses):
        assert ". So " in found.text
        assert ". Use another backend, " in found.text
        assert await is_clean(store)


async def test_what_cannot_be_removed_is_said_with_its_id() -> None:
    class Sticky(MemoryStore):
        async def delete(self, instance: str) -> None:
            raise StoreUnavailable("the disk is full")

    found = await tried(Sticky())

    assert [each.verdict for each in found] == ["bad", "note"]
    assert found[1].text == (
        "what was tried could not be removed: the disk is full. "
        f"Then do it by edgeflow rm {ID}"
    )


async def test_it_is_removed_though_it_was_broken_off() -> None:
    reached = asyncio.Event()

    class Waits(MemoryStore):
        async def unread(self, instance: str) -> Sequence[Envelope]:
            if not reached.is_set():
                reached.set()
                await asyncio.Event().wait()
            return await super().unread(instance)

    store = Waits()
    task = asyncio.ensure_future(tried(store))
    await reached.wait()
    assert [head.instance async for head in store.find(Query())] == [ID]

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await is_clean(store)
