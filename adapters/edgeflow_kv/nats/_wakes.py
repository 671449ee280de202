"""Hints of NATS: whoever puts a wake that counts soon tells its key to all others."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgeflow_kv._keys import WAKES, wake_time

if TYPE_CHECKING:
    from edgeflow_kv.nats._link import Connection, Link

SOON = 1.0
"""Seconds in which a wake has to count: later ones are nobody's business yet."""


class NatsWakes:
    """A subscription on the link's connection, made anew with that."""

    def __init__(self, link: Link, bucket: str) -> None:
        """Hear of the wakes of a bucket; nothing of it is kept."""
        self._link = link
        self._subject = f"edgeflow.{bucket}.wakes"
        self._heard = asyncio.Event()
        self._on: Connection | None = None

    async def tell(self, key: str) -> None:
        """Let the others know of a key that was put, if they have to and can."""
        if key.startswith(WAKES) and wake_time(key) <= (time.time() + SOON) * 1000:
            with suppress(Exception):  # the key is there, and is found without a hint
                connection = await self._link.connected()
                await connection.client.publish(self._subject, key.encode())

    async def wait(self) -> None:
        """Wait until a wake is put that counts soon, or one may have been missed.

        Raises:
            StoreUnavailable: if no server can be reached.
        """
        connection = await self._link.connected()
        if self._on is not connection:
            await connection.client.subscribe(self._subject, cb=self._hear)
            self._on = connection
            return  # what came before was not heard
        hearing = asyncio.ensure_future(self._heard.wait())
        either: set[asyncio.Future[Any]] = {hearing, connection.lost}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hearing.cancel()
        self._heard.clear()

    async def _hear(self, _: Any) -> None:
        self._heard.set()
