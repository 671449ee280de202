"""Starting an instance, and opening one for a run: what is written before any body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.engine.failures import info
from edgeflow.engine.journal import Journal, Rest, Wiring
from edgeflow.errors import ErrorInfo, JournalDamaged, UnknownInstance
from edgeflow.outcome import Outcome
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from edgeflow.engine.inbox import Inbox
    from edgeflow.store import Loaded

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
) -> Journal:
    """Make the input durable, before any body code; with a lease, open it as well.

    Raises:
        Fenced: if the id is taken.
        ValueTooLarge: if the input is above the store's limit; nothing was written.
        StoreUnavailable: if it could not be written.
    """
    journal = Journal(wiring, instance, token)
    now = journal.tick()
    record = {
        "workflow": workflow,
        "input": value,
        "at": now,
        "birth": token.hex(),
        "version": wiring.version,
    }
    journal.set_record("start", record)
    if lease is None:
        await journal.flush(Rest("pending", due=now))
    else:
        await journal.flush(Rest("running", due=now, lease=lease), opens=True)
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
        return Journal.load(wiring, loaded, token), loaded
    except JournalDamaged as error:
        raise JournalDamaged(f"instance {instance!r}: {error}") from error


def settled(journal: Journal, inbox: Inbox) -> Outcome[Any] | None:
    """Answer from what is stored, if there is nothing to run now."""
    status = journal.status
    if status in TERMINAL or (status == "blocked" and not is_unblocked(journal)):
        return ended(journal)
    if status != "suspended" or is_due(journal, inbox):
        return None
    header = journal.header
    return Outcome(
        status, wake_at=header["wake_at"], awaiting=tuple(header["awaiting"])
    )


def ended(journal: Journal) -> Outcome[Any]:
    """Say how a terminal or blocked instance ended; its output is plain JSON."""
    error = journal.end.get("error")
    described = info(error) if error else None
    return Outcome(journal.status, journal.end.get("output"), described)


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
    if journal.status == "running":
        journal.deaths += 1
    if journal.status == "blocked":
        journal.set_record("end", {})
    now = journal.tick()
    await journal.flush(Rest("running", due=now, lease=lease), opens=True)
    if journal.deaths < MAX_CRASHES:
        return None
    return ErrorInfo(
        "CrashLoop",
        f"crash loop: the process ended {journal.deaths} times in a row during a run "
        "without a new entry. Mend what kills it, then call recover()",
    )
