"""Where an instance stands: two rounds of reads, whatever the length of its history.

The first round finds the newest copy of the head and the index of the unread; the
second one the frames since, and the messages. What the head's copy is of has had all
its effects; those of later frames may be under way, and are laid over what was read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edgeflow.store import Envelope
from edgeflow_kv._keys import GONE, Keys, Note, position_of
from edgeflow_kv._records import (
    Back,
    Record,
    decode,
    decode_listing,
    decode_message,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeflow_kv._kv import KV


RETRIES = 20
"""How often an instance is read again that is written to meanwhile."""


@dataclass(slots=True)
class State:
    """An instance as far as one process knows it."""

    instance: str
    keys: Keys
    tail: Record | None = None
    """The last frame; None if nothing was ever written, not even a deletion."""
    listed: Record | None = None
    """The newest head in the list; everything up to it has had its effects."""
    heads: list[str] = field(default_factory=list[str])
    """Keys of heads that are there."""
    acks: list[Note] = field(default_factory=list[Note])
    """Consumed, but perhaps still in the index."""
    backs: list[Back] = field(default_factory=list[Back])
    """Unread again, but perhaps not yet in the index."""
    notes: dict[str, Note] = field(default_factory=dict[str, Note])
    """Unread messages that were read, by their ids."""
    spent: list[str] = field(default_factory=list[str])
    """Keys of leases and of wakes that the next resting commit removes."""
    has_wake: bool = False
    """Whether the wake of the tail was put."""

    @property
    def is_there(self) -> bool:
        return self.tail is not None and not self.tail.deleted

    @property
    def life(self) -> int:
        return 0 if self.tail is None else self.tail.life

    @property
    def position(self) -> int:
        return 0 if self.tail is None else self.tail.position


class Found(NamedTuple):
    """What was read of an instance."""

    state: State
    chain: list[Record]
    """From the last snapshot on, if it was asked for; the newest ones in any case."""
    messages: list[Envelope]
    """Unread, in order of arrival, if they were asked for."""
    is_doubtful: bool
    """Whether messages may have gone that no frame tells of."""


async def read(
    kv: KV, instance: str, *, whole: bool = False, inbox: bool = False
) -> Found:
    """Read where an instance stands; `whole`: with all frames since the snapshot.

    If messages went while they were read, without a frame that tells of it, it is read
    again, until nobody commits meanwhile; who commits without a pause is borne with.
    """
    found = await _read_once(kv, instance, whole=whole, inbox=inbox)
    for _ in range(RETRIES):
        if not found.is_doubtful:
            break
        before = found.state.position
        found = await _read_once(kv, instance, whole=whole, inbox=inbox)
        if found.state.position == before:
            break
    return found


async def _read_once(kv: KV, instance: str, *, whole: bool, inbox: bool) -> Found:
    keys = Keys(instance)
    heads, index = await asyncio.gather(
        kv.scan(keys.heads), _scan_if(kv, keys.index, wanted=inbox)
    )
    listed, start = _newest(keys, heads, whole=whole)
    entries = [(key, read_entry(key, value)) for key, value in index]
    frames, posts = await asyncio.gather(
        kv.scan(keys.frames, start),
        asyncio.gather(*(_post(kv, keys, entry) for entry in entries)),
    )
    found = [decode(key, value) for key, value in frames if value]
    cut = max((r.position for r in found if r.is_cut), default=0)
    chain = [record for record in found if record.position >= cut]
    tail = chain[-1] if chain else listed
    state = State(instance, keys, tail, listed, [key for key, _ in heads])
    state.has_wake = bool(listed and tail and listed.wake == tail.wake)
    since = 0 if listed is None else listed.position
    _lay_over(state, [record for record in chain if record.position > since])
    messages = _unread(state, posts) if inbox else []
    consumed = {(note.id, note.copy) for note in state.acks}
    gone = {(p.note.id, p.note.copy) for p in posts if p.body is None}
    is_doubtful = inbox and (cut > since or not gone <= consumed)
    return Found(state, chain, messages, is_doubtful)


async def _scan_if(kv: KV, prefix: str, *, wanted: bool) -> Sequence[tuple[str, bytes]]:
    return await kv.scan(prefix) if wanted else ()


def _newest(
    keys: Keys, heads: Iterable[tuple[str, bytes]], *, whole: bool
) -> tuple[Record | None, str | None]:
    """Give the newest head of a frame, and the key from which to read frames."""
    listed: Record | None = None
    start: str | None = None
    for key, value in heads:
        if key.endswith(GONE):
            if parse(key, value, "sure")[0]["sure"]:
                listed, start = None, keys.frame(position_of(key))
        else:
            _, listed = decode_listing(key, value)
            first = listed.snap if whole else listed.position + 1
            start = keys.frame(first)
    return listed, start


def _lay_over(state: State, records: Iterable[Record]) -> None:
    """Note the effects of frames of which it is not known that they are done."""
    for record in records:
        state.acks += record.acks
        gone = {(note.id, note.copy) for note in record.acks}
        state.backs = [b for b in state.backs if (b.note.id, b.note.copy) not in gone]
        state.backs += record.returned()


def read_entry(key: str, value: bytes) -> tuple[int, Note]:
    """Read an entry of the index: the life and the message that it is of."""
    header, _ = parse(key, value, "life", "note")
    return header["life"], Note(*header["note"])


class _Post(NamedTuple):
    """An entry of the index, and its message."""

    key: str
    life: int
    note: Note
    body: bytes | None
    """None: it is consumed by now, or of a life that was deleted."""


async def _post(kv: KV, keys: Keys, entry: tuple[str, tuple[int, Note]]) -> _Post:
    place, (life, note) = entry
    key = keys.message(life, note.id, note.copy)
    value = await kv.get(key)
    body = None if value is None else decode_message(key, value).body
    return _Post(place, life, note, body)


def _unread(state: State, posts: Iterable[_Post]) -> list[Envelope]:
    consumed = {(note.id, note.copy) for note in state.acks}
    found: dict[str, Back] = {}
    known: list[Back] = []
    for post in posts:
        if post.body is None or post.life < state.life:
            state.spent.append(post.key)
        elif post.life == state.life:
            known.append(Back(post.note, post.body))
    for back in sorted([*known, *state.backs], key=lambda back: back.note.copy):
        if (back.note.id, back.note.copy) not in consumed:
            found[back.note.id] = back
    state.notes = {back.note.id: back.note for back in found.values()}
    ordered = sorted(found.values(), key=lambda back: (back.note.stamp, back.note.id))
    return [envelope(state.instance, *back) for back in ordered]


def envelope(instance: str, note: Note, body: bytes) -> Envelope:
    """Make a message of its parts."""
    return Envelope(instance, note.id, note.name, body, note.at)


async def find_note(kv: KV, state: State, message: str) -> Note | None:
    """Find the newest copy of a message, consumed or not; None: it never arrived."""
    known = [back.note for back in state.backs if back.note.id == message]
    prefix = state.keys.copies(state.life, message)
    copies = [decode_message(k, v).note for k, v in await kv.scan(prefix)]
    return max([*known, *copies], key=lambda note: note.copy, default=None)
