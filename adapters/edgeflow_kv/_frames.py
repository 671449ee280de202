"""Writing a frame: the one put that decides."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from edgeflow.errors import OutcomeUnknown, StoreUnavailable, TooLarge
from edgeflow_kv._commits import draft, needs_proof
from edgeflow_kv._effects import announce, put_wake, settle
from edgeflow_kv._kv import ROOM
from edgeflow_kv._reading import read
from edgeflow_kv._records import decode

if TYPE_CHECKING:
    from edgeflow.store import Commit
    from edgeflow_kv._commits import Draft
    from edgeflow_kv._kv import KV
    from edgeflow_kv._reading import State
    from edgeflow_kv._records import Record

log = logging.getLogger("edgeflow")


async def append(kv: KV, state: State, commit: Commit) -> bool:
    """Write a commit that follows `state`, and bring `state` up to it.

    False: another writer was there first.

    Raises:
        TooLarge: if it does not fit one value; nothing was written.
        OutcomeUnknown: if the answer was lost; it may have been written.
    """
    drawn = await draft(kv, state, commit)
    record, wakes = drawn.record, drawn.wakes
    value = record.encode()
    most = kv.limits.max_group + ROOM
    if len(value) > most:
        raise TooLarge(len(value), most, "a flush")
    if state.is_there and state.tail is not None and state.tail.is_over:
        await _call_again(kv, state)
    if not (
        await _prepare(kv, state, drawn) and await put_frame(kv, state, record, value)
    ):
        if wakes.first is not None:
            await kv.delete(wakes.first)
        return False
    has_wake = wakes.key is None or wakes.is_put
    if needs_proof(state, commit):
        if not await _is_valid(kv, state, drawn):
            if not record.fence:  # its wake may be in use, should it have been valid
                await kv.delete(state.keys.frame(record.position))
            return False
        has_wake = True
    _advance(state, drawn, has_wake=has_wake)
    try:
        await settle(kv, state)
    except Exception:  # whoever looks at the wake does the rest
        log.warning("instance %r: effects are late", state.instance, exc_info=True)
    return True


async def _prepare(kv: KV, state: State, drawn: Draft) -> bool:
    """Put the wake that must be there first; False: what is to start is there."""
    if (key := drawn.wakes.first) is None:
        return True
    wake = put_wake(kv, state, key, drawn.record.position)
    if state.tail is not None:
        await wake
        return True
    heads, _ = await asyncio.gather(kv.scan(state.keys.heads), wake)
    return not heads


async def put_frame(kv: KV, state: State, record: Record, value: bytes) -> bool:
    """Put a frame at its position; False: there is another one.

    Raises:
        OutcomeUnknown: if the answer was lost; it may have been written.
    """
    key = state.keys.frame(record.position)
    lost: Exception | None = None
    try:
        if await kv.put(key, value, if_absent=True):
            return True
    except StoreUnavailable:
        raise
    except Exception as error:
        lost = error
    found = await _read_back(kv, key)
    if found == value:  # a client may put twice, and then tell of the second time
        return True
    if lost is not None and found is None:
        raise OutcomeUnknown(f"the answer to a put is lost: {lost}") from lost
    return False


async def _read_back(kv: KV, key: str) -> bytes | None:
    try:
        return await kv.get(key)
    except Exception as error:
        raise OutcomeUnknown(f"a put cannot be read back: {error}") from error


async def _is_valid(kv: KV, state: State, drawn: Draft) -> bool:
    """Whether nothing stands above a new frame that makes it void."""
    position, key = drawn.record.position, drawn.wakes.key
    reading = is_below_a_cut(kv, state, drawn.record)
    try:
        if key is None or drawn.wakes.is_put:
            return not await reading
        is_void, _ = await asyncio.gather(reading, put_wake(kv, state, key, position))
    except Exception as error:
        raise OutcomeUnknown(f"a frame is written, but not read: {error}") from error
    return not is_void


async def is_below_a_cut(kv: KV, state: State, record: Record) -> bool:
    """Whether a snapshot or a deletion stands above a frame, and was there before it.

    What was written on top of this very frame came later: its owner has read it.
    """
    place = state.keys.frame(record.position + 1)
    above = await kv.scan(state.keys.frames, place)
    found = [decode(key, value) for key, value in above if value]
    # Clocks may be coarse: frames of two processes can have one stamp.
    on_top = (each for each in found if each.position == record.position + 1)
    if any(each.after == record.stamp for each in on_top):
        return False
    return any(each.is_cut for each in found)


def _advance(state: State, drawn: Draft, *, has_wake: bool) -> None:
    state.tail, state.has_wake = drawn.record, has_wake
    state.acks, state.backs = drawn.acks, drawn.backs
    for note in drawn.acks:
        state.notes.pop(note.id, None)
    state.notes.update({back.note.id: back.note for back in drawn.backs})


async def _call_again(kv: KV, state: State) -> None:
    """Put the wakes of unread messages, which nobody needs while an instance rests."""
    found = await read(kv, state.instance, inbox=True)
    notes = found.state.notes.values()
    calls = [announce(kv, state.keys, state.instance, state.life, n) for n in notes]
    await asyncio.gather(*(each for pair in calls for each in pair))
