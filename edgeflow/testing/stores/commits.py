"""A commit is all or nothing, and what it wrote is what is read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict, TooLarge
from edgeflow.store import Envelope, Frame, Head, Query
from edgeflow.testing.stores.parts import (
    FIRST,
    HOUR,
    MINE,
    NEXT,
    NOW,
    ODD,
    OPEN,
    SUSPENDED,
    THEIRS,
    due,
    frames,
    message,
    picture,
    put,
    read,
    turns,
    unread,
    winners,
)

if TYPE_CHECKING:
    from edgeflow.store import Commit, Status, Store


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
        await put(store, "i", replace(SUSPENDED, seq=2, due=NOW + HOUR))
        await put(store, "peer", SUSPENDED)
        await store.send(message("i", "m", "b"))
        before = await picture(store, "i", "peer")

        with pytest.raises(Conflict):
            await store.commit(
                "i",
                replace(
                    NEXT,
                    seq=seq,
                    snapshot=True,
                    status="suspended",
                    awaiting=("b",),
                    acks=("m",),
                    sends=(message("peer", "n"),),
                ),
            )

        assert await picture(store, "i", "peer") == before
        assert await due(store, NOW) == []
        assert await due(store, NOW + HOUR) == ["i"]
        assert await store.send(message("peer", "n"))

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
        expected = [(1, b"first")]
        for seq in range(2, 52):
            mine, theirs = (replace(NEXT, seq=seq, frames=(b,)) for b in (b"m", b"t"))

            won = await winners(store.commit("i", mine), other.commit("i", theirs))

            assert len(won) == 1
            expected.append((seq, (b"m", b"t")[won[0]]))

        assert await frames(store, "i") == expected

    @pytest.mark.parametrize(
        "contended", [FIRST, NEXT, OPEN], ids=["start", "", "open"]
    )
    async def test_of_sixteen_writers_with_one_number_one_wins(
        self, store: Store, other: Store, contended: Commit
    ) -> None:
        # N-02 N-04
        before = [] if contended is FIRST else [(1, b"first")]
        if before:
            await put(store, "i", FIRST)
        commits = [
            replace(
                contended,
                frames=(bytes([n]),),
                token=bytes([n]) * 16 if contended.opens else MINE,
                acks=(f"m{n}",),
                sends=(message("peer", f"n{n}"),),
            )
            for n in range(16)
        ]
        for n in range(16):
            await store.send(message("i", f"m{n}"))

        won = await winners(
            *(put((store, other)[n % 2], "i", c) for n, c in enumerate(commits))
        )

        assert len(won) == 1
        (n,) = won
        assert await frames(other, "i") == [*before, (contended.seq, bytes([n]))]
        assert (await read(store, "i")).head.token == commits[n].token
        assert await unread(store, "peer") == [f"n{n}"]
        left = [f"m{loser}" for loser in range(16) if loser != n]
        assert await unread(store, "i") == left

    async def test_one_conflict_does_not_hinder_other_instances(
        self, store: Store
    ) -> None:
        # N-02
        await put(store, "taken", FIRST)

        won = await winners(
            *(store.commit(i, FIRST) for i in ("a", "taken", "b", "taken", "c"))
        )

        assert won == [0, 2, 4]
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

    async def test_a_reader_never_sees_half_a_commit(
        self, store: Store, other: Store
    ) -> None:
        # N-05 N-13
        rounds = 60
        ids = [f"m{n}" for n in range(1, rounds + 1)]
        for message_id in ids:
            await store.send(message("i", message_id))

        async def write() -> None:
            for n, message_id in enumerate(ids, 1):
                group = replace(FIRST, seq=3 * n - 2, frames=(b"a", b"b", b"c"))
                trims = n % 7 == 0
                await put(
                    store, "i", replace(group, acks=(message_id,), snapshot=trims)
                )
                await turns(n % 3)

        writing = asyncio.ensure_future(write())
        while not writing.done():
            await turns(1)
            loaded = await other.load("i")
            if loaded is None:
                continue
            done, torn = divmod(loaded.head.seq, 3)
            first = max(1, 3 * (done - done % 7) - 2)
            seqs = [frame.seq for frame in loaded.frames]
            assert not torn
            assert seqs == list(range(first, loaded.head.seq + 1))
            assert [m.id for m in loaded.messages] == ids[done:]
        await writing

        assert (await read(other, "i")).head.seq == 3 * rounds

    @pytest.mark.parametrize("status", ["pending", "suspended", "blocked", "failed"])
    async def test_what_is_there_cannot_be_started(
        self, store: Store, status: Status
    ) -> None:
        # N-02
        rests = replace(NEXT, status=status, snapshot=True, frames=(b"s",))
        await put(store, "i", FIRST)
        await put(store, "i", rests)
        for opens in (False, True):
            with pytest.raises(Conflict):
                await store.commit("i", replace(FIRST, opens=opens))

        assert await frames(store, "i") == [(2, b"s")]

    async def test_what_has_ended_can_be_opened_and_goes_on(self, store: Store) -> None:
        # N-13
        await put(store, "i", replace(FIRST, status="completed"))
        await put(store, "i", replace(OPEN, snapshot=True, workflow="new"))

        assert (await read(store, "i")).head.workflow == "new"
        assert await frames(store, "i") == [(2, b"open")]
        assert await store.send(message("i", "m"))
        assert await due(store, NOW) == ["i"]

    async def test_frames_up_to_the_limit_round_trip(self, store: Store) -> None:
        # N-11
        bodies = (b"", bytes(range(256)), b"x" * store.limits.max_frame)
        await put(store, "i", replace(FIRST, frames=bodies))
        await store.send(message("i", "empty", body=b""))
        nothing = message("i", "nothing", body=b"")
        await put(store, "i", replace(NEXT, seq=4, sends=(nothing,)))
        sends = (message("i", "none", body=b""), message("i", "m", body=bodies[1]))
        await put(store, "i", replace(NEXT, seq=5, sends=sends))
        await store.send(message("i", "largest", body=bodies[2]))

        loaded = await read(store, "i")

        assert [frame.body for frame in loaded.frames] == [*bodies, b"next", b"next"]
        assert [m.body for m in loaded.messages] == [b"", b"", b"", *bodies[1:]]

    async def test_a_group_up_to_the_limit_round_trips(self, store: Store) -> None:
        # N-11
        size, most = store.limits.max_frame, store.limits.max_group
        whole, rest = divmod(most, size)
        bodies = (b"x" * size,) * whole + ((b"y" * rest,) if rest else ())
        await put(store, "i", replace(FIRST, frames=bodies))

        assert sum(len(f.body) for f in (await read(store, "i")).frames) == most

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

    async def test_ids_are_kept_apart(self, store: Store) -> None:
        # N-12
        ids = ["a", *ODD]
        for instance in ids:
            await put(store, instance, replace(FIRST, frames=(instance.encode(),)))
            await store.send(message(instance, "m", body=instance.encode()))
        for instance in ids:
            own = (message(instance, instance), message(instance, "z"))
            await put(store, instance, replace(NEXT, acks=("m",), sends=own))
        await store.delete("a")

        assert await store.load("a") is None
        assert await unread(store, "a") == []
        for instance in ids[1:]:
            expected = [(1, instance.encode()), (2, b"next")]
            assert await frames(store, instance) == expected
            assert await unread(store, instance) == [instance, "z"]
        assert [h.instance async for h in store.find(Query())] == sorted(ids[1:])

    @pytest.mark.parametrize("name", ODD)
    async def test_names_are_kept_apart(self, store: Store, name: str) -> None:
        # N-12 N-08
        waits = replace(SUSPENDED, workflow=name, awaiting=(name,), worker=name)
        await put(store, "i", waits)
        for odd in ("a", *ODD):
            if odd != name:
                await store.send(message("i", odd, odd))
        assert await due(store, NOW) == []
        assert await store.send(message("i", name, name))

        assert await due(store, NOW) == ["i"]
        head = (await read(store, "i")).head
        assert (head.workflow, head.awaiting) == (name, (name,))
        found = store.find(Query(workflow=name))
        assert [h.instance async for h in found] == ["i"]
        await put(store, "i", replace(waits, seq=2, acks=(name,)))
        assert name not in await unread(store, "i")
        assert len(await unread(store, "i")) == len(ODD)

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
