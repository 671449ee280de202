"""What a thread commits while the loop stands still is a commit like any other.

A store without `SyncCommit` commits in the loop instead, and must show the same.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict, TooLarge
from edgeflow.store import Committed, SyncCommit
from edgeflow.testing.stores.answers import assert_written_once, prepare
from edgeflow.testing.stores.parts import (
    FIRST,
    HOUR,
    MINE,
    NEXT,
    NOW,
    OPEN,
    deliver,
    frames,
    picture,
    put,
    read,
    settle,
    turns,
)
from edgeflow.testing.stores.source import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.store import Commit, Store

PATIENCE = 10.0
"""Seconds after which a thread is taken to wait for the loop."""


class EmergencyCases:
    async def test_a_thread_writes_a_commit_as_a_whole(
        self, store: Store, other: Store
    ) -> None:
        # P-08 N-05
        instance, peer, commit = await prepare(store, 0)
        assert await store.renew(instance, MINE, NOW, HOUR)

        await write(store, instance, commit)

        assert (await read(store, instance)).head.lease == 0.0
        shown = await picture(store, instance, peer)
        assert shown == await picture(other, instance, peer)
        await assert_written_once(other, instance, peer, commit)

    async def test_a_thread_writes_one_commit_after_the_other(
        self, store: Store, other: Store
    ) -> None:
        # P-08 N-02 N-13
        await write(store, "i", replace(FIRST, frames=(b"1", b"2")))
        await write(store, "j", FIRST)
        await write(store, "i", replace(NEXT, seq=3))
        assert await frames(other, "i") == [(1, b"1"), (2, b"2"), (3, b"next")]
        await write(other, "i", replace(OPEN, seq=4, snapshot=True))
        await put(store, "i", replace(OPEN, seq=5, opens=False))

        assert await frames(other, "i") == [(4, b"open"), (5, b"open")]
        assert await frames(other, "j") == [(1, b"first")]

    async def test_what_the_loop_has_written_is_answered_as_written(
        self, store: Store, other: Store
    ) -> None:
        # P-09 N-06
        instance, peer, commit = await prepare(store, 0)
        await put(store, instance, commit)
        before = await picture(store, instance, peer)

        for each in (store, other):
            assert await is_written(each, instance, commit)

        assert await picture(store, instance, peer) == before
        await assert_written_once(other, instance, peer, commit)

    @pytest.mark.parametrize("trims", [False, True])
    async def test_a_thread_and_the_loop_write_one_commit_once(
        self, store: Store, other: Store, *, trims: bool
    ) -> None:
        # P-09 N-05 N-06
        for count in range(20):
            instance, peer, commit = await prepare(store, count)
            commit = replace(commit, snapshot=trims)
            flight = asyncio.ensure_future(store.commit(instance, commit))
            await turns(count)

            assert await is_written(store, instance, commit)

            (answer,) = await asyncio.gather(flight, return_exceptions=True)
            assert isinstance(answer, (Committed, Conflict)), answer
            await assert_written_once(other, instance, peer, commit)

    async def test_a_thread_of_an_owner_that_was_replaced_changes_nothing(
        self, store: Store, other: Store
    ) -> None:
        # P-08 N-03
        instance, peer, commit = await prepare(store, 0)
        await put(other, instance, OPEN)
        await put(other, instance, replace(OPEN, seq=3, opens=False))
        before = await picture(store, instance, peer)

        for seq in (1, 2, 3, 4, 5):
            with pytest.raises(Conflict):
                await write(store, instance, replace(commit, seq=seq))

        assert await picture(other, instance, peer) == before

    @pytest.mark.parametrize("seq", [1, 2, 4, 6])
    async def test_a_thread_whose_number_does_not_follow_changes_nothing(
        self, store: Store, seq: int
    ) -> None:
        # P-08 N-02
        instance, peer, commit = await prepare(store, 0)
        for last in (2, 3, 4):
            await put(store, instance, replace(NEXT, seq=last))
        before = await picture(store, instance, peer)

        with pytest.raises(Conflict):
            await write(store, instance, replace(commit, seq=seq))
        with pytest.raises(Conflict):
            await write(store, "nobody", replace(commit, seq=seq + 1))

        assert await picture(store, instance, peer, "nobody") == before

    async def test_a_thread_is_refused_what_is_above_the_limit(
        self, store: Store
    ) -> None:
        # P-08 N-11
        large = b"x" * (store.limits.max_frame + 1)
        await put(store, "i", FIRST)
        before = await picture(store, "i")

        with pytest.raises(TooLarge):
            await write(store, "i", replace(NEXT, frames=(b"fits", large)))

        assert await picture(store, "i") == before


async def write(store: Store, instance: str, commit: Commit) -> None:
    """Commit by a thread, if the store can; deliver what could not join."""
    itself = unwrapped(store)
    if not isinstance(itself, SyncCommit):
        await put(store, instance, commit)
        return
    stand_still(lambda: itself.commit_sync(instance, commit))
    if not store.limits.joins_sends:
        await deliver(store, commit.sends)


async def is_written(store: Store, instance: str, commit: Commit) -> bool:
    """Commit what may be there already; whether it is there as the last one."""
    if not isinstance(unwrapped(store), SyncCommit):
        return await settle(store, instance, commit)
    await write(store, instance, commit)
    return True


def stand_still(call: Callable[[], None]) -> None:
    """Run a call in a thread, and let the event loop do nothing meanwhile.

    Raises:
        AssertionError: if the call waits for the loop.
    """
    ended: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert ended.done(), "commit_sync waits for the event loop, which may be stuck"
    ended.result()
