"""Leases: numbered above each frame, the last one counts.

A number is put if it is absent, so of many who want to be next one is. A frame that
comes later makes all leases below it void: its own counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeflow_kv._effects import put_wake
from edgeflow_kv._keys import Keys, moved, position_of
from edgeflow_kv._reading import read
from edgeflow_kv._records import encode_line, parse
from edgeflow_kv._stamps import STAMPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow_kv._kv import KV
    from edgeflow_kv._records import Record


@dataclass(frozen=True, slots=True)
class Lease:
    """How long claims pass an instance over, and where the next lease goes."""

    until: float
    next_key: str
    keys: tuple[str, ...]
    """Of all leases that are there, void ones too."""


def latest(keys: Keys, tail: Record, found: Iterable[tuple[str, bytes]]) -> Lease:
    """Find the lease that counts."""
    until, number = tail.lease, 0
    names: list[str] = []
    for key, value in found:
        names.append(key)
        if position_of(key) == tail.position:
            until = parse(key, value, "until")[0]["until"]
            number = int(key.rsplit("/", 1)[1]) + 1
    return Lease(until, keys.lease(tail.position, number), tuple(names))


async def take(kv: KV, lease: Lease, until: float, worker: str) -> bool:
    """Let a lease follow another one; False: somebody else was quicker."""
    value = encode_line(until=until, worker=worker)
    if not await kv.put(lease.next_key, value, if_absent=True):
        return False
    await asyncio.gather(*map(kv.delete, lease.keys))
    return True


async def renew(kv: KV, instance: str, token: bytes, until: float) -> bool:
    """Let the owner's lease end at another time; False: not the owner, or ended."""
    keys = Keys(instance)
    while True:
        found, leases = await asyncio.gather(read(kv, instance), kv.scan(keys.leases))
        state = found.state
        tail = state.tail
        if tail is None or tail.deleted or tail.has_ended or tail.token != token.hex():
            return False
        lease = latest(keys, tail, leases)
        if until < lease.until and tail.due is not None and not tail.is_over:
            when = max(tail.due, until)
            what = moved(tail.position, STAMPS.next())
            await put_wake(kv, state, keys.wake(when, what))
        if await take(kv, lease, until, ""):
            return True
