"""Only the last one who opened an instance can commit to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict
from edgeflow.testing._store_parts import (
    FIRST,
    HOUR,
    MINE,
    NEXT,
    NOW,
    OPEN,
    SUSPENDED,
    THEIRS,
    count_wins,
    due,
    frames,
    message,
    picture,
    put,
    read,
    turns,
)

if TYPE_CHECKING:
    from edgeflow.store import Status, Store


class OwnerCases:
    async def test_an_owner_that_was_replaced_changes_nothing(
        self, store: Store, other: Store
    ) -> None:
        # N-03
        await put(store, "i", FIRST)
        await store.send(message("i", "m"))
        await put(other, "i", OPEN)
        await put(other, "i", replace(OPEN, seq=3, opens=False, due=NOW + HOUR))
        before = await picture(store, "i", "peer")

        for seq in (3, 4):
            with pytest.raises(Conflict):
                await store.commit(
                    "i",
                    replace(
                        NEXT, seq=seq, acks=("m",), sends=(message("peer", "n"),), due=0
                    ),
                )

        assert await picture(store, "i", "peer") == before
        assert await due(store, NOW) == []
        assert await due(store, NOW + HOUR) == ["i"]

    async def test_what_was_in_flight_is_read_by_the_new_owner_or_refused(
        self, store: Store, other: Store
    ) -> None:
        # N-04
        for count in range(200):
            instance = f"i{count}"
            await put(store, instance, FIRST)
            flight = asyncio.ensure_future(store.commit(instance, NEXT))
            await turns(count % 8)
            seen = (await read(other, instance)).head.seq
            opened = await asyncio.gather(
                other.commit(instance, replace(OPEN, seq=seen + 1)),
                flight,
                return_exceptions=True,
            )

            lost = [isinstance(answer, Conflict) for answer in opened]
            written = [body for _, body in await frames(other, instance)]
            if seen > 1:
                assert lost == [False, False]
                assert written == [b"first", b"next", b"open"]
            else:
                assert sorted(lost) == [False, True]
                assert written == [b"first", b"next" if lost[0] else b"open"]

    async def test_of_two_openers_one_wins(self, store: Store, other: Store) -> None:
        # N-04
        await put(store, "i", FIRST)

        won = await count_wins(
            store.commit("i", replace(OPEN, token=b"x" * 16)), other.commit("i", OPEN)
        )

        assert won == 1

    async def test_a_sleeper_cannot_write_at_a_number_that_was_trimmed(
        self, store: Store, other: Store
    ) -> None:
        # N-03 N-13
        await put(store, "i", FIRST)
        await put(other, "i", replace(OPEN, snapshot=True))
        await put(other, "i", replace(OPEN, seq=3, opens=False, snapshot=True))

        for seq in (1, 2, 3, 4):
            with pytest.raises(Conflict):
                await store.commit("i", replace(NEXT, seq=seq))

        assert await frames(store, "i") == [(3, b"open")]

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
        await other.delete("i")
        await put(other, "i", replace(FIRST, token=THEIRS))
        with pytest.raises(Conflict):
            await store.commit("i", NEXT)

        assert await frames(store, "i") == [(1, b"first")]

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
