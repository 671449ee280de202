"""Listing instances by the copies of their heads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow_kv._keys import GONE, HEADS, behind
from edgeflow_kv._reading import read
from edgeflow_kv._records import decode_listing, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from edgeflow.store import Head
    from edgeflow_kv._kv import KV

PAGE = 256
"""Copies that are read at a time."""


async def heads(kv: KV) -> AsyncIterator[Head]:
    """Yield the heads of all instances in the order of their keys."""
    held: list[tuple[str, bytes]] = []
    start: str | None = None
    while True:
        page = await kv.scan(HEADS, start, PAGE)
        held += page
        is_last = len(page) < PAGE
        newest = _newest(held)
        ready, held = (newest, []) if is_last else (newest[:-1], newest[-1:])
        for head in await asyncio.gather(*(_head(kv, *pair) for pair in ready)):
            if head is not None:
                yield head
        if is_last:
            return
        start = behind(page[-1][0])


def _newest(found: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Keep the last copy of each instance."""
    last = {key.split("/")[1]: (key, value) for key, value in found}
    return list(last.values())


async def _head(kv: KV, key: str, value: bytes) -> Head | None:
    """Give a head as it is now; None: the instance is deleted."""
    if key.endswith(GONE):
        content, _ = parse(key, value, "sure", "instance")
        if content["sure"]:
            return None
        instance: str = content["instance"]
    else:
        instance, record = decode_listing(key, value)
        if record.released:
            return record.head(instance)
    state = (await read(kv, instance)).state  # its owner may have gone on
    found = state.tail if state.is_there else None
    return None if found is None else found.head(instance)
