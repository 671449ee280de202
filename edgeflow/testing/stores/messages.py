"""A message is known once, read in order, and gone with the commit that took it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict, InstanceFinished
from edgeflow.testing.stores.parts import (
    FIRST,
    NEXT,
    NOW,
    SUSPENDED,
    due,
    message,
    put,
    read,
    unread,
)
from edgeflow.testing.stores.source import StoreSource

if TYPE_CHECKING:
    from edgeflow.store import Status, Store


class MessageCases(StoreSource):
    async def test_an_id_is_known_once(self, store: Store, other: Store) -> None:
        # N-07
        sent = message("i", "m")

        answers = await asyncio.gather(
            *(each.send(sent) for _ in range(10) for each in (store, other))
        )

        assert sorted(answers) == [False] * 19 + [True]
        assert await unread(other, "i") == ["m"]

    async def test_a_known_id_keeps_its_first_body(self, store: Store) -> None:
        # N-07
        await put(store, "i", FIRST)
        await store.send(message("i", "m", body=b"first"))
        assert not await store.send(message("i", "m", body=b"second"))
        await put(store, "i", replace(NEXT, sends=(message("i", "m", body=b"third"),)))

        assert [m.body for m in await store.unread("i")] == [b"first"]

    async def test_an_id_is_known_in_its_own_inbox_only(self, store: Store) -> None:
        # N-07 N-12
        for instance in ("i", "j"):
            await put(store, instance, FIRST)
            assert await store.send(message(instance, "m", body=instance.encode()))
        await put(store, "i", replace(NEXT, acks=("m",)))

        assert await unread(store, "i") == []
        assert [m.body for m in await store.unread("j")] == [b"j"]

    async def test_of_two_with_one_id_in_a_commit_the_first_arrives(
        self, store: Store
    ) -> None:
        # N-07
        sends = tuple(message("i", m, body=b) for m, b in (("m", b"1"), ("m", b"2")))
        await put(store, "sender", replace(FIRST, sends=(*sends, message("i", "n"))))

        shown = [(m.id, m.body) for m in await store.unread("i")]
        assert shown == [("m", b"1"), ("n", b"body")]

    async def test_an_id_that_was_sent_by_commit_is_known(
        self, store: Store, other: Store
    ) -> None:
        # N-07
        sends = (message("i", "m"), message("sender", "m"))
        await put(store, "sender", replace(FIRST, sends=sends))
        again = replace(FIRST, sends=(message("i", "m", body=b"again"),))
        await put(other, "another sender", again)

        for sent in sends:
            assert not await other.send(sent)
            assert list(await other.unread(sent.to)) == [sent]

    async def test_a_consumed_id_stays_known(self, store: Store, other: Store) -> None:
        # N-07
        await put(store, "i", FIRST)
        await store.send(message("i", "m"))
        await put(store, "i", replace(NEXT, acks=("m", "never heard of")))

        assert not await other.send(message("i", "m"))
        await put(store, "i", replace(NEXT, seq=3, sends=(message("i", "m"),)))
        assert await unread(other, "i") == []
        assert list((await read(other, "i")).messages) == []

    async def test_messages_are_read_in_order_of_arrival(
        self, store: Store, other: Store
    ) -> None:
        # N-07
        ids = ["z", "10", "9", "late", "a", "é"]
        for message_id in ids[:3]:
            await store.send(message("i", message_id))
        await other.send(message("i", "late", at=NOW + 5))
        await put(store, "i", FIRST)
        own = tuple(message("i", message_id) for message_id in ids[4:])
        await put(store, "i", replace(NEXT, sends=own))

        assert await unread(store, "i") == ids
        assert [m.id for m in (await read(other, "i")).messages] == ids

    async def test_a_commit_that_conflicts_consumes_nothing(self, store: Store) -> None:
        # N-07
        await put(store, "i", FIRST)
        await store.send(message("i", "m"))
        with pytest.raises(Conflict):
            await store.commit("i", replace(NEXT, seq=3, acks=("m",)))
        assert await unread(store, "i") == ["m"]

        await put(store, "i", replace(NEXT, acks=("m",)))

        assert await unread(store, "i") == []

    async def test_an_inbox_waits_for_its_instance(self, store: Store) -> None:
        # N-07
        assert await store.send(message("i", "m"))
        assert await store.load("i") is None
        assert await due(store, NOW) == []

        await put(store, "i", SUSPENDED)

        assert [m.id for m in (await read(store, "i")).messages] == ["m"]
        assert await due(store, NOW) == ["i"]

    async def test_restored_messages_are_back_in_their_places(
        self, store: Store
    ) -> None:
        # N-07
        await put(store, "i", FIRST)
        for message_id in ("1", "2", "3", "4"):
            await store.send(message("i", message_id, body=message_id.encode()))
        await put(store, "i", replace(NEXT, acks=("1", "2", "3")))
        back = replace(
            SUSPENDED,
            seq=3,
            restored=("3", "1", "never heard of"),
            restored_bodies=(b"three", b"", b"x"),
        )
        await put(store, "i", back)

        shown = [(m.id, m.name, m.body) for m in await store.unread("i")]
        assert shown == [("1", "a", b""), ("3", "a", b"three"), ("4", "a", b"4")]
        assert await due(store, NOW) == ["i"]
        assert not await store.send(message("i", "1"))
        await put(store, "i", replace(NEXT, seq=4, acks=("3", "1")))
        assert await unread(store, "i") == ["4"]
        assert not await store.send(message("i", "3"))

    async def test_what_a_conflict_would_have_restored_stays_consumed(
        self, store: Store
    ) -> None:
        # N-07 N-02
        await store.send(message("i", "m"))
        await put(store, "i", replace(SUSPENDED, acks=("m",)))
        back = replace(SUSPENDED, seq=3, restored=("m",), restored_bodies=(b"body",))
        with pytest.raises(Conflict):
            await store.commit("i", back)

        assert await unread(store, "i") == []
        assert await due(store, NOW) == []

    async def test_a_restored_message_is_delayed_as_it_was(self, store: Store) -> None:
        # N-07 N-08
        await store.send(message("i", "m", at=NOW + 5))
        await put(store, "i", replace(FIRST, acks=("m",)))
        back = replace(SUSPENDED, seq=2, restored=("m",), restored_bodies=(b"body",))
        await put(store, "i", back)

        assert list(await store.unread("i")) == [message("i", "m", at=NOW + 5)]
        assert await due(store, NOW + 4) == []
        assert await due(store, NOW + 5) == ["i"]

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    async def test_what_has_ended_takes_no_messages(
        self, store: Store, status: Status
    ) -> None:
        # N-07
        await put(store, "i", FIRST)
        await store.send(message("i", "known"))
        own = (message("i", "to myself"),)
        await put(store, "i", replace(NEXT, status=status, sends=own))
        with pytest.raises(InstanceFinished):
            await store.send(message("i", "m"))
        sends = (message("i", "dropped"), message("peer", "kept"))
        await put(store, "other", replace(FIRST, sends=sends))

        assert not await store.send(message("i", "known"))
        assert await unread(store, "i") == ["known"]
        assert await unread(store, "peer") == ["kept"]

    async def test_two_that_write_to_each_other_lose_nothing(
        self, store: Store, other: Store
    ) -> None:
        # N-15
        rounds = self.many
        await put(store, "a", FIRST)
        await put(store, "b", FIRST)

        got: dict[str, list[str]] = {"a": [], "b": []}

        async def talk(each: Store, me: str, peer: str) -> None:
            for seq in range(2, 2 + rounds):
                acks = tuple(m.id for m in await each.unread(me))
                got[me] += acks
                sends = (message(peer, f"{me}{seq}"),)
                trims = seq % 20 == 0
                talks = replace(NEXT, seq=seq, acks=acks, sends=sends, snapshot=trims)
                await put(each, me, talks)

        await asyncio.gather(talk(store, "a", "b"), talk(other, "b", "a"))

        for me, peer in (("a", "b"), ("b", "a")):
            assert (await read(store, me)).head.seq == 1 + rounds
            got[me] += await unread(other, me)
            assert got[me] == [f"{peer}{seq}" for seq in range(2, 2 + rounds)]
