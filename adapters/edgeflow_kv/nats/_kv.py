"""A KV in NATS JetStream: a bucket of files, in which each key is a subject."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from edgeflow.errors import StoreUnavailable, TooLarge
from edgeflow.store import MIB
from edgeflow_kv._kv import ROOM, value_limits
from edgeflow_kv._store import KVStore
from edgeflow_kv.nats import _bucket
from edgeflow_kv.nats._link import Link, Refused, answered
from edgeflow_kv.nats._subjects import Subjects
from edgeflow_kv.nats._url import parse
from edgeflow_kv.nats._wakes import NatsWakes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.store import Finding, Limits

HEADERS = 256
"""What a write needs beside its value, in bytes: the server counts both."""
BESIDE = 4096
"""What else a flush can hold when one of its frames is as large as can be, in bytes."""
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
WRONG_LAST = {10071, 10164}


class Opened(NamedTuple):
    """What there is between `open` and `close`."""

    link: Link
    subjects: Subjects
    wakes: NatsWakes


class NatsKV:
    """Values in one bucket of a server or cluster."""

    def __init__(self, url: str, **options: object) -> None:
        """Connect in `open`; `options` go to `nats.connect`, such as `tls`.

        Raises:
            ConfigError: if the URL cannot be read; shows the right form.
        """
        self.limits = _limits(MIB, durable=False)
        """As large as the server's `max_payload` lets them be, once `open` knows it."""
        self._place = parse(url)
        self._options = options
        self._opened: Opened | None = None

    @classmethod
    def from_url(cls, url: str) -> KVStore:
        """Make a store in NATS: `nats://host:4222?bucket=edgeflow&replicas=3`.

        Raises:
            ConfigError: if the URL cannot be read; shows the right form.
        """
        return KVStore(cls(url))

    async def open(self) -> None:
        """Connect, make the bucket if there is none, and look at how it is kept.

        Raises:
            StoreUnavailable: if it cannot be reached, or would lose values.
        """
        await self.close()
        link = Link(self._place.servers, self._place.timeout, self._options)
        try:
            self.limits = await self._fit(link)
        except BaseException:
            await link.close()
            raise
        bucket = self._place.bucket
        self._opened = Opened(link, Subjects(link, bucket), NatsWakes(link, bucket))

    async def close(self) -> None:
        """Disconnect; a second call does nothing."""
        opened, self._opened = self._opened, None
        if opened is not None and opened.link.here.is_still():
            await opened.link.close()
        elif opened is not None:
            opened.link.here.leave(opened)

    async def get(self, key: str) -> bytes | None:
        post = await self._open().subjects.last(key)
        return None if post is None else post.value

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        opened = self._open()
        most = self.limits.max_group + ROOM
        if len(value) > most:  # the server would end the connection
            raise TooLarge(len(value), most, "a value")
        if if_absent:
            if not await _create(opened, key, bytes(value)):
                return False
        else:
            answered(await opened.link.ask(opened.subjects.of(key), bytes(value)))
        await opened.wakes.tell(key)
        return True

    async def delete(self, key: str) -> None:
        opened = self._open()
        call = f"STREAM.PURGE.KV_{self._place.bucket}"  # it leaves nothing behind
        await opened.link.api(call, filter=opened.subjects.of(key))

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        return await self._open().subjects.scan(prefix, start or "", limit)

    async def hint(self) -> None:
        """Wait until another process puts a wake that counts soon, or may have.

        Raises:
            StoreUnavailable: if no server can be reached.
        """
        await self._open().wakes.wait()

    async def examine(self) -> Sequence[Finding]:
        """Look at the server's version, and at how the bucket is kept."""
        return (await _bucket.look(self._open().link, self._place)).findings()

    async def _fit(self, link: Link) -> Limits:
        """Give the limits that the server sets.

        Raises:
            StoreUnavailable: if no store may be there; says why.
        """
        bucket = await _bucket.look(link, self._place)
        payload = bucket.most((await link.connected()).client.max_payload)
        trouble = bucket.unfit()
        if payload < 2 * ROOM:
            trouble = (
                f"a message has {payload} bytes at most: raise the server's "
                "max_payload, or the bucket's max_msg_size"
            )
        if trouble:
            where = f"the bucket {self._place.bucket!r} at {link.shown}"
            raise StoreUnavailable(f"{where} is unfit for a store: {trouble}")
        return _limits(payload, durable=bucket.is_durable())

    def _open(self) -> Opened:
        if self._opened is None:
            shown = self._place.servers[0].shown
            raise StoreUnavailable(f"{shown} is not open: call open()")
        return self._opened


async def _create(opened: Opened, key: str, value: bytes) -> bool:
    """Put a value if there is none, whatever other tools left of an old one."""
    last = 0
    while True:
        try:
            headers = {EXPECTED: str(last)}
            subject = opened.subjects.of(key)
            answered(await opened.link.ask(subject, value, headers))
        except Refused as error:
            if error.code not in WRONG_LAST:
                raise
        else:
            return True
        post = await opened.subjects.last(key)
        if post is not None and post.value is not None:
            return False
        last = 0 if post is None else post.seq


def _limits(payload: int, *, durable: bool) -> Limits:
    """Let a flush of one value hold the largest frame and small ones beside it."""
    limits = value_limits(payload - HEADERS, durable=durable)
    return replace(limits, max_frame=min(limits.max_frame, limits.max_group - BESIDE))
