"""One connection to NATS at a time: each request is sent once, and never held back.

nats-py's own reconnection would send what it holds once more, when its writer has long
read that nothing is there. So a connection is used until it ends, and a new one made.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgeflow.errors import OutcomeUnknown, StoreUnavailable
from edgeflow_kv._here import Here

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeflow_kv._urls import Address

log = logging.getLogger("edgeflow")

PORT = 4222
PAUSE = 0.1
"""Seconds until somebody may have begun to lead."""
API = "$JS.API."


class Refused(StoreUnavailable):
    """JetStream has answered with an error: nothing was done."""

    def __init__(self, code: int, text: str) -> None:
        """Carry the code, as <https://docs.nats.io> lists them."""
        self.code = code
        super().__init__(f"JetStream answers: {text} (error {code})")


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """A client of nats-py, which does not reconnect."""

    client: Any
    lost: asyncio.Future[None]
    """Done once the connection has ended."""

    @property
    def is_there(self) -> bool:
        """Whether it has not ended, as far as this end of it knows."""
        return not (self.lost.done() or self.client.is_closed)

    @property
    def version(self) -> tuple[int, int]:
        """The server's."""
        found = self.client.connected_server_version
        return found.major or 0, found.minor or 0


class Link:
    """A connection to one of several servers, made anew when it is needed."""

    def __init__(
        self,
        servers: Sequence[Address],
        timeout: float,
        options: Mapping[str, object],
    ) -> None:
        """Connect when it is needed; each answer has `timeout` seconds."""
        self.errors = _library()
        self.here = Here()
        self._servers = list(servers)
        self._timeout = timeout
        self._options = options
        self._connection: Connection | None = None
        self._making: asyncio.Task[Connection] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def close(self) -> None:
        """Disconnect, for good."""
        self._is_closed = True
        if (making := self._making) is not None:
            making.cancel()
            await asyncio.wait({making})
        connection, self._connection = self._connection, None
        if connection is not None:
            await _end(connection.client)
        await asyncio.gather(*self._ending)

    async def connected(self) -> Connection:
        """Give the connection, or make one; all that wait share the attempt.

        Raises:
            StoreUnavailable: if no server can be reached, or it is closed.
        """
        connection = self._connection
        if connection is not None and connection.is_there:
            return connection
        if self._is_closed:
            raise StoreUnavailable(f"{self.shown} is closed")
        if self._making is None:
            self._making = asyncio.ensure_future(self._connect())
            self._making.add_done_callback(self._made)
        return await asyncio.shield(self._making)

    def _made(self, making: asyncio.Task[Connection]) -> None:
        if self._making is making:
            self._making = None
        if not making.cancelled() and making.exception() is None:
            self._connection = making.result()

    async def _connect(self) -> Connection:
        last: Exception | None = None
        for _ in self._servers:
            try:
                return await self._reach(self._servers[0])
            except Exception as error:
                last = error
                self._servers.append(self._servers.pop(0))
        raise StoreUnavailable(f"no connection to {self.shown}: {told(last)}") from last

    async def _reach(self, server: Address) -> Connection:
        client = import_module("nats.aio.client").Client()
        connection = Connection(client, asyncio.get_running_loop().create_future())

        async def gone() -> None:
            self._gone(connection)

        try:
            async with asyncio.timeout(self._timeout):
                await client.connect(
                    servers=[reached(server)],
                    **_login(server),
                    name="edgeflow",
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=self._timeout,
                    ping_interval=self._timeout,
                    max_outstanding_pings=1,
                    pending_size=0,
                    no_echo=True,
                    error_cb=_hear,
                    disconnected_cb=gone,
                    **self._options,
                )
        except BaseException:
            await _end(client)
            raise
        # Else the first loss would end its reader with an error that nobody hears.
        client.options["allow_reconnect"] = True
        return connection

    def _gone(self, connection: Connection) -> None:
        """Let all that wait know of a loss, and nothing be sent later.

        Raises:
            CancelledError: if nats-py is about to reconnect: that ends its attempt.
        """
        client = connection.client
        if not connection.lost.done():
            connection.lost.set_result(None)
        if client.is_reconnecting:
            ending = asyncio.ensure_future(_end(client))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            raise asyncio.CancelledError

    async def ask(
        self, subject: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> bytes:
        """Send a request, and give its answer.

        It is sent once, and again only if nobody was there to take it: a cluster that
        has lost a server needs some seconds to choose who leads a stream.

        Raises:
            StoreUnavailable: if it was not sent, or nobody was there to take it.
            OutcomeUnknown: if the answer was lost; it may have been done.
        """
        clock = asyncio.get_running_loop()
        give_up = clock.time() + self._timeout
        while True:
            try:
                return await self._ask(subject, body, headers)
            except self.errors.NoRespondersError as error:
                if clock.time() >= give_up:
                    why = "the stream has no leader, or the server no JetStream"
                    text = f"nobody answers at {self.shown}: {why}"
                    raise StoreUnavailable(text) from error
            await asyncio.sleep(PAUSE)

    async def _ask(
        self, subject: str, body: bytes, headers: dict[str, str] | None
    ) -> bytes:
        connection = await self.connected()
        request = connection.client.request(
            subject, body, timeout=self._timeout, headers=headers
        )
        asking = asyncio.ensure_future(request)
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({asking, connection.lost}, return_when=first)
            if asking.done():
                answer: bytes = asking.result().data
                return answer
        except self.errors.NoRespondersError:
            raise
        except (
            self.errors.ConnectionClosedError,
            self.errors.OutboundBufferLimitError,
        ) as error:
            raise StoreUnavailable(f"no connection to {self.shown}: {error}") from error
        except Exception as error:
            raise OutcomeUnknown(self._lost(told(error))) from error
        finally:
            asking.cancel()
        raise OutcomeUnknown(self._lost("the connection has ended"))

    async def api(self, call: str, **body: object) -> dict[str, Any]:
        """Call JetStream's API, and give its answer.

        Raises:
            Refused: if it answers with an error; nothing was done.
            StoreUnavailable: if it cannot be reached; nothing was done.
            OutcomeUnknown: if the answer was lost; it may have been done.
        """
        sent = json.dumps(body).encode() if body else b""
        return answered(await self.ask(API + call, sent))

    async def read(self, call: str, **body: object) -> dict[str, Any]:
        """Call what changes nothing, so that a lost answer is no question.

        Raises:
            Refused: if it answers with an error.
            StoreUnavailable: if it cannot be reached.
        """
        try:
            return await self.api(call, **body)
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error

    def _lost(self, why: str) -> str:
        return f"the answer of {self.shown} is lost: {why}"

    @property
    def shown(self) -> str:
        """The servers, without passwords."""
        return ", ".join(sorted(server.shown for server in self._servers))


def answered(data: bytes) -> dict[str, Any]:
    """Read an answer of JetStream.

    Raises:
        Refused: if it is an error.
    """
    answer: dict[str, Any] = json.loads(data)
    if error := answer.get("error"):
        raise Refused(error.get("err_code", 0), error.get("description", ""))
    return answer


def told(error: BaseException | None) -> str:
    """Say what an exception says, or what it is."""
    return str(error) or type(error).__name__


def reached(server: Address) -> str:
    """Write how nats-py reaches a server; without the login."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"nats://{host}:{server.port or PORT}"


def _login(server: Address) -> dict[str, str]:
    if server.password:
        return {"user": server.user, "password": server.password}
    return {"token": server.user} if server.user else {}


async def _hear(error: Exception) -> None:
    """Take what nats-py tells on the side; who asked hears of it from its answer."""
    log.debug("NATS: %s", told(error))


async def _end(client: Any) -> None:
    """Close a client; a connection that takes nothing any more holds nobody up."""
    if not client.is_connected:  # what it has kept back would fail, and stop it midway
        client._pending, client._pending_data_size = [], 0  # noqa: SLF001  no other way
    with suppress(Exception):
        async with asyncio.timeout(1):
            await client.close()


def _library() -> Any:
    try:
        return import_module("nats.errors")
    except ImportError as error:
        raise StoreUnavailable(
            f"a store in NATS needs nats-py, which cannot be imported ({error}): "
            "pip install 'edgeflow-durable[nats]'"
        ) from error
