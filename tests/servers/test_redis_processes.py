"""Redis as a store of several real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.redis import url
from tests.servers.redis_store import opened
from tests.stores.programs import Programs, finish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.server import Server

PRELUDE = """
import asyncio, os, sys
from dataclasses import replace
from edgeflow.store import Commit, Envelope
from edgeflow.stores import store_from_url

START = Commit(seq=1, frames=(b"f",), token=b"t", workflow="w", status="running",
               due=1.0, now=1.0, lease=30.0)
store = store_from_url(sys.argv[1])
"""
PROGRAMS = Programs(PRELUDE)


def address(server: Server, where: Path) -> str:
    return f"{url(server.port)}?ns={where.name}"


async def test_a_commit_that_was_acknowledged_outlives_its_process(
    redis_server: Server, tmp_path: Path
) -> None:
    # N-16
    PROGRAMS.kill_once_it_is_told(address(redis_server, tmp_path))

    store = await opened(redis_server.port, tmp_path.name)
    loaded = await store.load("i")
    assert loaded is not None
    assert loaded.head.seq == 1
    await store.close()
    await store.close()


def test_an_unclosed_store_does_not_hang_the_interpreter(
    redis_server: Server, tmp_path: Path
) -> None:
    # N-16
    script = """
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)

        async def main():
            await store.open()
            await store.commit("i", START)
            await store.hint()

        asyncio.run(main())
        os.write(1, b"ended")
        """

    assert finish(PROGRAMS.start(script, address(redis_server, tmp_path))) == b"ended"


async def test_four_processes_share_one_namespace(
    redis_server: Server, tmp_path: Path
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
                sends = (Envelope(peer, f"{me}{seq}", "n", b"body"),)
                done = await store.commit(me, replace(START, seq=seq, acks=acks,
                    snapshot=seq % 25 == 0, sends=sends))
                for message in done.undelivered:
                    await store.send(message)
            await store.close()
            os.write(1, str(got).encode())

        asyncio.run(main())
        """
    rounds, ring = 60, ["a", "b", "c", "d"]
    processes = [
        PROGRAMS.start(script, address(redis_server, tmp_path), me, peer, rounds)
        for me, peer in zip(ring, [*ring[1:], ring[0]], strict=True)
    ]
    got = [int(finish(process)) for process in processes]

    store = await opened(redis_server.port, tmp_path.name)
    for me, taken in zip(ring, got, strict=True):
        loaded = await store.load(me)
        assert loaded is not None
        assert loaded.head.seq == rounds
        assert taken + len(loaded.messages) == rounds
        assert len(await store.consumed(me)) == taken
    await store.close()
