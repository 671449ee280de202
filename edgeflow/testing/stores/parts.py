"""What the cases of `StoreSuite` are made of."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeflow.errors import Conflict, InstanceFinished
from edgeflow.store import Commit, Envelope

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from edgeflow.store import Loaded, Store

NOW = 1_000_000.0
HOUR = 3600.0
MINE = b"the first owner!"
THEIRS = b"the second owner"

ODD = (
    *(
        "ab",
        "A",
        "é",
        "e\u0301",
        "😀",
        "x" * 255,
        "'\"%_*?",
        "a\\b",
        "\x01",
        "a\n",
        "a ",
    ),
    *(
        "a/b",
        "a/",
        "/a",
        "..",
        "a%2Fb",
        "a:b",
        "a#b",
        "a/0000000000000001",
        "[1]",
        "null",
    ),
)
"""Ids and names that are easily taken for another one, or for something else."""

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
    await deliver(store, (await store.commit(instance, commit)).undelivered)


async def deliver(store: Store, sends: Iterable[Envelope]) -> None:
    """Send messages of a commit once more: those that are known change nothing."""
    for message in sends:
        with suppress(InstanceFinished):
            await store.send(message)


async def is_last(store: Store, instance: str, commit: Commit) -> bool:
    """Whether the last frame is this commit's: my number and my token."""
    loaded = await store.load(instance)
    if loaded is None:
        return False
    last = commit.seq + len(commit.frames) - 1
    return (loaded.head.seq, loaded.head.token) == (last, commit.token)


async def settle(store: Store, instance: str, commit: Commit) -> bool:
    """Find out how a commit without an answer ended, and end it; False: fenced."""
    if not await is_last(store, instance, commit):
        try:
            await store.commit(instance, commit)
        except Conflict:
            if not await is_last(store, instance, commit):
                return False
    await deliver(store, commit.sends)
    return True


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


async def snapshot(store: Store, instance: str) -> list[object]:
    """Everything that one call of `load` shows of an instance."""
    loaded = await read(store, instance)
    return [loaded.head, *loaded.frames, *loaded.messages]


async def frames(store: Store, instance: str) -> list[tuple[int, bytes]]:
    """Numbers and bodies of the frames that `load` gives."""
    return [(frame.seq, frame.body) for frame in (await read(store, instance)).frames]


async def unread(store: Store, instance: str) -> list[str]:
    """Ids of the unread messages, in order."""
    return [m.id for m in await store.unread(instance)]


async def due(store: Store, now: float) -> list[str]:
    """Ids of the instances that are due; a lease of no length hides nothing."""
    return sorted(await store.claim(now, 100, 0.0, "nobody"))


async def turns(count: int) -> None:
    """Let other tasks run `count` times; no time passes."""
    for _ in range(count):
        await asyncio.sleep(0)


async def winners(*calls: Coroutine[object, object, object]) -> list[int]:
    """Run commits at once; places of those that succeeded, the others conflicted."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    lost = [n for n, a in enumerate(answers) if isinstance(a, Conflict)]
    won = [n for n, a in enumerate(answers) if not isinstance(a, BaseException)]
    assert sorted(lost + won) == [*range(len(calls))], answers
    return won
