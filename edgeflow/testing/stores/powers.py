"""What a store may be able to do besides, and shows in the same way if it cannot.

A store without `Remembers` shows which ids it knows by what it answers to a message
that is sent once more; one without `Examines` has nothing to say of its backend. For
one without `Resumes` the cases do what a worker does then: unless somebody else holds
the instance, they renew its lease and read its inbox.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, get_args, get_type_hints

import pytest

from edgeflow.errors import Conflict
from edgeflow.store import Examines, Finding, Remembers, Resumes
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
    message,
    picture,
    put,
    read,
    turns,
    unread,
)
from edgeflow.testing.stores.source import StoreSource, unwrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.store import Envelope, Status, Store

LEASE = 30.0
ME, ANOTHER = "this worker", "another worker"
RESTS = replace(SUSPENDED, due=NOW, worker=ME)
VERDICTS: tuple[str, ...] = get_args(get_type_hints(Finding)["verdict"])


class PowerCases(StoreSource):
    async def test_consumed_messages_are_remembered_by_their_ids(
        self, store: Store, other: Store
    ) -> None:
        # N-07
        sent = ["a", "é/%", "b", "c"]
        for name in sent:
            await store.send(message("i", name))
        await store.send(message("j", "of another"))
        assert await consumed(other, "i", sent) == []
        await put(store, "i", replace(FIRST, acks=("b", "unheard-of")))
        await put(store, "i", replace(NEXT, acks=("é/%",)))
        await put(store, "j", replace(FIRST, acks=("of another",)))

        for each in (store, other):
            assert await consumed(each, "i", sent) == ["b", "é/%"]
            assert await consumed(each, "j", ["of another"]) == ["of another"]
            assert await unread(each, "i") == ["a", "c"]

    async def test_what_is_unread_again_is_not_remembered_as_consumed(
        self, store: Store, other: Store
    ) -> None:
        # N-07
        for each in ("a", "b"):
            await store.send(message("i", each))
        await put(store, "i", replace(FIRST, acks=("a", "b")))
        back = replace(NEXT, restored=("a",), restored_bodies=(b"again",))
        await put(store, "i", back)
        assert await consumed(other, "i", ["a", "b"]) == ["b"]

        await put(store, "i", replace(NEXT, seq=3, snapshot=True, acks=("a",)))

        assert await consumed(other, "i", ["a", "b"]) == ["a", "b"]

    async def test_what_was_never_started_or_is_deleted_has_consumed_nothing(
        self, store: Store, other: Store
    ) -> None:
        # N-01 N-14
        assert await consumed(store, "nobody", []) == []
        await store.send(message("i", "m"))
        await put(store, "i", replace(FIRST, acks=("m",)))

        await store.delete("i")

        assert await consumed(other, "i", []) == []
        assert await store.send(message("i", "m"))

    async def test_to_examine_a_store_says_what_is_so_and_changes_nothing(
        self, store: Store, other: Store
    ) -> None:
        # N-01
        await put(store, "i", replace(SUSPENDED, due=FIRST.now + 60))
        await store.send(message("j", "m"))
        before = await picture(other, "i", "j")

        found = [*await findings(store), *await findings(other)]

        assert all(each.verdict in VERDICTS and each.text for each in found), found
        assert await picture(other, "i", "j") == before
        assert await due(store, FIRST.now) == []
        assert await due(other, FIRST.now + 60) == ["i"]

    async def test_what_rests_is_resumed_with_its_unread_messages_in_order(
        self, store: Store, other: Store
    ) -> None:
        # N-07 N-09
        await store.send(message("i", "read"))
        await put(store, "i", replace(RESTS, acks=("read",)))
        sent = [
            message("i", "z", "a", b"1"),
            message("i", "m", "b", b"", at=NOW + HOUR),
            message("i", "a", "a", bytes(range(256)), at=NOW - 1),
        ]
        for each in (*sent, message("j", "of another")):
            await other.send(each)
        before = await read(other, "i")

        assert await self.resume(store) == sent

        leased = replace(before, head=replace(before.head, lease=NOW + LEASE))
        assert await read(other, "i") == leased

    async def test_what_is_resumed_is_left_alone_until_its_lease_is_over(
        self, store: Store, other: Store
    ) -> None:
        # N-09 M-03
        await put(store, "i", RESTS)
        await put(store, "waits", replace(RESTS, due=None))

        for instance in ("i", "waits"):
            assert await self.resume(store, instance) == []

        for each in (store, other):
            assert await due(each, NOW + LEASE - 1) == []
        await other.send(message("waits", "m"))
        assert await due(other, NOW + LEASE - 1) == []
        assert await due(store, NOW + LEASE) == ["i", "waits"]

    async def test_what_was_resumed_goes_on_and_rests_again(
        self, store: Store, other: Store
    ) -> None:
        # N-02 N-09 M-03
        await put(store, "i", RESTS)
        await store.send(message("i", "m"))
        for seq, waiting in ((2, [message("i", "m")]), (4, [])):
            assert await self.resume(store) == waiting
            await put(store, "i", replace(NEXT, seq=seq, lease=LEASE, worker=ME))
            await put(store, "i", replace(RESTS, seq=seq + 1, acks=("m",)))

            assert await unread(other, "i") == []
            assert (await read(other, "i")).head.lease == 0.0
        assert await due(other, NOW) == ["i"]

    @pytest.mark.parametrize("status", ["pending", "running", "undoing", "blocked"])
    async def test_whatever_has_not_ended_is_resumed(
        self, store: Store, other: Store, status: Status
    ) -> None:
        # N-09
        await put(store, "i", replace(FIRST, status=status))

        assert await self.resume(store) == []

        assert (await read(other, "i")).head.lease == NOW + LEASE

    async def test_what_another_has_opened_is_not_resumed(
        self, store: Store, other: Store
    ) -> None:
        # N-03 N-09
        await put(store, "i", RESTS)
        await store.send(message("i", "m"))
        assert await self.unchanged(other, store, token=THEIRS)
        await put(other, "i", replace(OPEN, worker=ANOTHER))

        assert await self.unchanged(other, store)

        assert await due(store, NOW) == ["i"]

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    async def test_what_has_ended_is_not_resumed(
        self, store: Store, other: Store, status: Status
    ) -> None:
        # N-09
        await store.send(message("i", "m"))
        await put(store, "i", RESTS)
        await put(store, "i", replace(RESTS, seq=2, status=status))

        assert await self.unchanged(other, store)

    async def test_what_is_not_there_is_not_resumed(
        self, store: Store, other: Store
    ) -> None:
        # N-01 N-14
        await store.send(message("i", "m"))
        assert await self.unchanged(other, store)
        await put(store, "i", RESTS)
        await other.delete("i")

        assert await self.unchanged(other, store)

        await put(other, "i", replace(RESTS, token=THEIRS))
        assert await self.unchanged(other, store)

    async def test_what_another_worker_has_claimed_is_resumed_after_its_lease(
        self, store: Store, other: Store
    ) -> None:
        # N-09
        await put(store, "i", RESTS)
        await store.send(message("i", "m"))
        assert list(await other.claim(NOW, 1, LEASE, ANOTHER)) == ["i"]

        late = NOW + LEASE
        for now in (NOW, late - 0.5):
            assert await self.unchanged(other, store, now=now, holder=ANOTHER)

        assert await self.resume(store, now=late, holder=ANOTHER)
        assert (await read(other, "i")).head.lease == late + LEASE
        assert list(await other.claim(late + LEASE - 1, 1, LEASE, ANOTHER)) == []

    async def test_a_lease_of_ones_own_is_no_hindrance(
        self, store: Store, other: Store
    ) -> None:
        # N-09
        await put(store, "i", RESTS)
        assert list(await store.claim(NOW, 1, LEASE, ME)) == ["i"]

        for now in (NOW, NOW + 1):
            assert await self.resume(store, now=now) == []

        assert (await read(other, "i")).head.lease == NOW + 1 + LEASE

    async def test_who_commits_with_a_lease_holds_it(
        self, store: Store, other: Store
    ) -> None:
        # N-09
        await put(store, "i", replace(FIRST, lease=LEASE, worker=ANOTHER))

        assert await self.unchanged(other, store, holder=ANOTHER)

        assert await self.resume(store, worker=ANOTHER, holder=ANOTHER) == []
        await put(store, "i", replace(NEXT, lease=LEASE, worker=ME))
        assert await self.unchanged(other, store, worker=ANOTHER)
        assert await self.resume(store) == []
        await put(store, "i", replace(RESTS, seq=3, worker=ANOTHER))
        assert await self.resume(store) == []  # who rests has given it back

    async def test_who_resumes_holds_it(self, store: Store, other: Store) -> None:
        # N-09
        await put(store, "i", replace(RESTS, worker=ANOTHER))
        assert await self.resume(store) == []

        assert await self.unchanged(other, store, worker=ANOTHER)

        late = NOW + LEASE
        assert await self.resume(store, now=late, worker=ANOTHER) == []
        assert await self.unchanged(other, store, now=late, holder=ANOTHER)

    async def test_what_was_resumed_can_be_taken_over(
        self, store: Store, other: Store
    ) -> None:
        # N-03 N-09
        await put(store, "i", RESTS)
        assert await self.resume(store) == []
        await put(other, "i", replace(OPEN, lease=HOUR, worker=ANOTHER))

        with pytest.raises(Conflict):
            await store.commit("i", replace(NEXT, seq=3, worker=ME))
        assert await self.unchanged(other, store, holder=ANOTHER)
        assert await self.unchanged(other, store, now=NOW + HOUR, holder=ANOTHER)

    async def test_a_resume_that_meets_a_new_owner_takes_nothing_from_it(
        self, store: Store, other: Store
    ) -> None:
        # N-04 N-09
        for count in range(20):
            instance = f"i{count}"
            await put(store, instance, RESTS)
            resuming = asyncio.ensure_future(self.resume(store, instance))
            await turns(count % 8)
            await put(other, instance, replace(OPEN, lease=HOUR, worker=ANOTHER))
            assert await resuming in (None, [])

            assert (await read(other, instance)).head.lease == NOW + HOUR
            with pytest.raises(Conflict):
                await store.commit(instance, replace(NEXT, seq=3))

    async def test_a_resume_goes_by_the_declared_clock(self, store: Store) -> None:
        # N-09
        itself, wrong = unwrapped(store), NOW + HOUR
        own = store.limits.server_clock
        held = replace(FIRST, lease=LEASE, worker=ANOTHER)
        await put(store, "i", held)
        await put(store, "free", replace(held, worker=ME))
        if not isinstance(itself, Resumes):
            return  # `renew` was asked the same

        resumed = [
            await itself.resume(instance, MINE, wrong, LEASE, ME) is not None
            for instance in ("i", "free")
        ]

        assert resumed == [not own, True], store.limits
        until = (await read(store, "free")).head.lease
        assert until == (NOW if own else wrong) + LEASE, store.limits

    async def resume(
        self,
        store: Store,
        instance: str = "i",
        *,
        token: bytes = MINE,
        now: float = NOW,
        worker: str = ME,
        holder: str = ME,
    ) -> list[Envelope] | None:
        """Resume an instance, as a worker does; `holder` has its lease, if any."""
        itself = unwrapped(store)
        if isinstance(itself, Resumes):
            if store.limits.server_clock:
                await self.set_clock(itself, now)
            found = await itself.resume(instance, token, now, LEASE, worker)
            return None if found is None else list(found)
        loaded = await store.load(instance)
        if loaded is None or (holder != worker and loaded.head.lease > now):
            return None
        renewed = await store.renew(instance, token, now, LEASE)
        return list(await store.unread(instance)) if renewed else None

    async def unchanged(
        self,
        other: Store,
        store: Store,
        *,
        token: bytes = MINE,
        now: float = NOW,
        worker: str = ME,
        holder: str = ME,
    ) -> bool:
        """Whether the instance i cannot be resumed, and is as it was after that."""
        before = await picture(other, "i")
        found = await self.resume(
            store, token=token, now=now, worker=worker, holder=holder
        )
        return found is None and await picture(other, "i") == before


async def consumed(store: Store, instance: str, sent: Sequence[str]) -> list[str]:
    """Ids of consumed messages, sorted; of a store that lists none, among `sent`."""
    itself = unwrapped(store)
    if isinstance(itself, Remembers):
        found = await itself.consumed(instance)
        assert len(found) == len(set(found)), found
        return sorted(found)
    waiting = await unread(store, instance)
    again = [each for each in sent if each not in waiting]
    return sorted([e for e in again if not await store.send(message(instance, e))])


async def findings(store: Store) -> Sequence[Finding]:
    """What a store finds out about its backend, if it can."""
    itself = unwrapped(store)
    return await itself.examine() if isinstance(itself, Examines) else ()
