"""How many round trips each call takes, counted on the wire."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.errors import Conflict, InstanceFinished
from edgeflow.store import Envelope, Query
from tests.servers.postgres_store import START, create_database, opened
from tests.servers.server import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine

    from edgeflow_postgres import PostgresStore
    from tests.servers.server import Server


class Wire:
    """Stands between client and server, and counts who has to wait for whom."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_asking = False
        self.turns = 0
        """How often the client spoke after the server had: the round trips."""
        self.answered = 0
        """How often the server was ready for the next question."""
        self._served: set[asyncio.Task[Any]] = set()

    async def ended(self) -> None:
        """Wait until all connections are closed."""
        if self._served:
            await asyncio.wait(self._served)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served.add(task)
        there, back = await asyncio.open_connection(LOOPBACK, self._server.port)
        await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
        for each in (back, writer):
            each.close()
            with suppress(ConnectionError):
                await each.wait_closed()

    async def _ask(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await client.read(65536):
                self.turns += not self._is_asking
                self._is_asking = True
                server.write(data)
                await server.drain()
            server.write_eof()

    async def _answer(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await server.readexactly(5)
                body = await server.readexactly(int.from_bytes(head[1:], "big") - 4)
                self._is_asking = False
                # https://www.postgresql.org/docs/current/protocol-message-formats.html
                self.answered += head[:1] == b"Z"
                client.write(head + body)
                await client.drain()

    async def during(self, call: Coroutine[object, object, object]) -> int:
        """Count the round trips of a call."""
        self.turns = self.answered = 0
        with suppress(Conflict, InstanceFinished):
            await call
        assert self.turns == self.answered
        return self.turns


@asynccontextmanager
async def wired(server: Server) -> AsyncGenerator[tuple[Wire, str]]:
    wire, address = Wire(server), create_database(server)
    async with await asyncio.start_server(wire.serve, LOOPBACK, 0) as proxy:
        port: int = proxy.sockets[0].getsockname()[1]
        there = address.replace(f":{server.port}/", f":{port}/")
        yield wire, f"{there}?sslmode=disable&gssencmode=disable"
        await wire.ended()


@pytest.fixture
async def wire_and_store(
    postgres_server: Server,
) -> AsyncIterator[tuple[Wire, PostgresStore]]:
    async with wired(postgres_server) as (wire, address), opened(address) as store:
        yield wire, store


async def test_opening_what_is_there_is_a_connection_and_one_question(
    postgres_server: Server,
) -> None:
    #
    async with wired(postgres_server) as (wire, address):
        async with opened(address) as store:
            pass

        assert await wire.during(store.open()) == 2

        assert await wire.during(store.open()) == 0
        await store.close()


async def test_a_commit_is_one_round_trip_whatever_is_in_it(
    wire_and_store: tuple[Wire, PostgresStore],
) -> None:
    # N-05 Q-05
    wire, store = wire_and_store
    everything = replace(
        START,
        seq=2,
        frames=(b"2", b"x" * 1_000_000, b""),
        snapshot=True,
        status="suspended",
        awaiting=("n",),
        acks=("a", "b"),
        restored=("c",),
        restored_bodies=(b"c",),
        sends=tuple(Envelope(to, "m", "n", b"body") for to in ("i", "j", "k")),
    )
    opens = replace(START, seq=5, token=b"other", opens=True)

    assert await wire.during(store.commit("i", START)) == 1
    for message_id in ("a", "b", "c"):
        await store.send(Envelope("i", message_id, "n", b"body"))
    assert await wire.during(store.commit("i", everything)) == 1
    assert await wire.during(store.commit("i", everything)) == 1  # a conflict
    assert await wire.during(store.commit("i", opens)) == 1
    assert [m.id for m in await store.unread("i")] == ["c", "m"]


async def test_every_other_call_is_one_round_trip_too(
    wire_and_store: tuple[Wire, PostgresStore],
) -> None:
    #
    wire, store = wire_and_store
    for seq in range(1, 30):
        await store.send(Envelope("i", f"m{seq}", "n", b"body"))
        await store.commit("i", replace(START, seq=seq, acks=(f"m{seq - 1}",)))
    await store.commit("done", replace(START, status="completed"))

    for call in (
        store.load("i"),
        store.load("nobody"),
        store.unread("i"),
        store.consumed("i"),
        store.send(Envelope("i", "m", "n", b"x" * 100_000)),
        store.send(Envelope("i", "m", "n", b"")),
        store.send(Envelope("done", "m", "n", b"")),
        store.claim(1, 10, 30, "w"),
        store.claim(1, 10, 30, "w"),
        store.renew("i", b"t", 1, 30),
        store.resume("i", b"t", 1, 30, "w"),
        store.resume("i", b"t", 1, 30, "another"),
        store.delete("i"),
        store.examine(),
    ):
        assert await wire.during(call) == 1


async def test_a_list_takes_one_round_trip_for_each_page(
    wire_and_store: tuple[Wire, PostgresStore],
) -> None:
    # N-14
    wire, store = wire_and_store
    await asyncio.gather(*(store.commit(f"i{n:03}", START) for n in range(300)))

    async def find(query: Query) -> None:
        assert len([head async for head in store.find(query)]) in {0, 300}

    assert await wire.during(find(Query())) == 2
    assert await wire.during(find(Query(status="failed"))) == 1


async def test_a_commit_without_the_loop_connects_once(
    wire_and_store: tuple[Wire, PostgresStore],
) -> None:
    # P-08
    wire, store = wire_and_store

    def commit(seq: int) -> Coroutine[object, object, object]:
        return asyncio.to_thread(store.commit_sync, "i", replace(START, seq=seq))

    assert await wire.during(commit(1)) == 2
    assert await wire.during(commit(2)) == 1
    assert await wire.during(commit(2)) == 2  # refused, and found to be there
