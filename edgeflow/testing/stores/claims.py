"""What is due is found once while its lease lasts, and no wake-up is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict
from edgeflow.store import Query
from edgeflow.testing.stores.parts import (
    FIRST,
    HOUR,
    MINE,
    NEXT,
    NOW,
    OPEN,
    SUSPENDED,
    due,
    message,
    put,
    read,
    turns,
    unread,
    winners,
)
from edgeflow.testing.stores.source import StoreSource

if TYPE_CHECKING:
    from edgeflow.store import Status, Store

LEASE = 30.0


class ClaimCases(StoreSource):
    async def test_an_instance_is_due_when_its_time_has_passed(
        self, store: Store
    ) -> None:
        # N-09
        await put(store, "past", replace(SUSPENDED, due=NOW - 0.001))
        await put(store, "future", replace(SUSPENDED, due=NOW + 1))
        await put(store, "never", SUSPENDED)

        assert await due(store, NOW) == ["past"]
        assert list(await store.claim(NOW + 1, 9, 0, "w")) == ["past", "future"]

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "blocked"])
    async def test_what_has_ended_or_is_blocked_is_never_claimed(
        self, store: Store, status: Status
    ) -> None:
        # N-10
        await put(store, "i", FIRST)
        await store.send(message("i", "m"))
        await put(store, "i", replace(NEXT, status=status, awaiting=("a",)))

        assert await due(store, NOW + HOUR) == []

    @pytest.mark.parametrize("status", ["pending", "running", "undoing"])
    async def test_messages_wake_only_what_is_suspended(
        self, store: Store, status: Status
    ) -> None:
        # N-08
        waits = replace(FIRST, status=status, awaiting=("a",), due=NOW + HOUR)
        await put(store, "i", waits)
        await store.send(message("i", "m"))
        sends = (message("i", "n"),)
        await put(store, "sender", replace(FIRST, due=None, sends=sends))
        await put(store, "i", replace(waits, seq=2))

        assert await due(store, NOW) == []
        assert await due(store, NOW + HOUR) == ["i"]

    async def test_messages_do_not_wake_what_is_blocked(self, store: Store) -> None:
        # N-10
        blocked = replace(SUSPENDED, status="blocked")
        await put(store, "i", blocked)
        await store.send(message("i", "m"))
        sends = (message("i", "n"),)
        await put(store, "sender", replace(FIRST, due=None, sends=sends))
        assert await due(store, NOW + HOUR) == []
        assert await unread(store, "i") == ["m", "n"]

        await put(store, "i", replace(SUSPENDED, seq=2))

        assert await due(store, NOW) == ["i"]

    async def test_an_awaited_message_makes_due_and_another_does_not(
        self, store: Store, other: Store
    ) -> None:
        # N-08
        waits = replace(SUSPENDED, wake_at=NOW + HOUR, due=NOW + HOUR)
        await put(store, "i", waits)
        await other.send(message("i", "m", "b"))
        assert await due(store, NOW) == []

        await other.send(message("i", "n", "a"))

        assert await due(store, NOW) == ["i"]
        head = (await read(store, "i")).head
        assert head.wake_at == NOW + HOUR

    async def test_a_message_that_a_commit_sends_makes_due(self, store: Store) -> None:
        # N-08
        await put(store, "i", SUSPENDED)
        await put(store, "j", replace(SUSPENDED, awaiting=("b",)))
        sends = (message("i", "m"), message("j", "m"), message("unknown", "m"))
        await put(store, "sender", replace(SUSPENDED, awaiting=(), sends=sends))

        assert await due(store, NOW) == ["i"]

    async def test_a_message_to_oneself_makes_due(self, store: Store) -> None:
        # N-08
        await put(store, "i", replace(SUSPENDED, sends=(message("i", "m"),)))

        assert await due(store, NOW) == ["i"]

    async def test_a_delayed_message_makes_due_from_its_time_on(
        self, store: Store
    ) -> None:
        # N-08
        later = NOW + 10
        await put(store, "by send", SUSPENDED)
        await store.send(message("by send", "m", at=later))
        await store.send(message("found", "m", at=later))
        await put(store, "found", replace(SUSPENDED, due=NOW + HOUR))
        sends = (message("by commit", "m", at=later),)
        await put(store, "by commit", SUSPENDED)
        await put(store, "sender", replace(FIRST, due=None, sends=sends))

        assert await due(store, later - 0.5) == []
        assert await due(store, later) == ["by commit", "by send", "found"]

    async def test_a_delayed_message_under_another_name_makes_nothing_due(
        self, store: Store
    ) -> None:
        # N-08
        await put(store, "i", SUSPENDED)
        await store.send(message("i", "other", "b", at=NOW))
        await store.send(message("i", "m", at=NOW + HOUR))

        assert await due(store, NOW + 1) == []
        assert await due(store, NOW + HOUR) == ["i"]

    async def test_an_earlier_wake_time_stands_beside_a_delayed_message(
        self, store: Store
    ) -> None:
        # N-08
        await put(store, "i", replace(SUSPENDED, due=NOW + 1))
        for instance in ("i", "j"):
            await store.send(message(instance, "m", at=NOW + 2))
        await put(store, "j", replace(SUSPENDED, due=NOW + 1))

        assert await due(store, NOW) == []
        assert await due(store, NOW + 1) == ["i", "j"]

    async def test_only_unread_messages_make_due(self, store: Store) -> None:
        # N-08
        await put(store, "i", FIRST)
        await store.send(message("i", "m"))
        await put(store, "i", replace(SUSPENDED, seq=2, acks=("m",), due=NOW + 1))

        assert await due(store, NOW) == []
        assert await due(store, NOW + 1) == ["i"]

    async def test_a_message_that_meets_the_suspending_commit_wakes(
        self, store: Store, other: Store
    ) -> None:
        # N-08
        names = [f"i{count:02}" for count in range(50)]
        for count, instance in enumerate(names):
            await put(store, instance, replace(FIRST, due=None))
            flight = asyncio.ensure_future(
                store.commit(instance, replace(SUSPENDED, seq=2))
            )
            await turns(count % 8)
            await other.send(message(instance, "m"))
            await flight

        assert await due(store, NOW) == names

    async def test_a_commit_that_meets_the_suspending_commit_wakes(
        self, store: Store, other: Store
    ) -> None:
        # N-08
        names = [f"i{count:02}" for count in range(50)]
        for count, instance in enumerate(names):
            await put(store, instance, replace(FIRST, due=None))
            flight = asyncio.ensure_future(
                put(store, instance, replace(SUSPENDED, seq=2))
            )
            await turns(count % 8)
            sends = (message(instance, "m"),)
            await put(other, f"sender{count}", replace(FIRST, due=None, sends=sends))
            await flight

        assert await due(store, NOW) == names

    async def test_what_arrives_between_load_and_open_wakes_and_is_read(
        self, store: Store, other: Store
    ) -> None:
        # N-08
        await put(store, "i", SUSPENDED)
        await store.send(message("i", "1"))
        seen = await unread(store, "i")
        await other.send(message("i", "2"))
        await put(store, "i", replace(OPEN, lease=LEASE))
        assert await due(store, NOW) == []
        back = replace(SUSPENDED, token=OPEN.token, seq=3, acks=tuple(seen))
        await put(store, "i", back)

        assert await unread(store, "i") == ["2"]
        assert await due(store, NOW) == ["i"]

    async def test_what_arrives_while_it_runs_is_read_without_loading(
        self, store: Store, other: Store
    ) -> None:
        # N-08 N-10
        await put(store, "i", replace(FIRST, lease=LEASE))
        await other.send(message("i", "m"))
        assert await due(other, NOW) == []
        assert await unread(store, "i") == ["m"]

        await put(store, "i", replace(SUSPENDED, seq=2, acks=("m",)))

        assert await due(store, NOW + HOUR) == []

    @pytest.mark.parametrize("later", [NOW + HOUR, None])
    async def test_a_commit_replaces_or_clears_the_wake_time(
        self, store: Store, later: float | None
    ) -> None:
        # N-10
        await put(store, "i", replace(SUSPENDED, due=NOW + 1, wake_at=NOW + 1))
        replaced = replace(SUSPENDED, seq=2, due=later, wake_at=later)
        await put(store, "i", replaced)

        assert await due(store, NOW + 1) == []
        assert (await read(store, "i")).head.wake_at == later
        expected = [] if later is None else ["i"]
        assert await due(store, NOW + HOUR) == expected

    async def test_a_lease_hides_until_it_is_over_or_given_back(
        self, store: Store, other: Store
    ) -> None:
        # N-09
        await put(store, "i", replace(FIRST, lease=LEASE))
        assert await due(other, NOW + LEASE - 1) == []
        assert await other.claim(NOW + LEASE, 1, LEASE, "w") == ["i"]
        assert await due(store, NOW + LEASE + LEASE - 1) == []
        assert await due(store, NOW + LEASE + LEASE) == ["i"]

        await put(store, "i", replace(NEXT, lease=LEASE))
        assert await due(store, NOW) == []
        await put(store, "i", replace(SUSPENDED, seq=3, due=NOW))

        assert await due(store, NOW) == ["i"]

    @pytest.mark.parametrize("status", ["pending", "running", "undoing"])
    async def test_what_a_dead_worker_held_is_claimed_again_after_the_lease(
        self, store: Store, other: Store, status: Status
    ) -> None:
        # N-09
        await put(store, "i", replace(FIRST, status=status))
        for count in range(3):
            now = NOW + count * LEASE
            won = [await each.claim(now, 1, LEASE, "w") for each in (store, other)]
            assert [list(each) for each in won] == [["i"], []]
            assert list(await other.claim(now + LEASE - 0.5, 1, LEASE, "w")) == []

    async def test_a_claimed_instance_rests_as_its_next_commit_says(
        self, store: Store, other: Store
    ) -> None:
        # N-09 N-10
        await put(store, "i", replace(SUSPENDED, due=NOW))
        assert list(await other.claim(NOW, 1, LEASE, "w")) == ["i"]
        await put(other, "i", replace(OPEN, lease=LEASE))
        back = replace(SUSPENDED, token=OPEN.token, seq=3, due=NOW + 1)
        await put(other, "i", back)

        assert await due(store, NOW) == []
        assert await due(store, NOW + 1) == ["i"]

    async def test_a_head_shows_until_when_it_is_held(
        self, store: Store, other: Store
    ) -> None:
        # N-09
        async def lease() -> float:
            return (await read(other, "i")).head.lease

        await put(store, "i", FIRST)
        assert await lease() == 0.0
        await put(store, "i", replace(NEXT, lease=LEASE))
        assert await lease() == NOW + LEASE
        assert await store.renew("i", MINE, NOW + 1, HOUR)
        assert await lease() == NOW + 1 + HOUR
        assert await store.renew("i", MINE, NOW + 2, 0)
        assert await lease() <= NOW + 2
        assert list(await store.claim(NOW + 3, 1, LEASE, "w")) == ["i"]
        assert await lease() == NOW + 3 + LEASE

        opens = replace(OPEN, seq=3, now=NOW + 4, lease=LEASE, snapshot=True)
        await put(store, "i", opens)
        assert await lease() == NOW + 4 + LEASE
        await put(store, "i", replace(SUSPENDED, seq=4, token=OPEN.token))
        assert await lease() == 0.0

    async def test_who_is_refused_moves_no_lease(
        self, store: Store, other: Store
    ) -> None:
        # N-09
        await put(store, "i", replace(FIRST, lease=LEASE))
        assert list(await other.claim(NOW, 1, HOUR, "w")) == []
        assert not await other.renew("i", OPEN.token, NOW, HOUR)
        with pytest.raises(Conflict):
            await other.commit("i", replace(OPEN, opens=False, lease=HOUR))
        assert (await read(store, "i")).head.lease == NOW + LEASE

        await other.delete("i")
        await put(store, "i", SUSPENDED)

        assert (await read(store, "i")).head.lease == 0.0

    async def test_a_list_shows_leases_or_leaves_them_out(self, store: Store) -> None:
        # N-09 N-14
        await put(store, "committed", replace(FIRST, due=None, lease=LEASE))
        await put(store, "renewed", replace(FIRST, due=None, lease=LEASE))
        assert await store.renew("renewed", MINE, NOW, HOUR)
        await put(store, "claimed", FIRST)
        assert list(await store.claim(NOW, 1, LEASE, "w")) == ["claimed"]

        shown = {h.instance: h.lease async for h in store.find(Query())}

        held = {i: (await read(store, i)).head.lease for i in sorted(shown)}
        assert sorted(held.values()) == [NOW + LEASE, NOW + LEASE, NOW + HOUR]
        assert shown in (held, dict.fromkeys(held, 0.0))

    async def test_claims_take_the_earliest_and_no_more_than_asked_for(
        self, store: Store
    ) -> None:
        # N-09
        for age in (3, 1, 5, 2, 4):
            await put(store, f"i{age}", replace(SUSPENDED, due=NOW - age))

        for nothing in (0, -1):
            assert list(await store.claim(NOW, nothing, LEASE, "w")) == []
        assert list(await store.claim(NOW, 2, LEASE, "w")) == ["i5", "i4"]
        assert list(await store.claim(NOW, 9, LEASE, "w")) == ["i3", "i2", "i1"]
        assert await due(store, NOW) == []

    async def test_many_workers_share_many_instances(
        self, store: Store, other: Store
    ) -> None:
        # N-09
        names = {f"i{n}" for n in range(2 * self.many)}
        await asyncio.gather(*(store.commit(name, FIRST) for name in names))
        claimed: list[str] = []
        astray: list[str] = []
        wrong = NOW if store.limits.server_clock else NOW + HOUR

        async def work(each: Store, now: float, mine: list[str]) -> None:
            while batch := await each.claim(now, 50, LEASE, "w"):
                assert len(batch) in range(1, 51)
                mine += batch
                assert len(mine) <= len(names)

        await asyncio.gather(
            *(work(each, NOW, claimed) for _ in range(8) for each in (store, other)),
            work(other, wrong, astray),
        )

        assert {*claimed, *astray} == names
        assert len(claimed) == len(set(claimed))
        taken = [*claimed, *astray]
        won = await winners(*(store.commit(name, OPEN) for name in taken))
        assert len(won) == len(names)
