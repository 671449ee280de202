"""The optional powers of a store over a backend: what it remembers, finds, hints at."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow.store import Creates, Examines, Finding, Hints
from edgeflow_kv._keys import FORMAT
from edgeflow_kv._reading import read
from edgeflow_kv._records import decode_message
from edgeflow_kv._single import SingleWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow_kv._kv import KV
    from edgeflow_kv._records import Post

ONE_WINS = "a value is put only if there is none: tried with one key, twice"
BOTH_WIN = (
    "it wrote over a value that was there, though it was asked to put it only if there "
    "is none: two processes can both commit to one instance, so use another backend"
)
ALONE = (
    "one process at a time may use the data (single_writer=True): nothing would stop a "
    "second one from committing to the same instance"
)


def missing(kv: KV) -> str | None:
    """Say what `open` would make, if the binding can tell."""
    inner = kv.inner if isinstance(kv, SingleWriter) else kv
    return inner.missing() if isinstance(inner, Creates) else None


async def consumed(kv: KV, instance: str) -> Sequence[str]:
    """Read the ids of the messages that an instance has consumed, in order."""
    state = (await read(kv, instance)).state
    newest: dict[str, Post] = {}
    for key, value in await kv.scan(state.keys.inbox(state.life)):
        post = decode_message(key, value)  # the copies of one id are in their order
        newest[post.note.id] = post
    owed = {(note.id, note.copy) for note in state.acks}
    gone = {
        post.note.id
        for post in newest.values()
        if post.body is None or (post.note.id, post.note.copy) in owed
    }
    return sorted(gone - {back.note.id for back in state.backs})


async def examine(kv: KV, layout: bytes) -> Sequence[Finding]:
    """Put a key that is there, if it is absent, and let the binding say the rest."""
    if isinstance(kv, SingleWriter):
        return [Finding("note", ALONE), *await _found(kv.inner)]
    if await kv.put(FORMAT, layout, if_absent=True):
        return [Finding("bad", BOTH_WIN), *await _found(kv)]
    return [Finding("good", ONE_WINS), *await _found(kv)]


async def _found(kv: KV) -> Sequence[Finding]:
    return await kv.examine() if isinstance(kv, Examines) else ()


async def hint(kv: KV) -> None:
    """Wait for a hint of the binding; for ever if it gives none."""
    inner = kv.inner if isinstance(kv, SingleWriter) else kv
    if isinstance(inner, Hints):
        await inner.hint()
    else:
        await asyncio.get_running_loop().create_future()
