"""Connections to Redis: one command is one round trip, sent once.

redis-py's own client would send a command again whose answer was lost, and a put that
is repeated says False of its own write. So the connections are used without it.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from hashlib import sha1
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from edgeflow.errors import OutcomeUnknown, StoreUnavailable
from edgeflow_kv._here import Here

if TYPE_CHECKING:
    from edgeflow_kv._urls import Address

CONNECTIONS = 16
"""How many commands are under way at once; others wait for their turn."""
PORT = 6379
READ_ONLY = "READONLY "
"""In what Redis 6 says of a script that a replica has refused."""
MOVED = re.compile(r"(?P<host>\S*):(?P<port>\d+)$")
"""How a node of a cluster names the one that has a slot."""


class Refused(StoreUnavailable):
    """The server has answered with an error: nothing was done."""

    def __init__(self, server: str, answer: Exception) -> None:
        """Keep the answer, and name the server."""
        self.answer = answer
        super().__init__(f"{server} refuses: {answer}")


class Script:
    """Lua that the server keeps by its digest."""

    def __init__(self, source: str, *, writes: bool = True) -> None:
        """Say what it does; the server learns it when it is first called."""
        self.source = source
        self.writes = writes
        self.digest = sha1(source.encode(), usedforsecurity=False).hexdigest()


class Link:
    """Connections to one server; in a cluster, to the one that has our slot."""

    def __init__(self, address: Address, timeout: float) -> None:
        """Connect to `address` when it is needed; each answer has `timeout` seconds."""
        self.here = Here()
        self._address = address
        self._timeout = timeout
        self._home = (address.host or "localhost", address.port or PORT)
        self._server = self._home
        self._idle: list[Any] = []
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._is_closed = False
        self._redis = _library()

    async def close(self) -> None:
        """Drop all connections, those in use as soon as they are not."""
        self._is_closed = True
        await self._drop()

    async def _drop(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def run(self, script: Script, keys: tuple[str, ...], *words: Any) -> Any:
        """Run a script, which reads and writes `keys` only."""
        arguments = (len(keys), *keys, *words)
        writes = script.writes
        try:
            return await self.call("EVALSHA", script.digest, *arguments, writes=writes)
        except Refused as error:
            if not isinstance(error.answer, self._redis.NoScriptError):
                raise
        # A server that was started anew, or another one: this teaches it, too.
        return await self.call("EVAL", script.source, *arguments, writes=writes)

    async def call(self, *words: Any, writes: bool = False) -> Any:
        """Send a command, and give its answer.

        Raises:
            Refused: if the server answers with an error; nothing was done.
            StoreUnavailable: if it cannot be reached; nothing was done.
            OutcomeUnknown: if the answer to a write was lost; it may have been done.
        """
        try:
            return await self._call(words, writes=writes)
        except Refused as error:
            if READ_ONLY in str(error.answer) or isinstance(
                error.answer, self._redis.ReadOnlyError
            ):
                self._server = self._home  # its name may lead to another one by now
                await self._drop()
            moved = self._moved(error.answer)
            if moved is None:
                raise
        self._server = (moved["host"] or self._server[0], int(moved["port"]))
        await self._drop()
        return await self._call(words, writes=writes)

    def _moved(self, answer: Exception) -> re.Match[str] | None:
        """Tell which node an answer names as the one that has the slot."""
        # redis-py before 6 leaves the word in the text, and the class to clusters.
        is_that = isinstance(answer, self._redis.MovedError)
        is_that = is_that or str(answer).startswith("MOVED ")
        return MOVED.search(str(answer)) if is_that else None

    async def _call(self, words: tuple[Any, ...], *, writes: bool) -> Any:
        async with self._places:
            connection = await self._connected()
            is_clean = False
            try:
                async with asyncio.timeout(self._timeout):
                    await connection.send_command(*words)
                    answer = await connection.read_response()
                is_clean = True
            except self._redis.ResponseError as error:
                is_clean = True
                raise Refused(self._shown, error) from error
            except self._redis.AuthenticationError as error:  # not one of those
                raise Refused(self._shown, error) from error
            except self._redis.BusyLoadingError as error:
                raise StoreUnavailable(f"{self._shown} is starting: {error}") from error
            except (self._redis.RedisError, OSError) as error:  # a timeout, too
                kind = OutcomeUnknown if writes else StoreUnavailable
                lost = f"the answer of {self._shown} is lost: {self._told(error)}"
                raise kind(lost) from error
            finally:
                if is_clean and not self._is_closed:
                    self._idle.append(connection)
                else:  # nobody may read a late answer
                    await connection.disconnect(nowait=True)
        return answer

    async def _connected(self) -> Any:
        """Take a connection that nobody uses, or make one."""
        while self._idle:
            connection = self._idle.pop()
            if await _is_quiet(connection):
                return connection
        return await self.connect()

    async def connect(self) -> Any:
        """Make a connection of one's own.

        Raises:
            StoreUnavailable: if that fails; says why.
        """
        connection = self._made()
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()
        except (self._redis.RedisError, OSError) as error:
            away, self._server = self._server, self._home
            raise StoreUnavailable(
                f"no connection to {self._shown}, at {away[0]}:{away[1]}: "
                f"{self._told(error)}"
            ) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    def _made(self) -> Any:
        address, library = self._address, import_module("redis.asyncio.connection")
        is_safe = address.scheme == "rediss"
        kind = library.SSLConnection if is_safe else library.Connection
        options: dict[str, Any] = dict.fromkeys(_silence(library))
        if is_safe:
            files = {k: v for k, v in address.options.items() if k.startswith("ssl_")}
            options |= {"ssl_check_hostname": True, **files}
        return kind(
            host=self._server[0],
            port=self._server[1],
            db=int(address.path or 0),
            username=address.user or None,
            password=address.password or None,
            socket_timeout=None,
            socket_connect_timeout=self._timeout,
            protocol=2,
            **options,
        )

    @property
    def _shown(self) -> str:
        return self._address.shown

    def _told(self, error: Exception) -> str:
        is_late = isinstance(error, TimeoutError)
        return f"it took more than {self._timeout:g} s" if is_late else str(error)


def _library() -> Any:
    try:
        return import_module("redis.exceptions")
    except ImportError as error:
        raise StoreUnavailable(
            f"a store in Redis needs redis-py, which cannot be imported ({error}): "
            "pip install 'edgeflow-durable[redis]'"
        ) from error


def _silence(library: Any) -> list[str]:
    """Name what has to be None, or a connection begins with telling its client."""
    known = signature(library.AbstractConnection.__init__).parameters
    return ["driver_info"] if "driver_info" in known else ["lib_name", "lib_version"]


async def _is_quiet(connection: Any) -> bool:
    """Whether the server has neither closed a connection nor said anything more.

    If it has, or nobody knows, the connection is dropped.
    """
    look = getattr(connection, "can_read", None) or connection.can_read_destructive
    is_quiet = False
    try:
        with suppress(Exception):
            is_quiet = not await look()
    finally:
        if not is_quiet:
            await connection.disconnect(nowait=True)
    return is_quiet
