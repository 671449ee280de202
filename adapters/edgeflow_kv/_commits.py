"""One commit as one conditional put: what it says, and which wake stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgeflow.store import TERMINAL
from edgeflow_kv._keys import milliseconds, wake_time
from edgeflow_kv._reading import find_note
from edgeflow_kv._records import Back, Record
from edgeflow_kv._stamps import STAMPS

if TYPE_CHECKING:
    from edgeflow.store import Commit
    from edgeflow_kv._keys import Note
    from edgeflow_kv._kv import KV
    from edgeflow_kv._reading import State

GUARD = 30.0
"""Seconds until somebody looks after the effects of a frame that rests for good."""


class Wakes(NamedTuple):
    """Which wake keys a commit puts, keeps and gives up."""

    key: str | None
    """The one that the frame asks for."""
    first: str | None
    """What must be there before the frame is."""
    is_put: bool
    """Whether `key` is there once `first` is."""
    old: tuple[str, ...]


def follows(state: State, commit: Commit) -> bool:
    """Whether a commit has the next number, and comes from the owner or opens."""
    tail = state.tail
    if tail is None or tail.deleted:
        return commit.seq == 1
    is_next = commit.seq == tail.last + 1 and commit.seq > 1
    return is_next and (commit.opens or commit.token.hex() == tail.token)


def needs_proof(state: State, commit: Commit) -> bool:
    """Whether it must be seen, once written, that it is not below a snapshot."""
    tail = state.tail
    return commit.opens or tail is None or tail.deleted or tail.released


def plan_wakes(state: State, commit: Commit, what: str) -> Wakes:
    """Choose the wakes of a commit, so that a crash at any point leaves one."""
    tail, keys = state.tail, state.keys
    held = tail.wake if tail is not None and state.has_wake else None
    is_over = commit.status in TERMINAL or commit.status == "blocked"
    old = () if tail is None else (*tail.old, *([tail.wake] if tail.wake else []))
    leased = max(commit.lease, 0.0)
    if is_over or commit.due is None:
        deadline = None
        if is_over or state.listed is None:
            deadline = commit.now + GUARD
        if deadline is None or (held and wake_time(held) <= milliseconds(deadline)):
            return Wakes(None, None, is_put=True, old=old)
        guard = keys.wake(deadline, what)
        return Wakes(None, guard, is_put=True, old=(*old, guard))
    when = commit.due if leased == 0 else max(commit.due, commit.now + leased)
    key = keys.wake(when, what)
    if held is None or wake_time(held) > milliseconds(when):
        return Wakes(key, key, is_put=True, old=old)
    soonest = milliseconds(commit.now + leased / 2)
    if leased and tail and not tail.released and wake_time(held) >= soonest:
        return Wakes(held, None, is_put=True, old=tuple(k for k in old if k != held))
    return Wakes(key, None, is_put=False, old=old)


class Draft(NamedTuple):
    """A record that is to be written."""

    record: Record
    wakes: Wakes
    acks: list[Note]
    backs: list[Back]


async def draft(kv: KV, state: State, commit: Commit) -> Draft:
    """Make the record of a commit that follows the state."""
    tail, position = state.tail, state.position + 1
    is_first = tail is None or tail.deleted
    is_cut = is_first or commit.snapshot
    stamp = STAMPS.next()
    wakes = plan_wakes(state, commit, f"f.{position}.{stamp}")
    acks, backs = await _messages(kv, state, commit, position)
    bodies = (*commit.frames, *(back.body for back in backs))
    record = Record(
        position=position,
        stamp=stamp,
        after=0 if tail is None else tail.stamp,
        life=state.life,
        snap=position if is_cut or tail is None else tail.snap,
        clean=position if tail is None else tail.clean,
        fence=commit.opens and not is_first and tail is not None and not tail.released,
        released=commit.lease <= 0,
        seq=commit.seq,
        token=commit.token.hex(),
        workflow=commit.workflow,
        status=commit.status,
        wake_at=commit.wake_at,
        awaiting=commit.awaiting,
        due=commit.due,
        updated=commit.now,
        lease=commit.now + commit.lease if commit.lease > 0 else 0.0,
        wake=wakes.key,
        old=wakes.old,
        acks=tuple(acks),
        sizes=tuple(map(len, bodies)),
        backs=tuple(back.note for back in backs),
        bodies=tuple(map(bytes, bodies)),
    )
    return Draft(record, wakes, acks, backs)


async def _messages(
    kv: KV, state: State, commit: Commit, position: int
) -> tuple[list[Note], list[Back]]:
    """Give what is consumed and what is unread again, what is still owed included."""
    acks, backs = list(state.acks), list(state.backs)
    for message in commit.acks:
        note = state.notes.get(message) or await find_note(kv, state, message)
        if note is not None and note not in acks:
            acks.append(note)
    for message, body in zip(commit.restored, commit.restored_bodies, strict=True):
        note = await find_note(kv, state, message)
        if note is not None:
            acks.append(note)  # the copy of before, should it be unread
            backs.append(Back(note._replace(copy=position), bytes(body)))
    consumed = {(note.id, note.copy) for note in acks}
    return acks, [b for b in backs if (b.note.id, b.note.copy) not in consumed]


def deletion(state: State) -> Record:
    """Make the record that ends a life: a fence for ever."""
    position, tail = state.position + 1, state.tail
    return Record(
        position=position,
        stamp=STAMPS.next(),
        after=0 if tail is None else tail.stamp,
        life=position,
        snap=position,
        clean=0 if tail is None else tail.clean,
        fence=True,
        released=True,
        deleted=True,
    )
