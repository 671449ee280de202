"""Redis as a store when answers are lost, connections break and servers die."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from edgeflow.errors import Conflict, OutcomeUnknown, StoreError, StoreUnavailable
from edgeflow.store import Envelope
from edgeflow_kv import KVStore, MemoryKV
from edgeflow_kv.redis._wakes import is_soon
from tests.servers.proxy import proxying
from tests.servers.redis import Redis
from tests.servers.redis_store import START, command, kv_of, opened
from tests.servers.server import serving
from tests.stores.kv_faults import Rounds

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from tests.servers.server import Server

OPENS = replace(START, seq=2, token=b"other", opens=True, lease=30.0)
RESTS = replace(START, status="suspended", due=None, awaiting=("a",))


@pytest.fixture
def namespace(tmp_path: Path) -> str:
    return tmp_path.name


async def test_each_call_is_one_round_trip(
    redis_server: Server, namespace: str
) -> None:
    # N-18: the rounds of each thing that KVStore does, on the wire
    with proxying(redis_server.port) as proxy:
        inner = await opened(proxy.port, namespace)
        await kv_of(inner).scan("a/")  # the server learns a script when it is called
        await kv_of(inner).delete("a/k")
        kv = Rounds(cast("MemoryKV", inner.kv))
        store = KVStore(kv)

        async def rounds(call: Awaitable[object]) -> int:
            kv.names.clear()
            before = proxy.counts.trips
            await call
            trips = proxy.counts.trips - before
            assert trips == sum(map(len, kv.names)), kv.names
            return len(kv.names)

        await rounds(store.commit("i", START))
        assert await rounds(store.commit("i", OPENS)) == 3
        for seq in (3, 4):
            flush = replace(OPENS, seq=seq, opens=False)
            assert await rounds(store.commit("i", flush)) == 1
        assert await rounds(store.load("i")) == 2
        assert await rounds(store.send(Envelope("i", "m", "a", b"body"))) == 3
        assert await rounds(store.unread("i")) == 2
        rests = replace(RESTS, seq=5, token=b"other", acks=("m",))
        assert await rounds(store.commit("i", rests)) == 3
        await store.send(Envelope("i", "n", "a", b"body"))
        assert await rounds(store.claim(1000.0, 1, 30.0, "w")) == 4
        await inner.close()


async def test_a_connection_begins_without_a_word(
    redis_server: Server, namespace: str
) -> None:
    with proxying(redis_server.port) as proxy:
        store = await opened(proxy.port, namespace)

        # INFO, CONFIG; EVALSHA, EVAL, EVALSHA and HGET: of the layout's key.
        assert proxy.counts.trips in {5, 6}
        assert proxy.counts.connections == 1
        await store.close()


async def test_a_server_that_forgot_the_scripts_learns_them_again(
    redis_server: Server, namespace: str
) -> None:
    store = await opened(redis_server.port, namespace)
    await store.commit("i", START)
    await command(store, "SCRIPT", "FLUSH")

    await store.commit("i", OPENS)

    loaded = await store.load("i")
    assert loaded is not None
    assert loaded.head.seq == 2
    await store.delete("i")
    await store.close()


async def test_a_write_whose_answer_is_lost_is_sent_once_and_settled(
    redis_server: Server, namespace: str
) -> None:
    # N-06 G5
    with proxying(redis_server.port) as proxy:
        store = await opened(proxy.port, namespace)
        kv = kv_of(store)
        await store.commit("i", START)

        proxy.lose_answer(b"EVALSHA")
        with pytest.raises(OutcomeUnknown, match=r"the answer of redis://.* is lost"):
            await kv.put("a/k", b"mine", if_absent=True)
        assert await kv.get("a/k") == b"mine"
        proxy.lose_answer(b"f/")
        await store.commit("i", OPENS)
        proxy.lose_answer(b"HGET")
        with pytest.raises(StoreUnavailable, match="is lost"):
            await kv.get("a/k")

        assert proxy.counts.lost == 3
        loaded = await store.load("i")
        assert loaded is not None
        assert [frame.seq for frame in loaded.frames] == [1, 2]
        await store.close()


async def test_silence_ends_after_the_timeout(
    redis_server: Server, namespace: str
) -> None:
    # N-06
    with proxying(redis_server.port) as proxy:
        store = await opened(proxy.port, namespace, "&timeout=1")
        kv = kv_of(store)
        proxy.hold()
        with pytest.raises(StoreUnavailable, match="took more than 1 s"):
            await kv.get("a/k")
        with pytest.raises(OutcomeUnknown, match="took more than 1 s"):
            await kv.put("a/k", b"v")
        proxy.cut()
        proxy.flow()

        await kv.put("a/k", b"later")

        assert await kv.get("a/k") == b"later"
        await store.close()


async def test_what_cannot_be_sent_is_certainly_not_written(
    redis_server: Server, namespace: str
) -> None:
    # N-06 G12
    with proxying(redis_server.port) as proxy:
        store = await opened(proxy.port, namespace)
        proxy.refuse()
        proxy.cut()
        with pytest.raises(StoreError):  # may see the end of the connection too late
            await kv_of(store).put("a/k", b"v")

        with pytest.raises(StoreUnavailable, match="no connection to redis://"):
            await store.commit("i", START)
        with pytest.raises(StoreUnavailable, match="no connection to redis://"):
            await store.hint()
        proxy.accept()

        await store.commit("i", START)
        await store.close()


async def test_a_cancelled_call_leaves_its_answer_to_nobody(
    redis_server: Server, namespace: str
) -> None:
    store = await opened(redis_server.port, namespace)
    kv = kv_of(store)
    for n in range(8):
        await kv.put(f"a/{n}", f"{n}".encode() * 10_000)

    for n in range(200):
        calls = [asyncio.ensure_future(kv.get(f"a/{m}")) for m in range(8)]
        for _ in range(n % 12):
            await asyncio.sleep(0)
        for call in calls[n % 3 :: 2]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for m, answer in enumerate(answers):
            expected = f"{m}".encode() * 10_000
            assert isinstance(answer, asyncio.CancelledError) or answer == expected
        assert await kv.get(f"a/{n % 8}") == f"{n % 8}".encode() * 10_000
    await store.close()


async def test_more_calls_than_connections_wait_for_their_turn(
    redis_server: Server, namespace: str
) -> None:
    with proxying(redis_server.port) as proxy:
        store = await opened(proxy.port, namespace)
        kv = kv_of(store)

        await asyncio.gather(*(kv.put(f"a/{n:03}", b"v") for n in range(200)))

        assert len(await kv.scan("a/")) == 200
        assert proxy.counts.connections <= 16
        closing = asyncio.gather(*(kv.get("a/000") for _ in range(20)))
        await asyncio.sleep(0)
        await store.close()
        await closing


async def test_large_scans_are_read_in_parts(
    redis_server: Server, namespace: str
) -> None:
    with proxying(redis_server.port) as proxy:
        store = await opened(proxy.port, namespace)
        kv = kv_of(store)
        small = [f"s/{n:04}" for n in range(2300)]
        large = [f"l/{n}" for n in range(4)]
        for start in range(0, 2300, 100):
            some = small[start : start + 100]
            await asyncio.gather(*(kv.put(key, key.encode()) for key in some))
        for key in large:
            await kv.put(key, b"x" * 3_000_000)

        async def keys(*arguments: Any) -> list[str]:
            return [key for key, _ in await kv.scan(*arguments)]

        assert await keys("s/") == small
        before = proxy.counts.trips
        assert await keys("s/", "s/0100", 2000) == small[100:2100]
        assert proxy.counts.trips == before + 2
        assert await keys("l/") == large
        assert proxy.counts.trips in {before + 4, before + 5}
        assert await keys("l/", None, 3) == large[:3]
        await store.close()


async def test_a_wake_is_hinted_at_in_other_processes(
    redis_server: Server, namespace: str
) -> None:
    # G10
    with proxying(redis_server.port) as proxy:
        listener = await opened(proxy.port, namespace)
        other = await opened(redis_server.port, namespace)
        await listener.hint()  # from now on it hears

        for n in range(3):
            hearing = asyncio.ensure_future(listener.hint())
            await asyncio.sleep(0)
            assert not hearing.done()
            await other.commit(f"i{n}", START)
            await hearing
        hearing = asyncio.ensure_future(listener.hint())
        await asyncio.sleep(0)
        proxy.cut()
        await hearing  # something may have been missed
        await listener.hint()
        await other.commit("again", START)
        await listener.hint()

        await listener.close()
        await other.close()


async def test_who_hears_nothing_for_long_asks_whether_anybody_is_there(
    redis_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeflow_kv.redis._wakes.QUIET", 0.05)
    with proxying(redis_server.port) as proxy:
        store = await opened(proxy.port, namespace, "&timeout=1")
        await store.hint()
        before = proxy.counts.trips
        hearing = asyncio.ensure_future(store.hint())
        while proxy.counts.trips < before + 3:
            await asyncio.wait({hearing}, timeout=0.02)
        assert not hearing.done()

        proxy.hold()

        await hearing
        await store.close()
        proxy.flow()


def test_wakes_of_later_are_nobodys_business_yet() -> None:
    now = time.time()
    for at, expected in ((0.0, True), (now, True), (now + 30, False)):
        key = f"w/{int(at * 1000):013d}/i/f.1.2"
        assert is_soon([b"message", b"channel", key.encode()]) is expected
    assert not is_soon([b"pong", b""])


async def test_nothing_that_was_answered_is_lost_with_the_server() -> None:
    # N-05 N-06 G5
    with serving(Redis()) as server:
        store = await opened(server.port, "ns", "&timeout=2")
        up = asyncio.Event()
        up.set()
        answered: dict[str, int] = {}
        troubles = 0

        async def write(instance: str) -> None:
            nonlocal troubles
            seq = 1
            while seq <= 150:
                await up.wait()
                try:
                    await store.commit(instance, replace(START, seq=seq))
                except (OutcomeUnknown, StoreUnavailable):
                    troubles += 1
                    await up.wait()
                    loaded = await store.load(instance)
                    seq = 1 if loaded is None else loaded.head.seq + 1
                    assert seq - 1 in {answered.get(instance, 0) + n for n in (0, 1)}
                    continue
                answered[instance] = seq
                seq += 1

        writing = [asyncio.ensure_future(write(f"i{n}")) for n in range(6)]
        for total in (100, 300, 600):
            while sum(answered.values()) < total:  # noqa: ASYNC110  the writers go on
                await asyncio.sleep(0)
            up.clear()
            server.kill()
            server.start()
            up.set()
        await asyncio.gather(*writing)

        assert troubles >= 3
        for n in range(6):
            loaded = await store.load(f"i{n}")
            assert loaded is not None
            assert [frame.seq for frame in loaded.frames] == list(range(1, 151))
        await store.close()


async def test_a_primary_that_was_demoted_is_left(namespace: str) -> None:
    # Whoever took over may have its name: so each call looks it up anew
    with serving(Redis()) as server, proxying(server.port) as proxy:
        store = await opened(proxy.port, namespace)
        admin = await opened(server.port, "admin")
        await command(admin, "REPLICAOF", "127.0.0.1", "1")
        before = proxy.counts.connections

        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="read only replica"):
                await store.commit("i", START)
        await command(admin, "REPLICAOF", "NO", "ONE")

        await store.commit("i", START)
        assert proxy.counts.connections >= before + 2
        await store.close()
        await admin.close()


async def test_what_redis_6_says_of_a_replica_is_understood(
    redis_server: Server, namespace: str
) -> None:
    said = "ERR Error running script (call to f_1): @user_script: 1: -READONLY You"
    with proxying(redis_server.port) as proxy:
        store = await opened(proxy.port, namespace)
        for connections in (1, 2):
            assert proxy.counts.connections == connections
            with pytest.raises(StoreUnavailable, match="READONLY"):
                await command(store, "EVAL", f"return redis.error_reply('{said}')", "0")
            await kv_of(store).get("a/k")
        await store.close()


async def test_what_is_there_is_not_started_by_two(
    redis_server: Server, namespace: str
) -> None:
    # N-02
    stores = [await opened(redis_server.port, namespace) for _ in range(2)]
    for n in range(50):
        rivals = [replace(START, token=bytes([m] * 16)) for m in range(2)]
        answers = await asyncio.gather(
            *(s.commit(f"i{n}", r) for s, r in zip(stores, rivals, strict=True)),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, Conflict) for answer in answers) == 1
    for store in stores:
        await store.close()
