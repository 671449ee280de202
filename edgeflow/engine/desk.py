"""What the operations of a body deal with: asked, recorded, delivered, dropped.

Recorded completions reach the body one at a time and in their recorded order,
live and replayed alike: that is what makes a replay repeat every choice.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from edgeflow.engine.scope import Scope, show
from edgeflow.engine.timers import Timers
from edgeflow.errors import BodyError, HistoryDiverged, Suspension, ValueRefused
from edgeflow.store import Envelope

if TYPE_CHECKING:
    from edgeflow.engine.flushing import Flusher
    from edgeflow.engine.inbox import Posted
    from edgeflow.engine.journal import Entry, Journal
    from edgeflow.engine.loop import BodyLoop
    from edgeflow.engine.operation import Op, Operation
    from edgeflow.engine.ops.receive import Receiving
    from edgeflow.engine.ops.step import StepOp
    from edgeflow.engine.scope import Key
    from edgeflow.engine.settings import Durability, Settings
    from edgeflow.errors import DefinitionError
    from edgeflow.events import EventKind

REFUSALS = 1000
"""How often a body that swallows its refusals is refused, before it is held."""


class Desk:
    """The operations of one run."""

    flusher: Flusher
    body: BodyLoop

    def __init__(self, journal: Journal, settings: Settings) -> None:
        """Serve the body of an opened journal."""
        self.id = journal.instance
        self.workflow_name: str = journal.start["workflow"]
        self.journal = journal
        self.clock = journal.wiring.clock
        self.settings = settings
        self.root = Scope((), journal.start["birth"])
        self.waiting: dict[Key, Op[Any]] = {}
        """What the body waits for, by identity."""
        self.numbers = count()
        self.unawaited: set[Operation[Any]] = set()
        """What the body has called, and not yet awaited."""
        self.executing: dict[Key, StepOp[Any]] = {}
        self.receivers: dict[Key, Receiving[Any, Any]] = {}
        self.timers = Timers()
        self.violation: BodyError | DefinitionError | None = None
        self.over = False
        self.linger_until: float | None = None
        self.asked: deque[Op[Any]] = deque()
        self.settled: deque[tuple[Entry, int]] = deque()
        self.skipped: set[Key] = set()
        self._refusals = 0

    def __repr__(self) -> str:
        return f"instance {self.id!r} of {self.workflow_name!r}"

    def deliver(self, entry: Entry) -> None:
        """Hand one recorded completion to the body; live and replayed alike."""
        entry.delivered = True
        self.linger_until = None
        op = self.waiting.pop(entry.key, None)
        if op is None:
            if entry.key in self.skipped:
                self.skipped.discard(entry.key)
                return
            found = f"a completed {entry.path[-1][0]}"
            raise HistoryDiverged(show(entry.path), found, "nothing of that name")
        self.body.now = max(self.body.now, entry.data["at"])
        try:
            op.settle(entry)
        except ValueRefused as error:
            raise BodyError(
                f"the recorded outcome of {show(entry.path)} does not fit the code: "
                f"{error}"
            ) from error

    # --- what operations ask for ------------------------------------------------

    def check_open(self) -> bool:
        """Refuse an operation of a body that is being put away, or broke the rules.

        False: it was refused so often that only waiting for ever brings it to rest.

        Raises:
            Suspension: if the run is over.
            BodyError: if the body broke the rules before; again and again.
        """
        if self.violation is None and not self.over:
            return True
        self._refusals += 1
        if self._refusals > REFUSALS:
            return False
        raise self.violation or Suspension(f"{self} is suspended")

    def ask(self, op: Op[Any]) -> None:
        """Take up an operation that the body began to wait for."""
        if self.settings.strict_names and op.path[-1][2] != 0 and op.kind != "timer":
            error = BodyError(
                f"the name {op.name!r} is used a second time in "
                f"{show(op.path[:-1])}, and strict_names is set"
            )
            self.violate(error)
            raise error
        self.waiting[op.key] = op
        entry = self.journal.entries.get(op.key)
        if entry is None:
            self.asked.append(op)
            return
        kind = entry.path[-1][0]
        if kind != op.kind:
            diverged = HistoryDiverged(show(entry.path), f"a {kind}", f"a {op.kind}")
            self.violate(diverged)
            raise diverged
        if "n" not in entry.data:
            self.asked.append(op)

    def complete(self, op: Op[Any], **fields: Any) -> None:
        """Record an operation as done; its result need not be durable first."""
        entry = self.journal.record(op.path, "completed", key=op.key, **fields)
        self.settled.append((entry, 0))

    def settle(self, entry: Entry, durability: Durability) -> None:
        """Let a recorded completion reach the body in its turn."""
        needed = self.journal.mark if durability == "step" else 0
        self.settled.append((entry, needed))
        self.flusher.urgent |= durability == "behind"

    def post(self, to: str, id_: str, name: str, posted: Posted, at: float) -> None:
        """Let a message go out with the next flush."""
        body = posted.seal(self.journal.wiring.codec)
        self.journal.send(Envelope(to, id_, name, body, at))

    def emit(self, kind: EventKind, **details: Any) -> None:
        """Let observers hear of something once it is durable."""
        self.flusher.emit(kind, **details)

    def violate(self, error: BodyError | DefinitionError) -> None:
        """Remember the first breach of the rules; the instance becomes blocked."""
        if self.violation is None:
            self.violation = error
