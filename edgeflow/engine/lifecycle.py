"""What is done to an instance from outside of it: cancel, recover, rewind.

Each reads the journal, changes it, and writes one commit that takes the instance
over from whoever runs it: either all of it happened, or nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from edgeflow.engine import cancelling, opening
from edgeflow.engine.composing import Rest
from edgeflow.engine.forgetting import Forgotten, position
from edgeflow.engine.inbox import Posted
from edgeflow.engine.scope import key_of
from edgeflow.errors import Fenced, NotRecoverable, StoreUnavailable, UnknownEntry
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from edgeflow.engine.entries import Entry
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.run import Run
    from edgeflow.engine.scope import Key
    from edgeflow.engine.worker import Worker
    from edgeflow.store import Status

    Change: TypeAlias = Callable[[Journal], Rest | None]

log = logging.getLogger("edgeflow")

ROUNDS = 100
"""How often somebody else may write in between before an outsider gives up."""

RECEIVES = {"receive", "receive_many"}


async def cancel(worker: Worker, instance: str) -> bool:
    """Have an instance cancelled; False: it has ended, or is undoing already.

    Raises:
        UnknownInstance: if there is none.
        StoreUnavailable: if it could not be written, or that is not known.
    """
    await worker.openings.over(instance)
    run = worker.runs.get(instance)
    if run is not None and run.resting is None:
        if run.journal.cancel or run.journal.undo:
            return False
        cancelling.cancel(run)
        try:
            if run.journal.cancel:
                return await _made_durable(worker, run)
            await worker.next_outcome(run)  # it ends: how, is not written yet
        except Fenced:
            log.info("%s went on elsewhere while it was being cancelled", run)
    return await revise(worker, instance, cancelled)


async def _made_durable(worker: Worker, run: Run) -> bool:
    """Wait until what the run has recorded by now is in the store."""
    done = run.flusher.written(run.journal.mark)
    rest = asyncio.ensure_future(worker.next_outcome(run))
    either: set[asyncio.Future[Any]] = {done, rest}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        rest.cancel()
    if not done.done():
        rest.result()
    return True


async def revise(worker: Worker, instance: str, change: Change) -> bool:
    """Let `change` have the journal, and write what it made of it in one commit.

    False: there was nothing to be changed, and nothing was written.

    Raises:
        UnknownInstance: if there is none.
        StoreUnavailable: if it could not be written, or that is not known.
    """
    await worker.openings.over(instance)
    for _ in range(ROUNDS):
        token = worker.plan.token()
        journal, _ = await opening.load(worker.wiring, instance, token)
        rest = change(journal)
        if rest is None:
            return False
        worker.revising[instance] += 1
        try:
            await journal.flush(rest, opens=True)
            worker.overtaken(journal)
        except Fenced:
            continue
        finally:
            worker.revising -= Counter([instance])  # keeps what is above zero
        return True
    raise StoreUnavailable(
        f"instance {instance!r} is written to by others without a pause: try again"
    )


def cancelled(journal: Journal) -> Rest | None:
    """Have the instance cancelled when it is opened next; None: it is too late."""
    status = journal.status
    if status in TERMINAL or journal.undo:
        return None
    if journal.cancel and (
        status != "blocked" or journal.cancel.get("from") == "blocked"
    ):
        return None
    journal.set_record("cancel", {"at": journal.tick(), "from": status})
    if status == "blocked":
        journal.set_record("end", {})
    return Rest("suspended", due=_now(journal))


def recovered(journal: Journal) -> Rest:
    """Let a failed or blocked instance go on from where it stopped.

    Raises:
        NotRecoverable: if it is neither.
    """
    if journal.status == "blocked":
        journal.set_record("end", {})
        journal.deaths = 0
        idle: Status = "undoing" if journal.undo else "suspended"
        return Rest(idle, due=_now(journal))
    if journal.status != "failed":
        raise NotRecoverable(journal.instance, journal.status)
    gone = Forgotten(journal.entries)
    gone.add(_known(journal, journal.end.get("causes", ())))
    gone.add_undone()
    gone.add_cancelled()
    late = [entry for entry in gone.entries() if _is_late(entry)]
    rest = _again(journal, gone, journal.completions)
    for entry in late:  # its time begins now
        journal.record(entry.path, "again", key=entry.key, completion=False)
    return rest


def rewound(journal: Journal, to: Sequence[Sequence[Any]]) -> Rest:
    """Forget an entry and all that was recorded after it.

    Raises:
        UnknownEntry: if there is no such entry; nothing is changed.
    """
    path, at = position(journal.entries, to, journal.recovered)
    if at is None:
        raise UnknownEntry(journal.instance, to)
    gone = Forgotten(journal.entries)
    undone = gone.add_undone()
    gone.add_since(at)
    gone.add_below(path)
    if undone:
        gone.add_cancelled()
    gone.add_cut_off()
    if journal.checkpoint >= at:
        journal.set_record("checkpoint", _checkpoint_before(journal, at))
    return _again(journal, gone, at - 1 if undone else 0)


def _again(journal: Journal, gone: Forgotten, recovered: int) -> Rest:
    """Forget entries; what else was done up to `recovered` has no order any more."""
    keys = gone.closed()
    _restore(journal, (journal.entries[key] for key in keys))
    journal.forget(keys)
    journal.set_record("generation", journal.generation + 1)
    if recovered > journal.recovered:
        journal.set_record("recovered", recovered)
    for name in ("end", "undo", "cancel"):
        if getattr(journal, name):
            journal.set_record(name, {})
    journal.deaths = 0
    return Rest("pending", due=_now(journal))


def _now(journal: Journal) -> float:
    """Give the clock's time, by which it is due; the journal's may be ahead of it."""
    return journal.wiring.clock.now()


def _restore(journal: Journal, entries: Iterable[Entry]) -> None:
    """Put the messages of forgotten receives back into the inbox."""
    codec = journal.wiring.codec
    for entry in entries:
        if entry.kind not in RECEIVES or not entry.is_done:
            continue
        for item in entry.data["value"]:
            posted = Posted(
                item["body"], item["sent_at"], item["ask"], item["deadline"]
            )
            journal.restore(item["id"], posted.seal(codec))


def _is_late(entry: Entry) -> bool:
    return entry.kind in RECEIVES and entry.is_done and not entry.data["value"]


def _known(journal: Journal, paths: Iterable[Any]) -> list[Key]:
    keys = [key_of(tuple(map(tuple, path))) for path in paths]
    return [key for key in keys if key in journal.entries]


def _checkpoint_before(journal: Journal, at: int) -> int:
    """Give the position of the last checkpoint that is left."""
    done = journal.entries.in_order()
    passed = [e for e in done if e.kind == "checkpoint"]
    left = [e.data["n"] for e in passed if e.data["n"] < at]
    # Those of pruned turns are known by the next one only.
    left += [e.data["before"] for e in passed if e.data.get("before", at) < at]
    return max(left, default=0)
