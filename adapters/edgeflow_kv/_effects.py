"""What follows a frame: wakes, consumed messages, the list, trimming.

Anybody may do it, once more and late: each key that is put or deleted here belongs to
one frame, message or copy alone, and a message goes from unread to consumed only.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgeflow_kv._keys import position_of
from edgeflow_kv._reading import read_entry
from edgeflow_kv._records import decode, encode_line, encode_message

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from edgeflow_kv._keys import Keys, Note
    from edgeflow_kv._kv import KV
    from edgeflow_kv._reading import State
    from edgeflow_kv._records import Record


async def settle(kv: KV, state: State) -> None:
    """Do what the last frame of an instance asks for; two rounds at most."""
    if (tail := state.tail) is None or tail.deleted:
        return
    await asyncio.gather(*_needed(kv, state, tail))
    await asyncio.gather(*_useful(kv, state, tail))
    if is_listed(state, tail):
        state.listed, state.heads = tail, [state.keys.head(tail.position)]
        state.spent = []
    state.acks, state.backs, state.has_wake = [], [], True
    clean = max(tail.clean, tail.position if tail.is_cut else 0)
    state.tail = replace(tail, old=(), clean=clean)


def is_listed(state: State, tail: Record) -> bool:
    """Whether a frame changes what is listed of an instance; else it is one put."""
    known = state.listed
    return (
        known is None
        or tail.is_cut
        or tail.released
        or known.released
        or _shown(known) != _shown(tail)
    )


def _shown(record: Record) -> tuple[object, ...]:
    owner = (record.token, record.wake, record.workflow)
    return (*owner, record.status, record.wake_at, record.awaiting)


def _needed(kv: KV, state: State, tail: Record) -> list[Coroutine[Any, Any, object]]:
    """What must be done before anything that could bring somebody is removed."""
    calls: list[Coroutine[Any, Any, object]] = []
    if tail.wake is not None and not state.has_wake:
        calls.append(put_wake(kv, state, tail.wake))
    for note in state.acks:
        key = state.keys.message(tail.life, note.id, note.copy)
        calls.append(kv.put(key, encode_message(note, None)))
    for note, body in state.backs:
        key = state.keys.message(tail.life, note.id, note.copy)
        calls.append(kv.put(key, encode_message(note, body), if_absent=True))
        calls += announce(kv, state.keys, state.instance, tail.life, note)
    return calls


def _useful(kv: KV, state: State, tail: Record) -> list[Coroutine[Any, Any, object]]:
    keys, life = state.keys, tail.life
    gone = [key for key in tail.old if key != tail.wake]
    for note in state.acks:
        gone += [keys.entry(life, note), keys.call(life, note)]
    calls: list[Coroutine[Any, Any, object]] = []
    if is_listed(state, tail):
        listing = tail.listing(state.instance)
        calls.append(kv.put(keys.head(tail.position), listing, if_absent=True))
        gone += [key for key in state.heads if position_of(key) < tail.position]
        gone += state.spent
    if tail.is_cut and tail.clean < tail.position:
        calls.append(trim(kv, keys, tail.clean, tail.position))
    return calls + [kv.delete(key) for key in dict.fromkeys(gone)]


def announce(
    kv: KV, keys: Keys, instance: str, life: int, note: Note
) -> list[Coroutine[Any, Any, object]]:
    """Put a message into the index of the unread, and have somebody look."""
    entry = encode_line(life=life, note=note)
    call = encode_line(instance=instance, life=life, note=note)
    return [kv.put(keys.entry(life, note), entry), kv.put(keys.call(life, note), call)]


async def put_wake(kv: KV, state: State, key: str, position: int | None = None) -> None:
    """Have somebody look at an instance, at the time that is in the key."""
    position = state.position if position is None else position
    await kv.put(key, encode_line(instance=state.instance, position=position))


async def trim(kv: KV, keys: Keys, since: int, until: int) -> None:
    """Remove the frames below a position, but keep the fences' keys."""
    frames, leases = await asyncio.gather(
        kv.scan(keys.frames, keys.frame(since)), kv.scan(keys.leases)
    )
    calls: list[Coroutine[Any, Any, object]] = []
    for key, value in frames:
        if not value or position_of(key) >= until:
            continue
        fence = decode(key, value).fence
        calls.append(kv.put(key, b"") if fence else kv.delete(key))
    calls += [kv.delete(key) for key, _ in leases if position_of(key) < until]
    await asyncio.gather(*calls)


async def wipe(kv: KV, state: State, life: int, position: int) -> None:
    """Remove what is left of the lives up to `life`, deleted at `position`."""
    keys, tail = state.keys, state.tail
    index, messages, heads = await asyncio.gather(
        kv.scan(keys.index), kv.scan(keys.messages), kv.scan(keys.heads)
    )
    gone = [key for key, _ in (*index, *messages) if position_of(key) <= life]
    gone += [keys.call(*read_entry(k, v)) for k, v in index if position_of(k) <= life]
    gone += [key for key, _ in heads if position_of(key) < position]
    if tail is not None:
        gone += [*tail.old, *([tail.wake] if tail.wake else [])]
        await trim(kv, keys, tail.clean, position)
    await asyncio.gather(*map(kv.delete, gone))


async def mark_deleted(kv: KV, state: State, position: int, *, sure: bool) -> None:
    """Put into the list that an instance is deleted at a position, or about to be."""
    value = encode_line(instance=state.instance, sure=sure)
    await kv.put(state.keys.gone(position), value)
