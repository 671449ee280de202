"""Finding what is due: wake keys say where to look, frames and leases what is so.

A wake key may be early, late or of no use any more. It is removed by whoever finds
that nothing can need it, and moved behind a lease above a frame that gave its own back.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeflow.errors import JournalDamaged
from edgeflow_kv._effects import put_wake, settle
from edgeflow_kv._keys import (
    WAKES,
    Keys,
    Note,
    after_wakes,
    behind,
    is_moved,
    moved,
    wake_time,
)
from edgeflow_kv._leases import Lease, latest, take
from edgeflow_kv._reading import State, read
from edgeflow_kv._records import decode_message, parse
from edgeflow_kv._stamps import STAMPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeflow_kv._kv import KV

log = logging.getLogger("edgeflow")

PAGE = 64
"""Wake keys that are looked into at once, at least."""


@dataclass(slots=True)
class Candidate:
    """The wake keys of one instance."""

    instance: str
    frames: dict[str, int] = field(default_factory=dict[str, int])
    """Keys, and the positions of the frames that they are of."""
    calls: dict[str, tuple[int, Note]] = field(
        default_factory=dict[str, "tuple[int, Note]"]
    )
    """Keys, and the messages that they are of, with their lives."""


@dataclass(slots=True)
class Due:
    """An instance that is due."""

    at: float
    instance: str
    state: State
    lease: Lease
    frames: list[str]


@dataclass(slots=True)
class Claimed:
    """What a claim took."""

    instance: str
    wakes: list[str]
    """Keys that are of no use once the instance is opened."""


async def claim(
    kv: KV, now: float, limit: int, lease: float, worker: str
) -> Sequence[Claimed]:
    """Take up to `limit` due instances, the earliest first within each page."""
    taken: dict[str, Claimed] = {}
    start: str | None = WAKES
    while start is not None and len(taken) < limit:
        page = max(PAGE, limit)
        found = await kv.scan(WAKES, start, page)
        start = behind(found[-1][0]) if len(found) == page else None
        due = [pair for pair in found if pair[0] < after_wakes(now)]
        if len(due) < len(found):
            start = None
        looked = await asyncio.gather(
            *(look(kv, each, now) for each in candidates(due))
        )
        found_due = (each for each in looked if each is not None)
        ready = sorted(
            (each for each in found_due if each.instance not in taken),
            key=lambda each: (each.at, each.instance),
        )
        while ready and len(taken) < limit:
            some, ready = ready[: limit - len(taken)], ready[limit - len(taken) :]
            won = await asyncio.gather(
                *(_take(kv, each, now + lease, worker) for each in some)
            )
            taken |= {each.instance: each for each in won if each is not None}
    return list(taken.values())


def candidates(found: Iterable[tuple[str, bytes]]) -> list[Candidate]:
    """Group wake keys by instance."""
    known: dict[str, Candidate] = {}
    for key, value in found:
        content, _ = parse(key, value, "instance")
        instance: str = content["instance"]
        candidate = known.setdefault(instance, Candidate(instance))
        if "note" in content:
            candidate.calls[key] = (content["life"], Note(*content["note"]))
        else:
            candidate.frames[key] = content["position"]
    return list(known.values())


async def look(kv: KV, candidate: Candidate, now: float) -> Due | None:
    """Find out whether an instance is due and free; a damaged one stops no other."""
    try:
        return await _look(kv, candidate, now)
    except JournalDamaged as error:
        log.warning("instance %r cannot be looked at: %s", candidate.instance, error)
        return None


async def _look(kv: KV, candidate: Candidate, now: float) -> Due | None:
    keys = Keys(candidate.instance)
    found, leases, live = await asyncio.gather(
        read(kv, candidate.instance),
        kv.scan(keys.leases),
        asyncio.gather(*(_is_unread(kv, keys, *c) for c in candidate.calls.values())),
    )
    state = found.state
    calls = dict(zip(candidate.calls, live, strict=True))
    tail = state.tail
    if tail is None:
        return None  # an inbox that waits for its instance
    lease = latest(keys, tail, leases)
    current = [
        key
        for key, position in candidate.frames.items()
        if key == tail.wake or (is_moved(key) and position == tail.position)
    ]
    await _tidy(kv, state, candidate, calls, {*current})
    if tail.is_over:
        return None
    if lease.until > now:
        if tail.released:
            await _move(kv, state, current, lease.until)
        return None
    times = [] if tail.due is None or tail.due > now else [tail.due]
    if tail.status == "suspended":
        consumed = {(note.id, note.copy) for note in state.acks}
        for key, (life, note) in candidate.calls.items():
            is_awaited = note.name in tail.awaiting and note.at <= now
            is_there = calls[key] and life == tail.life
            if is_awaited and is_there and (note.id, note.copy) not in consumed:
                times.append(note.at)
    if not times:
        return None
    return Due(min(times), candidate.instance, state, lease, current)


async def _is_unread(kv: KV, keys: Keys, life: int, note: Note) -> bool:
    key = keys.message(life, note.id, note.copy)
    value = await kv.get(key)
    if value is None:
        return False
    known, body = decode_message(key, value)
    return body is not None and known.stamp == note.stamp


async def _tidy(
    kv: KV,
    state: State,
    candidate: Candidate,
    calls: dict[str, bool],
    current: set[str],
) -> None:
    """Remove the wake keys that nothing can need, but first see to what is needed."""
    tail = state.tail
    gone = [key for key in candidate.frames if key not in current]
    if tail is not None and not tail.deleted and not _is_settled(state):
        await settle(kv, state)
    for key, is_unread in calls.items():
        life, note = candidate.calls[key]
        if not is_unread or life < state.life:
            gone.append(key)
        elif tail is not None and tail.is_over and not tail.deleted:
            # Whoever opens it again finds the message in the index.
            entry = await kv.get(state.keys.entry(life, note))
            gone += [key] if entry is not None else []
    await asyncio.gather(*map(kv.delete, gone))


def _is_settled(state: State) -> bool:
    tail, listed = state.tail, state.listed
    if tail is None or listed is None:
        return False
    return state.has_wake and (
        listed.position == tail.position or not (tail.is_over or tail.released)
    )


async def _move(kv: KV, state: State, keys: Sequence[str], until: float) -> list[str]:
    """Let the wake keys of a frame count later, and give the one that is left."""
    later = state.keys.wake(until, moved(state.position, STAMPS.next()))
    earlier = [key for key in keys if wake_time(key) < wake_time(later)]
    if not earlier:
        return []
    await put_wake(kv, state, later)
    await asyncio.gather(*map(kv.delete, earlier))
    return [later]


async def _take(kv: KV, due: Due, until: float, worker: str) -> Claimed | None:
    if not await take(kv, due.lease, until, worker):
        return None
    claimed = Claimed(due.instance, [])
    if due.state.tail is not None and due.state.tail.released:
        claimed.wakes = await _move(kv, due.state, due.frames, until)
    return claimed
