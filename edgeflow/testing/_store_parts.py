"""What the cases of `StoreSuite` are made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeflow.errors import Conflict
from edgeflow.store import Commit, Envelope

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from edgeflow.store import Loaded, Store

NOW = 1_000_000.0
HOUR = 3600.0
MINE = b"the first owner!"
THEIRS = b"the second owner"

FIRST = Commit(
    seq=1,
    frames=(b"first",),
    token=MINE,
    workflow="flow",
    status="running",
    due=NOW,
    now=NOW,
)
NEXT = replace(FIRST, seq=2, frames=(b"next",))
OPEN = replace(NEXT, frames=(b"open",), token=THEIRS, opens=True)
SUSPENDED = replace(FIRST, status="suspended", awaiting=("a",), due=None)


def message(
    to: str, message_id: str, name: str = "a", body: bytes = b"body", at: float = 0.0
) -> Envelope:
    """Make a message."""
    return Envelope(to, message_id, name, body, at)


async def put(store: Store, instance: str, commit: Commit) -> None:
    """Commit, and deliver what could not join the commit."""
    for late in (await store.commit(instance, commit)).undelivered:
        await store.send(late)


async def read(store: Store, instance: str) -> Loaded:
    """Load an instance that is there."""
    loaded = await store.load(instance)
    assert loaded is not None
    return loaded


async def picture(store: Store, *instances: str) -> list[object]:
    """Everything that `load` and `unread` show of some instances."""
    shown: list[object] = []
    for instance in instances:
        loaded = await store.load(instance)
        if loaded is not None:
            shown += [loaded.head, *loaded.frames, *loaded.messages]
        shown += await store.unread(instance)
    return shown


async def frames(store: Store, instance: str) -> list[tuple[int, bytes]]:
    """Numbers and bodies of the frames that `load` gives."""
    return [(frame.seq, frame.body) for frame in (await read(store, instance)).frames]


async def unread(store: Store, instance: str) -> list[str]:
    """Ids of the unread messages, in order."""
    return [m.id for m in await store.unread(instance)]


async def due(store: Store, now: float) -> list[str]:
    """Ids of the instances that are due; a lease of no length hides nothing."""
    return list(await store.claim(now, 100, 0.0, "nobody"))


async def turns(count: int) -> None:
    """Let other tasks run `count` times; no time passes."""
    for _ in range(count):
        await asyncio.sleep(0)


async def count_wins(*calls: Coroutine[object, object, object]) -> int:
    """Run commits at once and count those that succeeded; others conflicted."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    lost = [a for a in answers if isinstance(a, Conflict)]
    won = [a for a in answers if not isinstance(a, BaseException)]
    assert len(lost) + len(won) == len(calls), answers
    return len(won)
