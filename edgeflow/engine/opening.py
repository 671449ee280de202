"""Starting an instance, and opening one for a run: what is written before any body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.engine import frames, reading
from edgeflow.engine.composing import Rest
from edgeflow.engine.failures import info
from edgeflow.engine.inbox import shown
from edgeflow.engine.journal import Journal
from edgeflow.errors import ErrorInfo, JournalDamaged, UnknownInstance
from edgeflow.outcome import Outcome
from edgeflow.store import TERMINAL
from edgeflow.values import dumps

if TYPE_CHECKING:
    from edgeflow.engine.inbox import Inbox
    from edgeflow.engine.wiring import Wiring
    from edgeflow.store import Loaded, Status

MAX_CRASHES = 10
"""Deaths in a row, without a new entry, after which an instance is blocked."""


async def start(
    wiring: Wiring,
    instance: str,
    workflow: str,
    value: Any,
    *,
    token: bytes,
    lease: float | None,
    replaces: Loaded | None = None,
) -> Journal:
    """Make the input durable, before any body code; with a lease, open it as well.

    Of an instance that it replaces nothing is left, in the same commit.

    Raises:
        Fenced: if the id is taken, or by another one than it replaces.
        ValueTooLarge: if the input is above the store's limit; nothing was written.
        StoreUnavailable: if it could not be written.
    """
    journal = Journal(wiring, instance, token)
    journal.check_size(len(dumps(value)), "$")
    now = journal.tick()
    record = {
        "workflow": workflow,
        "input": value,
        "at": now,
        "birth": token.hex(),
        "version": wiring.version,
    }
    journal.set_record("start", record)
    if replaces is not None:
        journal.seq = replaces.head.seq
        for message in replaces.messages:
            journal.acknowledge(message.id)
    if lease is None:
        await journal.flush(Rest("pending", due=now), opens=replaces is not None)
    else:
        rest = Rest("running", due=now, lease=lease, resting=False)
        await journal.flush(rest, opens=True)
    return journal


async def load(wiring: Wiring, instance: str, token: bytes) -> tuple[Journal, Loaded]:
    """Read an instance.

    Raises:
        UnknownInstance: if there is none.
        JournalDamaged: if its journal cannot be read; names the instance.
    """
    with wiring.clock.busy():
        loaded = await wiring.store.load(instance)
    if loaded is None:
        raise UnknownInstance(instance)
    try:
        return reading.load(wiring, loaded, token), loaded
    except JournalDamaged as error:
        if is_void(wiring, loaded):
            raise UnknownInstance(instance) from error
        raise JournalDamaged(f"instance {instance!r}: {error}") from error


def is_void(wiring: Wiring, loaded: Loaded) -> bool:
    """Tell whether its start was never written whole: it counts as not started."""
    return frames.is_void(loaded.frames, wiring.codec)


def settled(journal: Journal, inbox: Inbox) -> Outcome[Any] | None:
    """Answer from what is stored, if there is nothing to run now."""
    status = journal.status
    if status in TERMINAL or (status == "blocked" and not is_unblocked(journal)):
        return ended(journal)
    header = journal.header
    is_asleep = status == "suspended" or (status == "undoing" and header["resting"])
    if not is_asleep or is_due(journal, inbox):
        return None
    return Outcome(
        status,
        error=error_of(journal),
        wake_at=header["wake_at"],
        awaiting=shown(header["awaiting"]),
    )


def ended(journal: Journal) -> Outcome[Any]:
    """Say how a terminal or blocked instance ended; its output is plain JSON."""
    return Outcome(
        journal.status,
        journal.end.get("output"),
        error_of(journal),
        undo_errors=undo_errors_of(journal),
    )


def error_of(journal: Journal) -> ErrorInfo | None:
    """Say why an instance failed or is blocked, or will fail once it is undone."""
    undoing = journal.undo.get("end", {})
    error = journal.end.get("error") or undoing.get("error")
    return info(error) if error else None


def undo_errors_of(journal: Journal) -> tuple[ErrorInfo, ...]:
    """Give the errors of the undos that failed for good."""
    return tuple(info(error) for error in journal.end.get("undo_errors", ()))


def is_unblocked(journal: Journal) -> bool:
    """Tell whether other code than that which was blocked is here now (S29)."""
    version = journal.wiring.version
    return version is not None and version != journal.end.get("version")


def is_due(journal: Journal, inbox: Inbox) -> bool:
    """Tell whether a suspended instance has anything to do now."""
    now = journal.wiring.clock.now()
    due = journal.header["due"]
    if due is not None and due <= now:
        return True
    visible = inbox.visible_at(journal.header["awaiting"])
    return visible is not None and visible <= now


async def take_over(journal: Journal, lease: float) -> ErrorInfo | None:
    """Append an OPEN: from now on nobody else can write; tell of a crash loop.

    Raises:
        Fenced: if somebody else was quicker.
        StoreUnavailable: if it could not be written.
    """
    if not journal.header["resting"]:
        journal.deaths += 1
    if journal.status == "blocked":
        journal.set_record("end", {})
    now = journal.wiring.clock.now()
    status: Status = "undoing" if journal.undo else "running"
    await journal.flush(Rest(status, due=now, lease=lease, resting=False), opens=True)
    if journal.deaths < MAX_CRASHES:
        return None
    return ErrorInfo(
        "CrashLoop",
        f"crash loop: the process ended {journal.deaths} times in a row during a run "
        "without a new entry. Mend what kills it, then call recover()",
    )
