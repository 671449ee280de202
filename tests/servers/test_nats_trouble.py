from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import OutcomeUnknown, StoreUnavailable
from edgeflow_kv import KVStore
from edgeflow_kv.nats import NatsKV
from edgeflow_kv.nats._link import Link
from edgeflow_kv.nats._url import parse
from tests.servers.nats import Nats, url
from tests.servers.nats_kv import PATIENCE, bucket, client, opened
from tests.servers.proxy import Proxy, proxying
from tests.servers.server import serving
from tests.stores.programs import Programs, finish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgeflow.store import Loaded
    from tests.servers.server import Server

SHORT = 1.0
"""Seconds within which the stores that meet a black hole await an answer."""


@pytest.fixture
def proxy(nats_server: Server) -> Iterator[Proxy]:
    with proxying(nats_server.port) as made:
        yield made


@pytest.fixture
def address(proxy: Proxy, tmp_path: Path) -> str:
    return f"{url(proxy.port)}?bucket={bucket(tmp_path)}"


async def until_there(kv: NatsKV, key: str) -> bytes:
    """Wait until a key has a value, whatever the network does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(StoreUnavailable):
            value = await kv.get(key)
            if value is not None:
                return value
    pytest.fail(f"{key} has not come")


# The network


@pytest.mark.parametrize("if_absent", [False, True])
async def test_a_lost_answer_is_neither_taken_for_a_win_nor_for_a_defeat(
    proxy: Proxy, address: str, *, if_absent: bool
) -> None:
    # N-06
    async with opened(address) as kv:
        proxy.lose_answer(b".k")
        with pytest.raises(OutcomeUnknown, match=r"the answer of nats://.* is lost"):
            await kv.put("k", b"v", if_absent=if_absent)

        assert proxy.counts.lost == 1
        assert await until_there(kv, "k") == b"v"
        assert not await kv.put("k", b"w", if_absent=True)


async def test_a_lost_answer_to_a_removal_is_unknown_and_to_a_read_is_nothing(
    proxy: Proxy, address: str
) -> None:
    # N-06
    async with opened(address) as kv:
        await kv.put("k", b"v")
        proxy.lose_answer(b".k")
        with pytest.raises(StoreUnavailable, match="is lost"):
            await kv.get("k")
        proxy.lose_answer(b"STREAM.INFO")
        with pytest.raises(StoreUnavailable, match="is lost"):
            await kv.scan("k")
        proxy.lose_answer(b".k")
        with pytest.raises(OutcomeUnknown, match="is lost"):
            await kv.delete("k")


async def test_all_that_wait_hear_at_once_that_a_connection_was_cut(
    proxy: Proxy, address: str
) -> None:
    async with opened(f"{address}&timeout=9") as kv:
        proxy.hold()
        puts = [asyncio.ensure_future(kv.put(f"k{n}", b"")) for n in range(20)]
        await asyncio.wait(puts, timeout=0.05)
        before = time.monotonic()
        connections = proxy.counts.connections
        proxy.cut()
        found = await asyncio.gather(*puts, return_exceptions=True)

        assert time.monotonic() - before < 5
        assert {type(each) for each in found} == {OutcomeUnknown}
        proxy.flow()
        await asyncio.gather(*(kv.put(f"k{n}", b"") for n in range(20)))
        assert proxy.counts.connections == connections + 1


async def test_what_cannot_be_sent_is_not_sent_later_either(
    proxy: Proxy, address: str
) -> None:
    # N-06
    async with opened(address) as kv:
        proxy.refuse()
        proxy.cut()
        told: list[BaseException] = []
        while not told or isinstance(told[-1], OutcomeUnknown):
            with pytest.raises((OutcomeUnknown, StoreUnavailable)) as caught:
                await kv.put(f"k{len(told)}", b"v")
            told.append(caught.value)
        assert "no connection" in str(told[-1])
        proxy.accept()
        await kv.put("after", b"v")

        assert [key for key, _ in await kv.scan("")] == ["after"]


async def test_a_black_hole_is_left_in_time_and_what_comes_out_of_it_is_no_harm(
    proxy: Proxy, address: str
) -> None:
    # N-06
    async with opened(f"{address}&timeout={SHORT}") as kv:
        proxy.hold()
        before = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="is lost"):  # or pings end it first
            await kv.put("k", b"late", if_absent=True)
        with pytest.raises(StoreUnavailable):
            await kv.get("k")
        assert time.monotonic() - before < PATIENCE
        proxy.flow()

        with suppress(OutcomeUnknown, StoreUnavailable):
            await kv.put("k", b"again", if_absent=True)
        assert await until_there(kv, "k") in {b"late", b"again"}


async def test_a_connection_that_leads_nowhere_is_given_up(
    proxy: Proxy, address: str, nats_server: Server
) -> None:
    async with opened(f"{address}&timeout={SHORT}") as kv:
        connections = proxy.counts.connections
        proxy.hold()
        deadline = time.monotonic() + PATIENCE
        while proxy.counts.connections == connections:
            assert time.monotonic() < deadline
            with pytest.raises(StoreUnavailable):
                await kv.get("k")
        proxy.flow()
        await until_written(kv)


async def until_written(kv: NatsKV) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OutcomeUnknown, StoreUnavailable):
            await kv.put("k", b"v")
            return
    pytest.fail("it has not come back")


async def test_a_store_is_opened_again_on_another_loop(
    nats_server: Server, tmp_path: Path
) -> None:
    store = KVStore(NatsKV(f"{url(nats_server.port)}?bucket={bucket(tmp_path)}"))

    async def use() -> None:
        await store.open()
        await store.kv.put("k", b"v")
        await store.close()

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, use())


# The server


async def test_a_server_that_is_killed_keeps_all_that_it_has_answered() -> None:
    # N-05 N-16
    with serving(Nats()) as server:
        acknowledged: list[str] = []
        tries: list[str] = []
        is_over = asyncio.Event()

        async def write(kv: NatsKV, who: int) -> None:
            number = 0
            while not is_over.is_set():
                key = f"k/{who}/{number:06}"
                tries.append(key)
                try:
                    await kv.put(key, key.encode(), if_absent=True)
                except (OutcomeUnknown, StoreUnavailable):
                    await asyncio.sleep(0)  # it is away
                else:
                    acknowledged.append(key)
                number += 1

        async def more(count: int) -> None:
            wanted = len(acknowledged) + count
            deadline = time.monotonic() + PATIENCE
            while len(acknowledged) < wanted:
                assert time.monotonic() < deadline
                await asyncio.sleep(0)

        async with opened(url(server.port)) as kv, opened(url(server.port)) as other:
            writers = [
                asyncio.ensure_future(write((kv, other)[n % 2], n)) for n in range(8)
            ]
            for _ in range(3):
                await more(100)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            await more(100)
            is_over.set()
            await asyncio.gather(*writers)
            found = dict(await kv.scan("k/"))

    assert {*acknowledged} <= {*found} <= {*tries}
    assert all(value == key.encode() for key, value in found.items())


class Plain(Nats):
    """Has no JetStream."""

    def command(self, folder: Path, port: int) -> list[str]:
        words = super().command(folder, port)
        config = folder / "nats.conf"
        lines = config.read_text("utf-8").splitlines()
        kept = [line for line in lines if not line.startswith("jetstream")]
        config.write_text("\n".join(kept), "utf-8")
        return words


async def test_a_server_without_jetstream_is_told_of() -> None:
    with serving(Plain()) as server:
        store = NatsKV.from_url(f"{url(server.port)}?timeout={SHORT}")
        with pytest.raises(StoreUnavailable, match="the server no JetStream"):
            await store.open()


async def test_a_stream_without_a_leader_is_waited_for(
    proxy: Proxy, address: str, tmp_path: Path
) -> None:
    name = bucket(tmp_path)
    async with opened(address) as kv, client(address) as jetstream:
        await jetstream.delete_stream(f"KV_{name}")  # as if nobody led it
        before = proxy.counts.to_server
        put = asyncio.ensure_future(kv.put("k", b"v", if_absent=True))
        while proxy.counts.to_server < before + 100:  # noqa: ASYNC110  of a thread
            await asyncio.sleep(0)
        await jetstream.create_key_value(bucket=name)

        assert await put
        assert await kv.get("k") == b"v"


async def test_who_asks_once_it_is_closed_connects_no_more(
    proxy: Proxy, address: str
) -> None:
    # Such as a read of several that went on when another one failed
    link = Link(parse(address).servers, SHORT, {})
    await link.connected()
    await link.close()

    with pytest.raises(StoreUnavailable, match="is closed"):
        await link.ask("anybody")

    assert proxy.counts.connections == 1


# Processes

PRELUDE = """
import asyncio, os, sys
from dataclasses import replace
from edgeflow.store import Commit, Envelope
from edgeflow_kv.nats import NatsKV

START = Commit(seq=1, frames=(b"f",), token=b"t", workflow="w", status="running",
               due=1.0, now=1.0)
store = NatsKV.from_url(sys.argv[1])
"""
PROGRAMS = Programs(PRELUDE)


async def load(made: str, *instances: str) -> list[Loaded]:
    store = NatsKV.from_url(made)
    await store.open()
    found = [await store.load(instance) for instance in instances]
    await store.close()
    return [loaded for loaded in found if loaded is not None]


@pytest.mark.timeout(120)
async def test_processes_that_write_to_each_other_lose_nothing(
    nats_server: Server, tmp_path: Path
) -> None:
    # N-15
    script = """
        me, peer, rounds = sys.argv[2], sys.argv[3], int(sys.argv[4])

        async def main():
            await store.open()
            got = 0
            for seq in range(1, rounds + 1):
                acks = tuple(m.id for m in await store.unread(me))
                got += len(acks)
                message = Envelope(peer, f"{me}{seq}", "n", b"body")
                commit = replace(START, seq=seq, acks=acks, sends=(message,),
                                 snapshot=seq % 20 == 0)
                for each in (await store.commit(me, commit)).undelivered:
                    assert await store.send(each)
            await store.close()
            os.write(1, str(got).encode())

        asyncio.run(main())
        """
    rounds = 60
    ring = ["a", "b", "c", "d"]
    made = f"{url(nats_server.port)}?bucket={bucket(tmp_path)}"
    processes = [
        PROGRAMS.start(script, made, me, peer, rounds)
        for me, peer in zip(ring, [*ring[1:], ring[0]], strict=True)
    ]
    got = [int(await asyncio.to_thread(finish, process)) for process in processes]

    after = await load(made, *ring)
    assert [loaded.head.seq for loaded in after] == [rounds] * 4
    left = [len(loaded.messages) for loaded in after]
    assert [a + b for a, b in zip(got, left, strict=True)] == [rounds] * 4


async def test_what_was_answered_is_there_though_its_process_was_killed_at_once(
    nats_server: Server, tmp_path: Path
) -> None:
    # N-16
    made = f"{url(nats_server.port)}?bucket={bucket(tmp_path)}"
    script = """
        async def main():
            await store.open()
            await store.commit("i", START)
            os.kill(os.getpid(), 9)

        asyncio.run(main())
        """
    process = PROGRAMS.start(script, made)
    assert await asyncio.to_thread(process.wait, 30) == -signal.SIGKILL
    process.communicate()

    assert [loaded.head.seq for loaded in await load(made, "i")] == [1]


@pytest.mark.parametrize("end", ["", "; del store"])
async def test_an_unclosed_store_does_not_hang_the_interpreter(
    nats_server: Server, tmp_path: Path, end: str
) -> None:
    # N-16
    made = f"{url(nats_server.port)}?bucket={bucket(tmp_path)}"
    script = """
        async def main():
            await store.open()
            await store.commit("i", START)

        asyncio.run(main())
        """
    process = PROGRAMS.start(dedent(script).rstrip() + end, made)
    assert await asyncio.to_thread(process.wait, 30) == 0
    process.communicate()

    assert [loaded.head.seq for loaded in await load(made, "i")] == [1]
