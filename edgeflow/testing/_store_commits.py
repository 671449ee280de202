"""A commit is all or nothing, and what it wrote is what is read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict, TooLarge
from edgeflow.store import Envelope, Frame, Head
from edgeflow.testing._store_parts import (
    FIRST,
    HOUR,
    MINE,
    NEXT,
    NOW,
    SUSPENDED,
    THEIRS,
    count_wins,
    frames,
    message,
    picture,
    put,
    read,
    turns,
    unread,
)

if TYPE_CHECKING:
    from edgeflow.store import Store


class CommitCases:
    async def test_an_unknown_instance_is_not_there(self, store: Store) -> None:
        # N-01
        assert await store.load("nobody") is None
        assert await unread(store, "nobody") == []
        assert not await store.renew("nobody", MINE, NOW, HOUR)
        await store.delete("nobody")

    async def test_another_process_reads_what_was_committed(
        self, store: Store, other: Store
    ) -> None:
        # N-01
        await put(store, "i", FIRST)
        last = replace(
            NEXT,
            workflow="flow",
            status="suspended",
            wake_at=NOW + 5,
            due=NOW + 5,
            awaiting=("a", "é", 'a "quoted" name'),
            now=NOW + 1,
        )
        await put(store, "i", last)
        await store.send(message("i", "m", "é", b"\x00\xff", NOW + 7.25))

        loaded = await read(other, "i")

        assert loaded.head == Head(
            instance="i",
            seq=2,
            token=MINE,
            workflow="flow",
            status="suspended",
            wake_at=NOW + 5,
            awaiting=last.awaiting,
            updated=NOW + 1,
        )
        assert list(loaded.frames) == [Frame(1, b"first"), Frame(2, b"next")]
        assert list(loaded.messages) == [
            Envelope("i", "m", "é", b"\x00\xff", NOW + 7.25)
        ]

    @pytest.mark.parametrize("seq", [1, 2, 4, 100])
    async def test_a_number_that_does_not_follow_changes_nothing(
        self, store: Store, seq: int
    ) -> None:
        # N-02
        await put(store, "i", FIRST)
        await put(store, "i", NEXT)
        await put(store, "peer", FIRST)
        await store.send(message("i", "m"))
        before = await picture(store, "i", "peer")

        with pytest.raises(Conflict):
            await store.commit(
                "i",
                replace(
                    NEXT,
                    seq=seq,
                    snapshot=True,
                    status="failed",
                    acks=("m",),
                    sends=(message("peer", "n"),),
                ),
            )

        assert await picture(store, "i", "peer") == before

    async def test_a_number_without_an_instance_is_refused(self, store: Store) -> None:
        # N-02
        for opens in (False, True):
            with pytest.raises(Conflict):
                await store.commit("i", replace(NEXT, opens=opens))

        assert await store.load("i") is None

    async def test_of_two_writers_with_one_number_one_wins(
        self, store: Store, other: Store
    ) -> None:
        # N-02
        await put(store, "i", FIRST)
        for seq in range(2, 52):
            mine, theirs = (replace(NEXT, seq=seq, frames=(b,)) for b in (b"m", b"t"))

            won = await count_wins(store.commit("i", mine), other.commit("i", theirs))

            assert won == 1

        assert [seq for seq, _ in await frames(store, "i")] == list(range(1, 52))

    async def test_of_many_starts_at_once_one_wins(
        self, store: Store, other: Store
    ) -> None:
        # N-02
        starts = [replace(FIRST, frames=(bytes([n]),)) for n in range(8)]

        won = await count_wins(
            *(each.commit("i", start) for start in starts for each in (store, other))
        )

        assert won == 1

    async def test_one_conflict_does_not_hinder_other_instances(
        self, store: Store
    ) -> None:
        # N-02
        await put(store, "taken", FIRST)

        won = await count_wins(
            *(store.commit(i, FIRST) for i in ("a", "taken", "b", "taken", "c"))
        )

        assert [won] == [3]
        assert await frames(store, "b") == [(1, b"first")]

    async def test_a_group_of_frames_goes_down_together(self, store: Store) -> None:
        # N-02
        await put(store, "i", replace(FIRST, frames=(b"1", b"2", b"3")))
        with pytest.raises(Conflict):
            await store.commit("i", replace(NEXT, seq=3, frames=(b"x", b"y")))
        with pytest.raises(Conflict):
            await store.commit("i", replace(NEXT, seq=5, frames=(b"x", b"y")))
        await put(
            store,
            "i",
            replace(NEXT, seq=4, frames=(b"4", b"5"), sends=(message("i", "m"),)),
        )

        expected = [(1, b"1"), (2, b"2"), (3, b"3"), (4, b"4"), (5, b"5")]
        assert await frames(store, "i") == expected
        assert [(await read(store, "i")).head.seq] == [5]
        assert await unread(store, "i") == ["m"]

    async def test_a_snapshot_replaces_what_was_before_it(self, store: Store) -> None:
        # N-13
        await put(store, "i", FIRST)
        await put(store, "i", NEXT)
        with pytest.raises(Conflict):
            await store.commit("i", replace(NEXT, seq=2, snapshot=True))
        assert [seq for seq, _ in await frames(store, "i")] == [1, 2]

        await put(store, "i", replace(NEXT, seq=3, frames=(b"s", b"t"), snapshot=True))
        await put(store, "i", replace(NEXT, seq=5, frames=(b"u",)))

        assert await frames(store, "i") == [(3, b"s"), (4, b"t"), (5, b"u")]

    async def test_frames_up_to_the_limit_round_trip(self, store: Store) -> None:
        # N-11
        bodies = (b"", bytes(range(256)), b"x" * store.limits.max_frame)
        await put(store, "i", replace(FIRST, frames=bodies))
        await store.send(message("i", "empty", body=b""))
        nothing = message("i", "nothing", body=b"")
        await put(store, "i", replace(NEXT, seq=4, sends=(nothing,)))
        sends = (message("i", "none", body=b""), message("i", "m", body=b"b"))
        await put(store, "i", replace(NEXT, seq=5, sends=sends))

        loaded = await read(store, "i")

        assert [frame.body for frame in loaded.frames] == [*bodies, b"next", b"next"]
        assert [m.body for m in loaded.messages] == [b"", b"", b"", b"b"]

    async def test_what_is_above_the_limit_is_refused_before_any_write(
        self, store: Store
    ) -> None:
        # N-11
        limit = store.limits.max_frame
        large = b"x" * (limit + 1)
        group = (large[:limit],) * (store.limits.max_group // limit + 1)
        await put(store, "i", FIRST)
        before = await picture(store, "i")

        for commit in (
            replace(NEXT, frames=(b"fits", large)),
            replace(NEXT, sends=(message("i", "m", body=large),)),
            replace(NEXT, frames=group),
        ):
            with pytest.raises(TooLarge):
                await store.commit("i", commit)
        with pytest.raises(TooLarge, match=f"{limit + 1} bytes .* {limit} bytes"):
            await store.commit("new", replace(FIRST, frames=(large,)))
        with pytest.raises(TooLarge):
            await store.send(message("i", "m", body=large))

        assert await picture(store, "i") == before
        assert await store.load("new") is None

    async def test_a_retry_after_a_lost_answer_is_told_apart(
        self, store: Store, other: Store
    ) -> None:
        # N-05 N-06
        await put(store, "i", FIRST)
        await put(store, "i", NEXT)

        with pytest.raises(Conflict):
            await other.commit("i", NEXT)

        head = (await read(other, "i")).head
        assert (head.seq, head.token) == (2, MINE)
        assert await frames(other, "i") == [(1, b"first"), (2, b"next")]

    async def test_a_cancelled_commit_is_written_as_a_whole_or_not_at_all(
        self, store: Store, other: Store
    ) -> None:
        # N-05 N-06
        commit = replace(
            NEXT, frames=(b"2", b"3"), acks=("m",), sends=(message("peer", "n"),)
        )
        for count in range(30):
            instance, peer = f"i{count}", f"peer{count}"
            commit = replace(commit, sends=(message(peer, "n"),))
            await store.send(message(instance, "m"))
            await put(store, instance, FIRST)
            task = asyncio.ensure_future(put(store, instance, commit))
            await turns(count)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

            seq = (await read(store, instance)).head.seq

            if seq == 1:
                await put(store, instance, commit)
            else:
                with pytest.raises(Conflict):
                    await store.commit(instance, commit)
            for sent in commit.sends:  # as an owner that redoes its outbox
                await store.send(sent)
            written = await frames(other, instance)
            assert written == [(1, b"first"), (2, b"2"), (3, b"3")]
            assert await unread(other, instance) == []
            assert await unread(other, peer) == ["n"]

    async def test_ids_are_kept_apart(self, store: Store) -> None:
        # N-12
        ids = ["a", "ab", "a/b", "a\n", "é", "A", "a ", "'\"%_*", "😀", "x" * 255]
        for instance in ids:
            await put(store, instance, replace(FIRST, frames=(instance.encode(),)))
            await store.send(message(instance, "m", body=instance.encode()))
        for instance in ids:
            await put(
                store,
                instance,
                replace(NEXT, acks=("m",), sends=(message(instance, instance),)),
            )
        await store.delete("a")

        assert await store.load("a") is None
        for instance in ids[1:]:
            expected = [(1, instance.encode()), (2, b"next")]
            assert await frames(store, instance) == expected
            assert await unread(store, instance) == [instance]

    async def test_a_first_commit_finds_messages_that_wait_and_sends_its_own(
        self, store: Store
    ) -> None:
        # N-07
        await store.send(message("i", "early"))
        await store.send(message("i", "late"))
        start = replace(FIRST, acks=("early",), sends=(message("peer", "m"),))
        await put(store, "i", start)
        again = replace(start, acks=("late",), sends=(message("peer", "n"),))
        with pytest.raises(Conflict):
            await store.commit("i", again)

        assert await unread(store, "i") == ["late"]
        assert await unread(store, "peer") == ["m"]

    async def test_a_closed_store_keeps_its_data(
        self, store: Store, other: Store
    ) -> None:
        # N-16
        await put(store, "i", SUSPENDED)
        await store.close()
        await store.close()
        await other.close()
        await store.open()

        assert await frames(store, "i") == [(1, b"first")]
        await put(store, "i", replace(NEXT, token=THEIRS, opens=True))
