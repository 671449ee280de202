"""Children: how they come to be, and what passes between them and their parent.

A birth is recorded in the parent's journal, and the child is created after the
flush that holds it; until that is done the parent does not rest. A child that is
waited for tells its end by a message to its parent, with its final flush. It is
cancelled by a message of its parent, for which every such child waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgeflow.engine import cancelling, listening, opening
from edgeflow.engine.composing import Rest
from edgeflow.engine.failures import describe
from edgeflow.engine.inbox import CANCEL, TAKEN, Posted
from edgeflow.engine.journal import Journal
from edgeflow.engine.scope import stable_id
from edgeflow.errors import (
    AlreadyExists,
    Fenced,
    InstanceFinished,
    StoreError,
    StoreUnavailable,
    WorkflowCancelled,
)
from edgeflow.late import dataclass
from edgeflow.store import TERMINAL, Envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.engine.entries import Entry
    from edgeflow.engine.run import Run
    from edgeflow.engine.scope import Key
    from edgeflow.engine.wiring import Wiring

How: TypeAlias = Literal["new", "known", "stranger"]
"""Whether a child was created, was there already, or cannot be, its id being taken."""


def completion_name(child: str) -> str:
    """Name the message by which a child tells its end."""
    return f"~child/{child}"


@dataclass(frozen=True, slots=True)
class Birth:
    """A child that is to be created once this is durable."""

    child: str
    """Its id."""
    start: dict[str, Any]
    """Its start record; `birth` in it is made of the parent's entry."""

    @property
    def id(self) -> str:
        found: str = self.start["birth"]
        return found

    @property
    def is_called(self) -> bool:
        """Whether the parent waits for its end."""
        return "message" in self.start["parent"]


Met: TypeAlias = tuple[Birth, How]


def bear(
    run: Run, key: Key, child: str, workflow: str, plain: Any, *, call: bool
) -> None:
    """Let a child be created after the next flush; `call`: its end is waited for."""
    journal = run.journal
    birth = birth_of(journal, key)
    parent: dict[str, Any] = {
        "id": run.id,
        "birth": journal.start["birth"],
        "generation": journal.generation,
    }
    if call:
        parent["message"] = completion_name(child)
    start = {
        "workflow": workflow,
        "input": plain,
        "at": journal.tick(),
        "birth": birth,
        "version": journal.wiring.version,
        "parent": parent,
    }
    journal.bear(birth, {"child": child, "start": start})


def awaited_of(journal: Journal, key: Key, child: str) -> tuple[str, ...]:
    """Name the messages that tell of the child of a call, or that its id is taken."""
    name = completion_name(child)
    if child == journal.stable_id(key):
        return (name,)
    return name, TAKEN + birth_of(journal, key)


def birth_of(journal: Journal, key: Key) -> str:
    """Give what tells the child of this operation from all other instances."""
    return stable_id(journal.stable_id(key), "birth")


# --- the parent's side ----------------------------------------------------------


def owed(journal: Journal) -> list[Birth]:
    """Give the children that are to be created after the flush that begins now."""
    return [Birth(**record) for record in journal.births.values()]


async def create(journal: Journal, births: Sequence[Birth]) -> list[Met]:
    """Create children whose births are durable; tell what was found.

    Raises:
        StoreUnavailable: if one could not be created; the next owner creates it.
    """
    work = (_create(journal.wiring, birth) for birth in births)
    found = await asyncio.gather(*work, return_exceptions=True)
    met: list[Met] = []
    for birth, answer in zip(births, found, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        journal.born(birth.id)
        met.append((birth, answer))
    return met


def announce(run: Run, births: Sequence[Met]) -> None:
    """Let the process know of children that are there now."""
    for birth, met in births:
        if met != "stranger":
            run.settings.born(run.id, birth.child, met == "known")
        if met != "new":
            listening.fetch(run)  # there may be a message about it


async def _create(wiring: Wiring, birth: Birth) -> How:
    """Create a child, or meet who has its id."""
    after = 0
    while True:
        try:
            await _begin(wiring, birth, after)
        except Fenced:
            with wiring.clock.busy():
                there = await wiring.store.load(birth.child)
            if there is None or not opening.is_void(wiring, there):
                return await _meet(wiring, birth)
            after = there.head.seq
        else:
            return "new"


async def _begin(wiring: Wiring, birth: Birth, after: int) -> None:
    # The same token for all who create it: a lost answer is then found written.
    journal = Journal(wiring, birth.child, bytes.fromhex(birth.id))
    journal.seq = after
    now = journal.tick()
    journal.set_record("start", birth.start)
    await journal.flush(Rest("pending", due=now), opens=after > 0)


async def _meet(wiring: Wiring, birth: Birth) -> How:
    """Deal with the instance that has the child's id."""
    known, _ = await opening.load(wiring, birth.child, b"")
    if known.start["birth"] == birth.id:
        return "known"
    parent, ours = known.start.get("parent", {}), birth.start["parent"]
    earlier = parent.get("message") is not None and parent["id"] == ours["id"]
    if earlier and parent != ours:  # of what the parent did before it forgot
        if birth.is_called and known.status in TERMINAL:
            ended = ending_of(known, known.status)
            name = completion_name(birth.child)
            await _tell(wiring, birth, name, f"~again/{birth.id}", ended)
        return "known"
    if birth.is_called:
        error = AlreadyExists(f"instance {birth.child!r} exists already")
        end = {"status": "exists", "error": describe(error)}
        await _tell(wiring, birth, TAKEN + birth.id, TAKEN + birth.id, end)
    return "stranger"


async def _tell(
    wiring: Wiring, birth: Birth, name: str, id_: str, end: dict[str, Any]
) -> None:
    """Tell the parent of an end that the child's own final flush does not tell."""
    parent = birth.start["parent"]
    body = Posted(end, wiring.clock.now()).seal(wiring.codec)
    message = Envelope(parent["id"], id_, name, body)
    try:
        with wiring.clock.busy():
            await wiring.store.send(message)
    except InstanceFinished:
        return
    except StoreError:
        raise
    except Exception as error:
        raise StoreUnavailable(f"{birth.child!r} cannot be called: {error}") from error


def cancel(run: Run, entry: Entry) -> None:
    """Cancel a called child, which nobody waits for any more, with the next flush."""
    journal, child = run.journal, entry.data["child"]
    birth = birth_of(journal, entry.key)
    fields = {"child": child, "workflow": entry.data["workflow"]}
    journal.record(entry.path, "cancelled", key=entry.key, completion=False, **fields)
    ended = run.mailbox.take([completion_name(child)], 1, run.clock.now())
    if ended:
        journal.acknowledge(ended[0].id)
    elif not journal.unbear(birth):
        name = CANCEL + birth
        run.post(child, name, name, Posted(None, journal.now), 0.0)


# --- the child's side -------------------------------------------------------------


def cancel_name(journal: Journal) -> str | None:
    """Name the message by which the parent cancels; None: it cannot (any more)."""
    parent = journal.start.get("parent", {})
    if "message" not in parent or journal.cancel or journal.undo:
        return None
    birth: str = journal.start["birth"]
    return CANCEL + birth


def heed(run: Run) -> bool:
    """Obey the parent that cancels, if it does; tell whether it did."""
    run.mailbox.has_news = False
    name = cancel_name(run.journal)
    if name is None:
        return False
    found = run.mailbox.take([name], 1, run.clock.now())
    if not found:
        return False
    run.journal.acknowledge(found[0].id)
    cancelling.cancel(run)
    run.journal.set_record("cancel", {**run.journal.cancel, "by": "parent"})
    return True


def concluded(run: Run, rest: Rest) -> None:
    """Tell the parent how it ended; leave no child that was waited for behind."""
    if rest.status not in (*TERMINAL, "undoing"):
        return
    for entry in list(run.journal.pending.values()):
        if entry.kind == "call":
            run.receivers.pop(entry.key, None)
            cancel(run, entry)
    journal = run.journal
    parent = journal.start.get("parent", {})
    unheard = journal.cancel.get("by") == "parent"  # it waits no longer
    if rest.status in TERMINAL and "message" in parent and not unheard:
        id_ = f"~end/{journal.start['birth']}/{journal.generation}"
        posted = Posted(ending_of(journal, rest.status), journal.now)
        run.post(parent["id"], id_, parent["message"], posted, 0.0)


def ending_of(journal: Journal, status: str) -> dict[str, Any]:
    """Say how an instance ended, as its parent hears it."""
    end: dict[str, Any] = {"status": status}
    if status == "completed":
        end["output"] = journal.end.get("output")
    elif status == "cancelled":
        end["error"] = describe(WorkflowCancelled(journal.instance))
    else:
        end["error"] = journal.end["error"]
    return end


def kin(journal: Journal) -> list[str]:
    """Give the ids of the children that an instance started, or still waits for."""
    owed = {birth["child"] for birth in journal.births.values()}
    found = [e.data["child"] for e in journal.pending.values() if e.kind == "call"]
    found += [
        entry.data["value"]
        for entry in journal.entries.values()
        if entry.kind == "start"
    ]
    return [child for child in dict.fromkeys(found) if child not in owed]
