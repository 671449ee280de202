"""A proxy on loopback that makes the network between a store and its server bad.

    with proxying(server.port) as proxy:
        store = PostgresStore.from_url(url(proxy.port))
        proxy.delay = 0.03  # seconds, each way
        proxy.lose_answer(b"commit")
        …

It runs in a thread of its own, so it goes on whatever the loop of the test does, and
can be told things from anywhere. What it is told holds for all connections at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Self

from tests.servers.server import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

CHUNK = 64 * 1024
PATIENCE = 10.0
"""Seconds within which the proxy's thread does what it is told."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER such that closing sends RST."""


@dataclass(slots=True)
class Counts:
    """What has come by since the proxy was started."""

    connections: int = 0
    trips: int = 0
    """How often a client spoke after its server had, or first: round trips."""
    to_server: int = 0
    """Bytes, as they come in."""
    to_client: int = 0
    lost: int = 0
    """Answers that were lost by `lose_answer`."""


class Proxy:
    """Forwards to a port of this machine, as badly as it is told."""

    def __init__(self, target: int) -> None:
        """Forward to the port `target`; nothing runs yet."""
        self.port = 0
        self.delay = 0.0
        """Seconds that all bytes need more, each way, from now on."""
        self.counts = Counts()
        self._target = target
        self._thread = Thread(target=self._run, name="proxy", daemon=True)
        self._loop = asyncio.new_event_loop()
        self._place = socket.socket()
        self._listener: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._flows = asyncio.Event()
        self._sought: bytes | None = None

    def start(self) -> Self:
        """Listen on a port that the kernel chooses."""
        # Whoever binds and does not listen refuses connections, and keeps the port.
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind((LOOPBACK, 0))
        self.port = self._place.getsockname()[1]
        self._thread.start()
        self.flow()
        self.accept()
        return self

    def stop(self) -> None:
        """Cut all connections, and end; a second call does nothing."""
        if self._loop.is_closed():
            return
        self.refuse()
        self._do(self._ended)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        self._place.close()

    def hold(self) -> None:
        """Let nothing through; connections stay open, and new ones are taken."""
        self._do(self._held)

    def flow(self) -> None:
        """Let everything through, first what was held."""
        self._do(self._flowing)

    def cut(self) -> None:
        """End all connections by RST, both ways."""
        self._do(self._cut)

    def refuse(self) -> None:
        """Refuse new connections, as a port does on which nobody listens."""
        self._do(self._refused)

    def accept(self) -> None:
        """Take new connections."""
        self._do(self._accepted)

    def lose_answer(self, marker: bytes = b"") -> None:
        """Lose the answer to the next request with these bytes in it.

        The request gets through. What the server says from then on does not, and once
        it says something the client is cut off.
        """
        self._sought = marker

    @property
    def is_losing(self) -> bool:
        """Whether the request is yet to come of which the answer is to be lost."""
        return self._sought is not None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        async def doing() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(doing(), self._loop).result(PATIENCE)

    async def _held(self) -> None:
        self._flows.clear()

    async def _flowing(self) -> None:
        self._flows.set()

    async def _cut(self) -> None:
        for link in self._links:
            link.cut()

    async def _refused(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    async def _accepted(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, LOOPBACK, self.port, reuse_port=True
            )

    async def _ended(self) -> None:
        me = asyncio.current_task()
        while tasks := {task for task in asyncio.all_tasks() if task is not me}:
            await self._cut()
            await asyncio.wait(tasks, timeout=0.05)  # one may just be connecting

    async def _serve(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        self.counts.connections += 1
        try:
            answers, server = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            reset(client)
            return
        link = Link(client, server)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._forward(reader, server, link.ask, link),
                self._forward(answers, client, link.answer, link),
            )
        finally:
            self._links.discard(link)
            client.close()
            server.close()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        see: Callable[[Proxy, bytes], bool],
        link: Link,
    ) -> None:
        """Forward one way until that ends; `see` tells what gets through."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivering = asyncio.ensure_future(self._deliver(chunks, writer))
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if see(self, chunk):
                    chunks.put_nowait((self._loop.time() + self.delay, chunk))
        chunks.put_nowait((self._loop.time() + self.delay, b""))
        if link.is_cut:
            delivering.cancel()
        await asyncio.wait({delivering})

    async def _deliver(
        self, chunks: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError, RuntimeError):  # it has ended there
            while True:
                due, chunk = await chunks.get()
                await asyncio.sleep(due - self._loop.time())
                await self._flows.wait()
                if not chunk:
                    writer.write_eof()
                    return
                writer.write(chunk)
                await writer.drain()

    def seeks(self, before: bytes, chunk: bytes) -> bool:
        """Whether this is the request of which the answer is to be lost; only once."""
        if self._sought is None:
            return False
        begun = before[max(0, len(before) - len(self._sought) + 1) :]
        if self._sought not in begun + chunk:
            return False
        self._sought = None
        return True


class Link:
    """A client's connection, and that to its server."""

    def __init__(
        self, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        """Begin with nothing said."""
        self.is_cut = False
        self._client = client
        self._server = server
        self._asks = False
        """Whether the client spoke last."""
        self._loses = False
        """Whether no answer gets through any more."""
        self._last = b""

    def ask(self, proxy: Proxy, chunk: bytes) -> bool:
        """See what the client says."""
        proxy.counts.to_server += len(chunk)
        proxy.counts.trips += not self._asks
        self._asks = True
        if proxy.seeks(self._last, chunk):
            self._loses = True
        self._last = chunk
        return True

    def answer(self, proxy: Proxy, chunk: bytes) -> bool:
        """See what the server says."""
        proxy.counts.to_client += len(chunk)
        self._asks = False
        if not self._loses:
            return True
        if not self._client.transport.is_closing():
            proxy.counts.lost += 1
            reset(self._client)  # the server reads on: all requests get through
        return False

    def cut(self) -> None:
        """End both connections by RST."""
        self.is_cut = True
        reset(self._client)
        reset(self._server)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by RST."""
    there: socket.socket = writer.get_extra_info("socket")
    if there.fileno() >= 0:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


@contextmanager
def proxying(target: int) -> Generator[Proxy]:
    """Have a proxy before a port for the length of a block."""
    proxy = Proxy(target).start()
    try:
        yield proxy
    finally:
        proxy.stop()
