"""Keys as subjects of a stream, and what is read of them.

A dot parts the words of a subject as a slash the parts of a key, so the keys below a
directory are one wildcard. All reads go to the stream's leader: it knows every write
that was answered.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeflow_kv._keys import behind
from edgeflow_kv.nats._link import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow_kv.nats._link import Link

NO_MESSAGE = 10037
MARKS = (b"KV-Operation:", b"Nats-Marker-Reason:")
"""Headers of messages that other tools leave where they have removed a value."""

SWAPPED = str.maketrans("/.", "./")
PAGE = 64
"""How many values are asked for at once."""
OVERLAP = 1000
"""How many names two pages of a listing share, so that no removal opens a gap."""


class Post(NamedTuple):
    """The last message of a subject."""

    seq: int
    value: bytes | None
    """None: it says that the value was removed."""


class Subjects:
    """The subjects of one bucket."""

    def __init__(self, link: Link, bucket: str) -> None:
        """Read through `link`."""
        self._link = link
        self._stream = f"KV_{bucket}"
        self._root = f"$KV.{bucket}."

    def of(self, key: str) -> str:
        """Give the subject of a key."""
        return self._root + key.translate(SWAPPED)

    async def last(self, key: str) -> Post | None:
        """Read the last message of a key; None if there is none."""
        call = f"STREAM.MSG.GET.{self._stream}"
        try:
            found = await self._link.read(call, last_by_subj=self.of(key))
        except Refused as error:
            if error.code != NO_MESSAGE:
                raise
            return None
        message: dict[str, Any] = found["message"]
        headers = b64decode(message.get("hdrs", ""))
        is_removed = any(mark in headers for mark in MARKS)
        value = None if is_removed else b64decode(message.get("data", ""))
        return Post(message["seq"], value)

    async def scan(
        self, prefix: str, start: str, limit: int | None
    ) -> list[tuple[str, bytes]]:
        """Read the pairs below a prefix: the names, then the values."""
        found: list[tuple[str, bytes]] = []
        first: str | None = max(prefix, start)
        while first is not None and (limit is None or len(found) < limit):
            seq, names = await self._names(prefix)
            wanted = sorted(n for n in names if n >= first and n.startswith(prefix))
            first = await self._collect(found, wanted, limit, seq)
        return found

    async def _collect(
        self,
        found: list[tuple[str, bytes]],
        wanted: Sequence[str],
        limit: int | None,
        seq: int,
    ) -> str | None:
        """Read the values of keys that were listed when the stream was at `seq`.

        A value that is younger, or gone, may be so because of a key that the list has
        not: the answer is the key from which to list again. None: all was read.
        """
        for place in range(0, len(wanted), PAGE):
            names = wanted[place : place + PAGE]
            if limit is not None:
                names = names[: limit - len(found)]
            posts = await asyncio.gather(*map(self.last, names))
            for name, post in zip(names, posts, strict=True):
                if post is not None and post.value is not None:
                    found.append((name, post.value))
                if post is None or post.seq > seq:
                    return behind(name)
        return None

    async def _names(self, prefix: str) -> tuple[int, list[str]]:
        """List the keys of a prefix's directory, as they were when this ended.

        Also tells the last number of the stream when this began. The server gives
        names in order, 100,000 at a time, from a place that removals shift.
        """
        within = self.of(prefix[: prefix.rfind("/") + 1])
        call, seq = f"STREAM.INFO.{self._stream}", -1
        names: list[str] = []
        while True:
            offset = max(0, len(names) - OVERLAP)
            found = await self._link.read(
                call, subjects_filter=f"{within}>", offset=offset
            )
            state = found["state"]
            seq = state["last_seq"] if seq < 0 else seq
            page = sorted(state.get("subjects") or ())
            if offset and (not page or page[0] > names[-1]):
                names = []  # so many were removed meanwhile that some may be missing
                continue
            names = sorted({*names, *page})
            if offset + len(page) >= found.get("total", 0):
                return seq, [self._key(name) for name in names]

    def _key(self, subject: str) -> str:
        return subject.removeprefix(self._root).translate(SWAPPED)
