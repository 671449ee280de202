"""A commit without an answer is written as a whole or not at all, and one can tell."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict
from edgeflow.testing.stores.parts import (
    FIRST,
    HOUR,
    MINE,
    NEXT,
    OPEN,
    SUSPENDED,
    THEIRS,
    due,
    frames,
    is_last,
    message,
    picture,
    put,
    read,
    settle,
    snapshot,
    turns,
    unread,
)

if TYPE_CHECKING:
    from edgeflow.store import Commit, Store

LATER = SUSPENDED.now + HOUR

FULL = replace(
    SUSPENDED,
    seq=2,
    frames=(b"2", b"3"),
    due=LATER,
    acks=("m",),
    restored=("r",),
    restored_bodies=(b"restored",),
)
"""A commit that touches everything a commit can touch, but for its sends."""


async def prepare(store: Store, number: int) -> tuple[str, str, Commit]:
    """Make an instance and a peer; return them, and a full commit to the first."""
    instance, peer = f"i{number}", f"peer{number}"
    for message_id in ("m", "r"):
        await store.send(message(instance, message_id, "b"))
    await put(store, instance, replace(FIRST, acks=("r",)))
    await put(store, peer, SUSPENDED)
    return instance, peer, replace(FULL, sends=(message(peer, "n", at=LATER),))


async def assert_written_once(
    store: Store, instance: str, peer: str, commit: Commit
) -> None:
    old = [] if commit.snapshot else [(1, b"first")]
    assert await frames(store, instance) == [*old, (2, b"2"), (3, b"3")]
    restored = [(m.id, m.body) for m in await store.unread(instance)]
    assert restored == [("r", b"restored")]
    assert await unread(store, peer) == ["n"]
    assert await due(store, LATER - 1) == []
    assert await due(store, LATER) == sorted((instance, peer))
    for each in (instance, peer):
        await store.delete(each)


class AnswerCases:
    async def test_an_identical_retry_writes_once(
        self, store: Store, other: Store
    ) -> None:
        # N-05 N-06
        instance, peer, commit = await prepare(store, 0)
        await put(store, instance, commit)
        before = await picture(store, instance, peer)
        for each in (store, other):
            with pytest.raises(Conflict):
                await each.commit(instance, commit)
        assert await picture(store, instance, peer) == before
        assert await is_last(other, instance, commit)

        assert await settle(other, instance, commit)

        await assert_written_once(other, instance, peer, commit)

    @pytest.mark.parametrize("first", [True, False])
    async def test_a_lost_commit_is_told_from_a_written_one(
        self, store: Store, other: Store, *, first: bool
    ) -> None:
        # N-06
        commit = FIRST if first else NEXT
        for instance in ("written", "lost"):
            if not first:
                await put(store, instance, FIRST)
        await put(store, "written", commit)

        assert await is_last(other, "written", commit)
        assert not await is_last(other, "lost", commit)
        for instance in ("written", "lost"):
            assert await settle(other, instance, commit)
            assert len(await frames(store, instance)) == commit.seq

    @pytest.mark.parametrize("trims", [False, True])
    @pytest.mark.parametrize("written", [False, True])
    async def test_who_was_replaced_meanwhile_is_told_so(
        self, store: Store, other: Store, *, written: bool, trims: bool
    ) -> None:
        # N-06 N-03
        await put(store, "i", FIRST)
        if written:
            await put(store, "i", NEXT)
        head = (await read(other, "i")).head
        for seq in (head.seq + 1, head.seq + 2):
            await put(other, "i", replace(OPEN, seq=seq, snapshot=trims))
        before = await picture(other, "i")

        assert not await settle(store, "i", NEXT)

        assert await picture(other, "i") == before

    async def test_a_lost_open_is_told_from_that_of_another(
        self, store: Store, other: Store
    ) -> None:
        # N-06 N-04
        mine = replace(OPEN, token=MINE)
        for instance in ("mine", "theirs", "nobody's"):
            await put(store, instance, FIRST)
        await put(store, "mine", mine)
        await put(other, "theirs", OPEN)

        assert await settle(store, "mine", mine)
        assert not await settle(store, "theirs", mine)
        assert await settle(store, "nobody's", mine)
        assert (await read(other, "theirs")).head.token == THEIRS
        assert await frames(other, "nobody's") == [(1, b"first"), (2, b"open")]

    @pytest.mark.parametrize("trims", [False, True])
    async def test_a_cancelled_commit_is_written_as_a_whole_or_not_at_all(
        self, store: Store, other: Store, *, trims: bool
    ) -> None:
        # N-05 N-06 N-13
        for count in range(30):
            instance, peer, commit = await prepare(store, count)
            commit = replace(commit, snapshot=trims)
            before = await snapshot(store, instance)
            task = asyncio.ensure_future(store.commit(instance, commit))
            await turns(count)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

            sent = await unread(store, peer)
            found = await snapshot(store, instance)

            if found == before:
                assert sent == []
            else:
                assert await is_last(store, instance, commit)
            assert await settle(store, instance, commit)
            await assert_written_once(other, instance, peer, commit)

    async def test_a_cancelled_start_is_written_as_a_whole_or_not_at_all(
        self, store: Store, other: Store
    ) -> None:
        # N-05 N-06
        for count in range(30):
            instance = f"i{count}"
            start = replace(
                FIRST, frames=(b"1", b"2"), sends=(message("peer", instance),)
            )
            task = asyncio.ensure_future(store.commit(instance, start))
            await turns(count)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

            assert await settle(store, instance, start)
            assert await frames(other, instance) == [(1, b"1"), (2, b"2")]

        assert sorted(await unread(other, "peer")) == sorted(f"i{n}" for n in range(30))

    async def test_a_cancelled_send_is_known_or_not_at_all(
        self, store: Store, other: Store
    ) -> None:
        # N-07 N-08
        names = [f"i{count:02}" for count in range(30)]
        for count, instance in enumerate(names):
            await put(store, instance, SUSPENDED)
            task = asyncio.ensure_future(store.send(message(instance, "m")))
            await turns(count)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

            await store.send(message(instance, "m"))

            assert await unread(other, instance) == ["m"]
        assert await due(store, LATER) == names
