"""How many rounds of calls each thing takes, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict
from edgeflow.store import Commit, Envelope
from edgeflow_kv import KVStore, MemoryKV
from tests.stores.kv_faults import Rounds

if TYPE_CHECKING:
    from collections.abc import Awaitable

NOW = 1000.0
STARTS = Commit(
    seq=1,
    frames=(b"frame",),
    token=b"owner",
    workflow="flow",
    status="pending",
    due=NOW,
    now=NOW,
)
RUNS = replace(STARTS, status="running", lease=30.0)
OPENS = replace(RUNS, seq=2, token=b"other", opens=True)
RESTS = replace(STARTS, status="suspended", due=None, awaiting=("a",))


class Counted:
    """A store, and what it asks of its backend."""

    def __init__(self, kv: MemoryKV | None = None) -> None:
        self.kv = Rounds(kv or MemoryKV())
        self.store = KVStore(self.kv)

    async def during(self, call: Awaitable[object]) -> list[str]:
        """Say for each round what was called: "get", "scan", "put f", "delete w"…"""
        self.kv.names.clear()
        await call
        return [" ".join(sorted({_short(n) for n in r})) for r in self.kv.names]


def _short(name: str) -> str:
    words = name.split(" ")
    return " ".join([words[0], words[-1][0]]) if len(words) > 1 else name


async def test_a_load_takes_two_rounds_however_much_there_is() -> None:
    # Q-05 N-18
    counted = Counted()
    store = counted.store
    assert await counted.during(store.load("i")) == ["scan c scan h scan u", "scan f"]
    await store.commit("i", RUNS)
    for seq in range(2, 40):
        await store.send(Envelope("i", f"m{seq}", "a", b"body"))
        await store.commit("i", replace(RUNS, seq=seq))

    rounds = await counted.during(KVStore(counted.kv).load("i"))

    assert rounds == ["scan c scan h scan u", "get scan f"]
    rounds = await counted.during(store.unread("i"))
    assert rounds == ["scan h scan u", "get scan f"]


async def test_a_start_is_a_wake_and_a_frame_and_a_read() -> None:
    # N-18
    counted = Counted()
    rounds = await counted.during(counted.store.commit("i", STARTS))

    assert rounds == ["put w scan h", "put f", "scan f", "put h"]


async def test_a_start_of_what_is_there_leaves_nothing() -> None:
    # N-18
    counted = Counted()
    await counted.store.commit("i", RESTS)
    before = await counted.kv.scan("")

    with pytest.raises(Conflict):
        await KVStore(counted.kv).commit("i", STARTS)

    assert await counted.kv.scan("") == before


async def test_an_open_of_what_is_due_is_one_put_and_a_read() -> None:
    # N-18
    counted = Counted()
    await counted.store.commit("i", STARTS)
    await counted.store.claim(NOW, 1, 30.0, "w")
    opener = KVStore(counted.kv)
    await opener.load("i")

    rounds = await counted.during(opener.commit("i", OPENS))

    assert rounds[:2] == ["put f", "put w scan f"]
    assert rounds[2:] == ["delete h delete w put h"]


async def test_a_flush_between_open_and_rest_is_one_put() -> None:
    # N-18
    counted = Counted()
    store = counted.store
    await store.commit("i", STARTS)
    await store.commit("i", OPENS)
    flush = replace(OPENS, opens=False)

    for seq in range(3, 8):
        calls = counted.during(store.commit("i", replace(flush, seq=seq)))
        assert await calls == ["put f"]
    later = replace(flush, seq=8, now=NOW + 16)  # half of the lease is over
    assert (await counted.during(store.commit("i", later)))[0] == "put f"
    assert (await counted.during(store.commit("i", replace(later, seq=9)))) == ["put f"]


async def test_a_rest_is_safe_after_one_put_or_two() -> None:
    # N-18
    for due, first in (
        (None, ["put f"]),
        (NOW + 60, ["put f"]),
        (NOW + 1, ["put w", "put f"]),
    ):
        counted = Counted()
        await counted.store.commit("i", STARTS)
        await counted.store.commit("i", OPENS)
        rests = replace(RESTS, seq=3, token=b"other", due=due)

        rounds = await counted.during(counted.store.commit("i", rests))

        assert rounds[: len(first)] == first
        assert len(rounds) <= 3
        assert rounds[-1] == "delete h delete w put h"


async def test_what_is_consumed_takes_no_round_before_the_commit_is_safe() -> None:
    # N-18
    counted = Counted()
    store = counted.store
    await store.commit("i", STARTS)
    await store.commit("i", OPENS)
    for n in range(5):
        await store.send(Envelope("i", f"m{n}", "a", b"body"))
    await store.unread("i")
    acks = tuple(f"m{n}" for n in range(5))
    consumes = replace(OPENS, seq=3, opens=False, acks=acks)

    rounds = await counted.during(store.commit("i", consumes))

    assert rounds == ["put f", "put m", "delete u delete w"]


async def test_a_send_is_a_read_and_two_rounds() -> None:
    # N-18
    counted = Counted()
    await counted.store.commit("i", RESTS)

    for receiver in ("i", "unborn"):
        message = Envelope(receiver, "m", "a", b"body")
        rounds = await counted.during(counted.store.send(message))
        assert rounds == ["scan h", "put m", "put u put w"]


async def test_a_claim_takes_the_same_rounds_for_one_and_for_many() -> None:
    # N-18 N-09
    for number in (1, 30):
        counted = Counted()
        for n in range(number):
            await counted.store.commit(f"i{n}", STARTS)

        rounds = await counted.during(counted.store.claim(NOW, 50, 30.0, "w"))

        assert rounds == [
            "scan w",
            "scan c scan h",
            "scan f",
            "put c",
            "put w",
            "delete w",
        ]
    assert await counted.during(counted.store.claim(NOW, 50, 30.0, "w")) == ["scan w"]


async def test_a_history_leaves_few_keys() -> None:
    # N-13 G15
    kv = MemoryKV()
    store = KVStore(kv)
    await store.commit("i", RUNS)
    seq = 1
    for n in range(30):
        for _ in range(5):
            seq += 1
            await store.send(Envelope("i", f"m{seq}", "a", b"body"))
            acks = tuple(m.id for m in await store.unread("i"))
            last = replace(RUNS, seq=seq, acks=acks, snapshot=seq % 7 == 0, now=NOW + n)
            await store.commit("i", last)
        seq += 1
        await store.commit("i", replace(RESTS, seq=seq, due=NOW + n))
        await store.claim(NOW + n, 1, 30.0, "w")
        seq += 1
        opens = replace(OPENS, seq=seq, now=NOW + n, token=RUNS.token)
        await store.commit("i", opens)
    await store.commit("i", replace(RESTS, seq=seq + 1, snapshot=True, due=NOW))

    keys = [key for key, _ in await kv.scan("")]

    consumed = 150
    assert sorted(key[0] for key in keys) == ["f", "h", *"m" * consumed, "w"]
