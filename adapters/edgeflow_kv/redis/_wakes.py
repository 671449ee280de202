"""Hints of Redis: whoever puts a wake publishes its key."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from edgeflow_kv._keys import wake_time

if TYPE_CHECKING:
    from edgeflow_kv.redis._link import Link

QUIET = 30.0
"""Seconds of silence after which the server is asked whether it is there."""
SOON = 1.0
"""Seconds in which a wake has to count: later ones are nobody's business yet."""


class RedisWakes:
    """A connection that hears of wakes: made when it is first needed, and anew."""

    def __init__(self, link: Link, channel: str, timeout: float) -> None:
        """Listen to `channel`; the server has `timeout` seconds for an answer."""
        self._link = link
        self._channel = channel
        self._timeout = timeout
        self._connection: Any = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Hear no more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def wait(self) -> None:
        """Wait until a wake is put that counts soon, or one may have been missed.

        Raises:
            StoreUnavailable: if the server cannot be reached.
        """
        async with self._turn:  # one connection is read by one at a time
            if self._connection is None:
                await self._subscribe()
                return  # what came before was not heard
            try:
                while not is_soon(await self._heard()):
                    pass
            except BaseException as error:
                await self.close()
                if not isinstance(error, Exception):
                    raise

    async def _subscribe(self) -> None:
        connection = await self._link.connect()
        try:
            await connection.send_command("SUBSCRIBE", self._channel)
            async with asyncio.timeout(self._timeout):
                await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection

    async def _heard(self) -> Any:
        """Give what the server says next.

        Raises:
            TimeoutError: if it says nothing, though it was asked.
        """
        connection = self._connection
        heard = await connection.read_response(timeout=QUIET)
        if heard is None:
            await connection.send_command("PING")
            async with asyncio.timeout(self._timeout):
                heard = await connection.read_response()
        return heard


def is_soon(heard: Any) -> bool:
    """Whether it is a message, and of a wake that counts soon."""
    if heard[0] != b"message":
        return False
    return wake_time(heard[2].decode()) <= (time.time() + SOON) * 1000
