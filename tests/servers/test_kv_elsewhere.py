"""Stores on connections that belong to another event loop, or to a parent process."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from tests.servers import nats, redis

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.server import Server

PRELUDE = """
import asyncio, gc, os, sys
from edgeflow.stores import store_from_url

store = store_from_url(sys.argv[1])
kv = store.kv

async def use(key):
    await store.open()
    await kv.put(key, b"v")
    await store.hint()

def leave():
    gc.collect()
    os.write(1, b"well")
    os._exit(0)  # nobody here tells what was left open
"""


@pytest.fixture(params=["redis", "nats"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    server: Server = request.getfixturevalue(f"{request.param}_server")
    if request.param == "redis":
        return f"{redis.url(server.port)}?ns={tmp_path.name}"
    return f"{nats.url(server.port)}?bucket={tmp_path.name}"


def run(script: str, address: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + dedent(script), address],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b"well", done.stderr.decode()


@pytest.mark.timeout(90)
def test_a_store_that_was_left_open_by_a_loop_is_opened_by_the_next(
    address: str,
) -> None:
    script = """
        async def again():
            await use("k/2")
            assert await kv.get("k/1") == b"v"
            await store.close()

        asyncio.run(use("k/1"))
        asyncio.run(again())
        leave()
        """
    run(script, address)


@pytest.mark.timeout(90)
def test_what_a_child_opens_anew_is_not_taken_from_its_parent(address: str) -> None:
    script = """
        async def child():
            await use("k/child")
            await store.close()
            gc.collect()

        async def main():
            await use("k/parent")
            pid = os.fork()
            if not pid:
                try:
                    asyncio.run(child())
                finally:
                    os._exit(9)
            os.waitpid(pid, 0)
            async with asyncio.timeout(4):  # it gives up after 5 s, and comes back
                assert await kv.get("k/parent") == b"v"
                assert await kv.get("k/child") == b"v"
            leave()

        asyncio.run(main())
        """
    run(script, address)
