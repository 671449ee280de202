"""Sending: the message if its id is absent, then what makes it found."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow.errors import InstanceFinished
from edgeflow_kv._effects import announce
from edgeflow_kv._keys import GONE, Keys, Note, position_of
from edgeflow_kv._reading import find_note, read
from edgeflow_kv._records import (
    decode_listing,
    decode_message,
    encode_message,
    parse,
)
from edgeflow_kv._stamps import STAMPS

if TYPE_CHECKING:
    from edgeflow.store import Envelope
    from edgeflow_kv._kv import KV


async def send(kv: KV, message: Envelope) -> bool:
    """Put a message into an inbox; False if its id is known there.

    Raises:
        InstanceFinished: if the receiver is completed, failed or cancelled.
    """
    keys = Keys(message.to)
    life = await _life(kv, keys)
    if life is None:
        state = (await read(kv, message.to)).state
        if state.tail is not None and state.tail.has_ended:
            if await find_note(kv, state, message.id) is not None:
                return False
            raise InstanceFinished(message.to)
        life = state.life
    note = Note(message.id, message.name, message.at, STAMPS.next(), 0)
    key = keys.message(life, message.id)
    value = encode_message(note, bytes(message.body))
    is_new = await kv.put(key, value, if_absent=True)
    if not is_new:
        found = await kv.get(key)
        if found is None:
            return False  # deleted meanwhile
        note, body = decode_message(key, found)
        if body is None:
            return False
        is_new = found == value
    await asyncio.gather(*announce(kv, keys, message.to, life, note))
    return is_new


async def _life(kv: KV, keys: Keys) -> int | None:
    """Tell the receiver's life by the list; None: it has ended, or is being deleted."""
    heads = await kv.scan(keys.heads)
    if not heads:
        return 0
    key, value = heads[-1]
    if key.endswith(GONE):
        return position_of(key) if parse(key, value, "sure")[0]["sure"] else None
    _, record = decode_listing(key, value)
    return None if record.has_ended else record.life
