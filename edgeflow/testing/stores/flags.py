"""What a store declares in its `Limits` is true, as far as one can see from outside.

`durable` promises something for a power cut or a failover: only the page of the
adapter can show that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeflow.errors import StoreUnavailable
from edgeflow.store import Query
from edgeflow.testing.stores.parts import (
    FIRST,
    HOUR,
    NEXT,
    NOW,
    SUSPENDED,
    deliver,
    due,
    frames,
    message,
    put,
    unread,
)
from edgeflow.testing.stores.source import StoreSource, unwrapped

if TYPE_CHECKING:
    from pathlib import Path

    from edgeflow.store import Store


class FlagCases(StoreSource):
    async def test_sends_join_their_commit_or_are_handed_back(
        self, store: Store, other: Store
    ) -> None:
        # N-07 N-08
        await put(store, "peer", SUSPENDED)
        sends = tuple(message(to, "m") for to in ("peer", "unborn", "sender"))
        commit = replace(FIRST, due=None, sends=sends)

        left = (await store.commit("sender", commit)).undelivered

        assert [m for m in sends if m in left] == list(left)
        assert bool(left) == (not store.limits.joins_sends), store.limits
        for sent in sends:
            there = [] if sent in left else [sent]
            assert list(await other.unread(sent.to)) == there
        assert await due(store, NOW) == [m.to for m in sends[:1] if m not in left]
        for _ in range(2):
            await deliver(other, left)
            for sent in sends:
                assert list(await store.unread(sent.to)) == [sent]
        assert await due(store, NOW) == ["peer"]

    async def test_what_is_handed_back_can_be_sent_after_the_sender_has_gone_on(
        self, store: Store, other: Store
    ) -> None:
        # N-07
        sends = (message("peer", "1"), message("peer", "2"), message("ended", "1"))
        await put(store, "ended", replace(FIRST, status="failed"))
        left = (await store.commit("i", replace(FIRST, sends=sends))).undelivered
        await put(store, "i", NEXT)
        await put(store, "peer", SUSPENDED)
        await put(store, "i", replace(NEXT, seq=3, status="completed"))

        await deliver(other, left)

        assert await unread(store, "peer") == ["1", "2"]
        assert await unread(store, "ended") == []
        assert await due(store, NOW) == ["peer"]

    async def test_data_outlive_the_store_object_or_not(
        self, store: Store, tmp_path: Path
    ) -> None:
        # N-16
        persistent = store.limits.persistent
        await put(store, "i", FIRST)
        await store.send(message("i", "m"))
        await store.close()
        again = await self.open_store(tmp_path)
        found = [head.instance async for head in again.find(Query())]
        arrived = await unread(again, "i")
        await again.close()

        assert found == (["i"] if persistent else []), store.limits
        assert arrived == (["m"] if persistent else []), store.limits

    async def test_several_processes_share_the_data_or_are_kept_apart(
        self, store: Store, other: Store, tmp_path: Path
    ) -> None:
        # N-01 N-16
        await put(store, "i", FIRST)
        assert await frames(other, "i") == [(1, b"first")]
        if store.limits.shared:
            assert unwrapped(other) is not unwrapped(store), store.limits
            return
        try:
            stranger = await self.open_store(tmp_path)
        except StoreUnavailable:
            return
        found = [head.instance async for head in stranger.find(Query())]
        await stranger.close()

        assert found == [], store.limits

    async def test_claims_and_leases_go_by_the_declared_clock(
        self, store: Store
    ) -> None:
        # N-09
        itself, wrong = unwrapped(store), NOW + HOUR
        own = store.limits.server_clock
        leased = replace(FIRST, due=NOW, lease=60)
        await put(store, "leased", leased)
        await put(store, "later", replace(SUSPENDED, due=NOW + 1))
        assert await due(store, NOW) == []

        taken = await itself.claim(wrong, 9, 0, "with a wrong clock")

        assert sorted(taken) == ([] if own else ["later", "leased"]), store.limits
        assert await itself.renew("leased", FIRST.token, wrong, 60)
        assert ("leased" in await due(store, NOW + 90)) == own, store.limits

    def test_promises_and_sizes_fit_together(self, store: Store) -> None:
        # N-11
        limits = store.limits
        assert limits.persistent or not limits.durable, limits
        assert 0 < limits.max_frame <= limits.max_group, limits
