"""Rehearsing: a stored history against today's code; nothing runs or is written."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from edgeflow.engine import ending, frames, opening, reading, undo
from edgeflow.engine.committing import resolve
from edgeflow.engine.inbox import Inbox
from edgeflow.engine.run import Run
from edgeflow.errors import JournalDamaged
from edgeflow.late import replace
from edgeflow.store import Frame, Head, Loaded
from edgeflow.values import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.engine.journal import Journal
    from edgeflow.engine.plan import Plan
    from edgeflow.engine.wiring import Wiring
    from edgeflow.errors import EdgeflowError


class Rehearsal(Run):
    """Hands a history to the body, and ends where a run would begin to act."""

    def __init__(
        self, journal: Journal, plan: Plan, rested: Callable[[Run], None]
    ) -> None:
        """Replay a journal that nobody will flush."""
        workflow: str = journal.start["workflow"]
        body, settings = plan.body(workflow), plan.settings(workflow)
        super().__init__(journal, body, settings, Inbox(()), rested)
        self.silent = True
        self.stop(0.0)

    def _stop(self) -> None:
        if any(op.key in self.journal.kept for op in self.asked):
            self.begin(self.next_asked())
            while self.settled:
                self.deliver(self.settled.popleft()[0])
            self.advance_soon()
            return
        if not self.is_verified:
            self.violation = ending.passed_over(self)
        self._leave()

    def _end(self) -> None:
        ending.conclude(self, self.task)
        self._leave()

    def _leave(self) -> None:
        self.put_away()
        self._rested(self)


async def examine(wiring: Wiring, plan: Plan, instance: str) -> EdgeflowError | None:
    """Say why an instance would be blocked if it were run with today's code.

    Raises:
        UnknownInstance: if there is none.
    """
    try:
        journal, _ = await opening.load(wiring, instance, b"")
    except JournalDamaged as error:
        return error
    if journal.undo or journal.cancel:
        return None  # it ends, whatever its body asks for
    return await rehearse(plan, journal)


async def rehearse(plan: Plan, journal: Journal) -> EdgeflowError | None:
    """Say what today's code does not agree with in a history; it is used up by this."""
    journal.undo, journal.cancel = {}, {}
    journal.replay = deque(each for each in journal.replay if each.kind != undo.KIND)
    host = asyncio.get_running_loop()
    over: asyncio.Future[None] = host.create_future()
    run = Rehearsal(journal, plan, lambda _: resolve(over))
    host.call_soon(run.advance)
    await over
    if run.failure is not None:
        raise run.failure
    return run.violation


# --- histories outside of a store ----------------------------------------------------


def exported(journal: Journal) -> dict[str, Any]:
    """Give all that is recorded, as plain JSON; `imported` reads it."""
    header = {name: value for name, value in journal.header.items() if name != "part"}
    lines = journal.lines.take(snapshot=True)
    return {
        "format": frames.FORMAT,
        "instance": journal.instance,
        "header": header,
        "records": [frames.parse(line) for line in lines],
    }


def imported(wiring: Wiring, export: Mapping[str, Any]) -> Journal:
    """Rebuild the journal that `exported` made plain; it is of no store.

    Raises:
        ValueError: if it is none, or one of another format.
    """
    if export.get("format") != frames.FORMAT or "records" not in export:
        raise ValueError(
            f"this is no history in format {frames.FORMAT}: take what "
            "`edgeflow show ID --json` prints with this edgeflow"
        )
    header: dict[str, Any] = {**export["header"], "prev": 0}
    lines = [dumps(record) for record in export["records"]]
    codec, limits = frames.PlainCodec(), wiring.store.limits
    bodies = frames.build(header, lines, limits.max_frame, codec)
    found = [Frame(seq, body) for seq, body in enumerate(bodies, start=1)]
    head = Head(
        export["instance"],
        seq=len(found),
        token=b"",
        workflow="",
        status=header["status"],
        wake_at=header["wake_at"],
        awaiting=tuple(header["awaiting"]),
        updated=header["at"],
    )
    return reading.load(replace(wiring, codec=codec), Loaded(head, found, ()), b"")
