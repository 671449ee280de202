"""Only the last one who opened an instance can commit to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict
from edgeflow.testing.stores.parts import (
    FIRST,
    HOUR,
    MINE,
    NEXT,
    NOW,
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


ZOMBIE = replace(
    NEXT, due=0, acks=("m",), sends=(message("peer", "n"), message("i", "own"))
)
"""What an owner writes that does not know yet that it was replaced."""


class OwnerCases:
    @pytest.mark.parametrize(
        "zombie",
        [
            ZOMBIE,
            replace(ZOMBIE, snapshot=True),
            replace(ZOMBIE, status="completed"),
            replace(ZOMBIE, lease=2 * HOUR),
            replace(ZOMBIE, restored=("old",), restored_bodies=(b"",)),
            replace(ZOMBIE, frames=(b"x", b"y")),
        ],
        ids=["plain", "snapshot", "end", "lease", "restore", "group"],
    )
    async def test_an_owner_that_was_replaced_changes_nothing(
        self, store: Store, other: Store, zombie: Commit
    ) -> None:
        # N-03
        for message_id in ("old", "m"):
            await store.send(message("i", message_id))
        await put(store, "i", replace(FIRST, acks=("old",)))
        await put(other, "i", OPEN)
        await put(other, "i", replace(OPEN, seq=3, opens=False, due=NOW + HOUR))
        before = await picture(store, "i", "peer")

        for seq in (2, 3, 4, 5):
            with pytest.raises(Conflict):
                await store.commit("i", replace(zombie, seq=seq))
        assert not await store.renew("i", MINE, NOW, 2 * HOUR)

        assert await picture(store, "i", "peer") == before
        assert await due(store, NOW) == []
        assert await due(store, NOW + HOUR) == ["i"]
        assert await store.send(message("peer", "n"))
        assert await store.send(message("i", "own"))

    async def test_what_was_in_flight_is_read_by_the_new_owner_or_refused(
        self, store: Store, other: Store
    ) -> None:
        # N-04
        for count in range(200):
            instance, trims = f"i{count}", count % 3 == 0
            await put(store, instance, FIRST)
            flight = asyncio.ensure_future(store.commit(instance, NEXT))
            await turns(count % 8)
            seen = (await read(other, instance)).head.seq
            taking_over = replace(OPEN, seq=seen + 1, snapshot=trims)
            opened = await asyncio.gather(
                other.commit(instance, taking_over), flight, return_exceptions=True
            )

            lost = [isinstance(answer, Conflict) for answer in opened]
            won = [b"first", b"next", b"open"] if seen > 1 else [b"first", b"open"]
            written = [body for _, body in await frames(other, instance)]
            if lost == [True, False]:
                assert seen == 1
                assert written == [b"first", b"next"]
            else:
                assert lost == [False, seen == 1]
                assert written == (won[-1:] if trims else won)

    async def test_of_two_openers_one_wins(self, store: Store, other: Store) -> None:
        # N-04
        await put(store, "i", FIRST)
        mine = replace(OPEN, token=MINE)

        won = await winners(store.commit("i", mine), other.commit("i", OPEN))

        assert len(won) == 1
        loser, winner = ((OPEN, mine), (mine, OPEN))[won[0]]
        with pytest.raises(Conflict):
            await store.commit("i", replace(loser, seq=3, opens=False))
        await put(other, "i", replace(winner, seq=3, opens=False))

    async def test_an_opener_that_slept_is_refused(
        self, store: Store, other: Store
    ) -> None:
        # N-03 N-04
        await put(store, "i", FIRST)
        await put(other, "i", OPEN)
        await put(other, "i", replace(OPEN, seq=3, opens=False))
        before = await picture(store, "i")

        for seq in (2, 3):
            with pytest.raises(Conflict):
                await store.commit(
                    "i", replace(OPEN, seq=seq, token=b"a sleeper's one!")
                )

        assert await picture(store, "i") == before

    @pytest.mark.parametrize("opens", [False, True])
    async def test_a_sleeper_cannot_write_at_a_number_that_was_trimmed(
        self, store: Store, other: Store, *, opens: bool
    ) -> None:
        # N-03 N-13
        await put(store, "i", FIRST)
        await put(other, "i", replace(OPEN, snapshot=True))
        await put(other, "i", replace(OPEN, seq=3, opens=False, snapshot=True))
        last = 3 if opens else 4  # who opens may follow the last number

        for seq in range(1, last + 1):
            with pytest.raises(Conflict):
                await store.commit("i", replace(NEXT, seq=seq, opens=opens))

        assert await frames(store, "i") == [(3, b"open")]
        await put(other, "i", replace(OPEN, seq=4, opens=False))

    async def test_an_owner_writes_on_however_often_others_fail(
        self, store: Store, other: Store
    ) -> None:
        # N-03
        await put(store, "i", replace(FIRST, lease=HOUR))
        for seq in range(2, 6):
            assert list(await other.claim(NOW, 9, HOUR, "w")) == []
            with pytest.raises(Conflict):
                await other.commit("i", replace(OPEN, seq=seq - 1))
            with pytest.raises(Conflict):
                await other.commit("i", replace(OPEN, seq=seq, opens=False))
            await put(store, "i", replace(NEXT, seq=seq, lease=HOUR))

        assert [seq for seq, _ in await frames(other, "i")] == [1, 2, 3, 4, 5]

    async def test_a_claim_takes_nothing_from_the_owner(
        self, store: Store, other: Store
    ) -> None:
        # N-09
        await put(store, "i", FIRST)
        before = await read(store, "i")
        assert list(await other.claim(NOW, 1, HOUR, "w")) == ["i"]

        leased = replace(before.head, lease=NOW + HOUR)
        assert await read(store, "i") == replace(before, head=leased)
        assert await store.renew("i", MINE, NOW, HOUR)
        await put(store, "i", NEXT)

        assert await due(store, NOW) == ["i"]

    async def test_a_deleted_instance_refuses_its_owner(
        self, store: Store, other: Store
    ) -> None:
        # N-14
        await put(store, "i", SUSPENDED)
        await store.send(message("i", "m"))
        await other.delete("i")
        with pytest.raises(Conflict):
            await store.commit("i", NEXT)

        assert await store.load("i") is None
        assert list(await store.unread("i")) == []
        assert await due(store, NOW) == []
        assert await store.send(message("i", "m"))

    async def test_an_owner_of_an_earlier_life_meets_its_own_number_in_vain(
        self, store: Store, other: Store
    ) -> None:
        # N-14
        await put(store, "i", FIRST)
        await put(store, "i", NEXT)
        await other.delete("i")
        expected: list[tuple[int, bytes]] = []
        for seq in (1, 2, 3):
            commit = replace(FIRST, seq=seq, token=THEIRS, sends=(message("i", "m"),))
            await put(other, "i", commit)
            expected.append((seq, b"first"))
            for old in (1, 2, 3, 4):
                with pytest.raises(Conflict):
                    await store.commit("i", replace(NEXT, seq=old, acks=("m",)))
            assert not await store.renew("i", MINE, NOW, HOUR)

        assert await frames(store, "i") == expected
        assert await unread(store, "i") == ["m"]
        assert await due(store, NOW) == ["i"]

    async def test_a_new_life_knows_nothing_of_the_one_before(
        self, store: Store, other: Store
    ) -> None:
        # N-14
        last = replace(SUSPENDED, status="completed", lease=HOUR, acks=("m",))
        await store.send(message("i", "m"))
        await store.send(message("i", "unread"))
        await put(store, "i", replace(FIRST, frames=(b"1", b"2", b"3")))
        await put(store, "i", replace(last, seq=4))
        await other.delete("i")
        await put(other, "i", SUSPENDED)

        assert await frames(store, "i") == [(1, b"first")]
        assert await unread(store, "i") == []
        assert await due(store, NOW) == []
        assert await store.send(message("i", "m", body=b"again"))
        assert await due(store, NOW) == ["i"]

    async def test_a_commit_in_flight_does_not_survive_a_delete(
        self, store: Store, other: Store
    ) -> None:
        # N-14
        for count in range(40):
            await put(store, "i", FIRST)
            sends = (message("i", "m"),)
            flight = asyncio.ensure_future(
                store.commit("i", replace(NEXT, sends=sends, snapshot=count % 2 == 0))
            )
            await turns(count % 8)
            await other.delete("i")
            await asyncio.gather(flight, return_exceptions=True)

            assert await store.load("i") is None
            assert await unread(store, "i") == []
            assert await due(store, NOW) == []

    async def test_only_the_owner_renews(self, store: Store) -> None:
        # N-09
        await put(store, "i", replace(FIRST, lease=1))
        assert await store.renew("i", MINE, NOW + 1, HOUR)
        assert not await store.renew("i", THEIRS, NOW + 1, 2 * HOUR)

        assert await due(store, NOW + HOUR) == []
        assert await due(store, NOW + 1 + HOUR) == ["i"]
        await put(store, "i", OPEN)
        assert not await store.renew("i", MINE, NOW, HOUR)

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    async def test_what_has_ended_is_not_renewed(
        self, store: Store, status: Status
    ) -> None:
        # N-09
        await put(store, "i", replace(FIRST, status=status))

        assert not await store.renew("i", MINE, NOW, HOUR)
