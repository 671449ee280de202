"""What the operations of a body deal with: asked, recorded, delivered, dropped.

Recorded completions reach the body one at a time and in their recorded order,
live and replayed alike: that is what makes a replay repeat every choice.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections import deque
from typing import TYPE_CHECKING, Any

from edgeflow.engine.operation import NO_OPERATIONS, Op
from edgeflow.engine.ops.sleep import TimerOp
from edgeflow.engine.ops.step import NO_STEPS
from edgeflow.engine.queues import NOTHING
from edgeflow.engine.scope import Key, Scope, scope, show
from edgeflow.engine.timers import Timers
from edgeflow.errors import BodyError, HistoryDiverged, Suspension, ValueRefused
from edgeflow.store import Envelope

if TYPE_CHECKING:
    from edgeflow.engine.entries import Entry
    from edgeflow.engine.flushing import Flusher
    from edgeflow.engine.inbox import Posted, Receiver
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.loop import BodyLoop, BodyTimer
    from edgeflow.engine.run import Run
    from edgeflow.engine.settings import Durability, Settings
    from edgeflow.errors import DefinitionError
    from edgeflow.events import EventKind

REFUSALS = 1000
"""How often a body that swallows its refusals is refused, before it is held."""


NO_KEYS: dict[Key, None] = {}
"""Empty, and replaced where something is put into it."""


class Desk:
    """The operations of one run."""

    __slots__ = (
        "_refusals",
        "asked",
        "body",
        "cancelling",
        "clock",
        "executing",
        "flusher",
        "id",
        "is_verified",
        "journal",
        "linger_until",
        "number",
        "over",
        "receivers",
        "recorded_names",
        "removed",
        "root",
        "run",
        "settings",
        "settled",
        "silent",
        "skipped",
        "timers",
        "unawaited",
        "violation",
        "waiting",
        "workflow_name",
    )

    flusher: Flusher
    body: BodyLoop
    run: Run

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
        self.number = 0
        """How many operations it has called."""
        self.unawaited = NO_OPERATIONS
        """What the body has called, and not yet awaited, by number."""
        self.executing = NO_STEPS
        self.receivers: dict[Key, Receiver] = {}
        self.timers = Timers()
        self.violation: BodyError | DefinitionError | None = None
        self.over = False
        self.cancelling = False
        """Whether the body is being told that its instance is cancelled."""
        self.linger_until: float | None = None
        self.asked: deque[Op[Any]] = NOTHING
        self.settled: deque[tuple[Entry, int]] = NOTHING
        self.skipped: dict[Key, None] = NO_KEYS
        self.silent = False
        """Whether nobody is to hear of what the body does: it is a rehearsal."""
        self.removed: dict[Key, None] = NO_KEYS
        """Scopes with a name of which the code says that it is no more."""
        self.is_verified = bool(journal.kept)
        """Whether all that is under way was asked for, or will be in its turn."""
        self.recorded_names: dict[Key, dict[str, int]] | None = None
        """What was recorded in each scope; known once a gate has asked."""
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
                del self.skipped[entry.key]
                return
            vouched = self._is_vouched_for(entry, scopes=True)
            if vouched or self.is_removed(entry.key):
                return
            found = f"a completed {entry.path[-1][0]}"
            raise HistoryDiverged(show(entry.path), found, "nothing of that name")
        self.body.now = max(self.body.now, entry.data["at"])
        try:
            op.settle(entry)
        except ValueRefused as error:
            if self._is_vouched_for(entry):
                return  # its block does not need it
            raise BodyError(
                f"the recorded outcome of {show(entry.path)} does not fit the code: "
                f"{error}"
            ) from error

    def _is_vouched_for(self, entry: Entry, *, scopes: bool = False) -> bool:
        """Tell whether it lies in a block that has ended and is waited for."""
        for size in range(2, len(entry.key), 2):
            block = entry.key[:size]
            known = self.journal.entries.get(block)
            if known is None or not known.is_done:
                continue
            if known.position <= self.journal.recovered:
                continue  # it is done again, with what was kept
            if block in self.waiting or (scopes and known.kind == "scope"):
                return True  # a scope is waited for at its end only
        return False

    def verify(self) -> None:
        """Check that the code has asked for all that is under way in its history.

        Raises:
            HistoryDiverged: if it has not.
        """
        self.is_verified = True
        recovered = self.journal.recovered
        for entry in self.journal.pending.values():
            if 0 < recovered >= entry.position:
                continue  # what came before it may be done again, or otherwise
            asked = entry.key in self.waiting or self.is_removed(entry.key)
            past = self.journal.entries.is_past(entry) or self._is_in_ended(entry)
            if not (asked or past):
                found = f"a {entry.kind} under way"
                raise HistoryDiverged(show(entry.path), found, "nothing of that name")

    def _is_in_ended(self, entry: Entry) -> bool:
        """Tell whether it lies in a block that has ended, and so vouches for it."""
        blocks = (entry.key[:size] for size in range(2, len(entry.key), 2))
        known = (self.journal.entries.get(block) for block in blocks)
        return any(block is not None and block.is_done for block in known)

    def is_removed(self, key: Key) -> bool:
        """Tell whether the code says that it, or what it lies in, is no more."""
        return bool(self.removed) and any(
            key[:size] in self.removed for size in range(1, len(key), 2)
        )

    # --- what operations ask for ------------------------------------------------

    def check_open(self) -> bool:
        """Refuse an operation of a body that is to end, or of a cancelled branch.

        False: it was refused so often that only waiting for ever brings it to rest.

        Raises:
            Suspension: if the run is over.
            CancelledError: if the instance, or the branch of a block, is cancelled.
            BodyError: if the body broke the rules before; again and again.
        """
        error: BaseException | None = self.violation
        if self.over:
            error = error or Suspension(f"{self} is suspended")
        elif self.cancelling or scope.get(self.root).is_closed:
            error = error or CancelledError(f"{self} goes on without this")
        if error is None:
            return True
        self._refusals += 1
        if self._refusals > REFUSALS:
            return False
        raise error

    def ask(self, op: Op[Any]) -> None:
        """Take up an operation that the body began to wait for."""
        if self.settings.strict_names and op.path[-1][2] != 0 and op.kind != "timer":
            error = BodyError(
                f"the name {op.name!r} is used a second time in "
                f"{show(op.path[:-1])}, and strict_names is set"
            )
            self.violate(error)
            raise error
        if self.removed and self.is_removed(op.key):
            error = BodyError(
                f"{show(op.path)} is asked for where ctx.removed says that it is no "
                "more: give the new operation another name"
            )
            self.violate(error)
            raise error
        entry = self.journal.entries.get(op.key)
        if entry is not None and entry.kind != op.kind:
            if self._is_vouched_for(entry):
                return  # its block does not need it
            found = f"a {entry.kind}"
            diverged = HistoryDiverged(show(entry.path), found, f"a {op.kind}")
            self.violate(diverged)
            raise diverged
        self.waiting[op.key] = op
        if op.at_once:
            op.enter(self.run)
        if entry is None or not entry.is_done or op.key in self.journal.kept:
            self.line_up(op)

    def line_up(self, op: Op[Any]) -> None:
        """Let an operation begin, or go on, in its turn."""
        if self.asked is NOTHING:
            self.asked = deque()
        self.asked.append(op)

    def drop(self, op: Op[Any]) -> None:
        """Let go of an operation that the body waits for no longer, if it did."""
        if self.waiting.get(op.key) is not op:
            return
        del self.waiting[op.key]
        op.leave()
        if self.over:
            return
        entry = self.journal.entries.get(op.key)
        if entry is not None and "n" in entry.data and not entry.delivered:
            self.skipped = self.skipped or {}
            self.skipped[op.key] = None
        else:
            with self.journal.wholeness:
                op.abandon(self.run)

    def timer_set(self, timer: BodyTimer) -> None:
        if self.check_open():
            self.ask(TimerOp(self.run, timer))

    def timer_cancelled(self, timer: BodyTimer) -> None:
        if isinstance(timer.op, TimerOp):
            self.drop(timer.op)

    def close_scope(self, where: Scope) -> None:
        """Cancel what still runs in a scope that is over, and refuse all further."""
        where.close()
        size = len(where.key)
        for op in list(self.waiting.values()):
            if len(op.key) > size and op.key[:size] == where.key:
                op.future.cancel()

    def next_asked(self) -> Op[Any]:
        """Take what was asked first; before it, what has an outcome that was kept."""
        kept = self.journal.kept
        known = [op for op in self.asked if op.key in kept] if kept else []
        if not known:
            if not (self.is_verified or self.journal.undo):
                self.verify()
            return self.asked.popleft()
        op = min(known, key=lambda op: kept[op.key].position)
        self.asked.remove(op)
        return op

    def begin(self, op: Op[Any]) -> None:
        """Start an operation, or hand out the outcome that was kept of it."""
        if self.waiting.get(op.key) is not op:
            return
        kept = self.journal.kept.get(op.key)
        if kept is not None and op.takes_kept:
            self.land(self.journal.record_again(kept))
        else:
            self.journal.kept.pop(op.key, None)
            op.begin(self.run)

    def wait_for(self, receiver: Receiver) -> None:
        """Let a receive wait for messages, behind those that were asked for before.

        A loop begins with its last turn on replay, and so asks sooner than it did.
        """
        last = next(reversed(self.receivers.values()), receiver)
        self.receivers[receiver.key] = receiver
        if last.since > receiver.since:
            found = sorted(self.receivers.items(), key=lambda item: item[1].since)
            self.receivers = dict(found)

    def complete(self, op: Op[Any], **fields: Any) -> None:
        """Record an operation as done; its result need not be durable first."""
        entry = self.journal.record(op.path, "completed", key=op.key, **fields)
        self.land(entry)

    def land(self, entry: Entry, needed: int = 0) -> None:
        """Let a completion reach the body in its turn, once that change is durable."""
        if self.settled is NOTHING:
            self.settled = deque()
        self.settled.append((entry, needed))

    def settle(self, entry: Entry, durability: Durability) -> None:
        """Let a recorded completion reach the body in its turn."""
        if durability == "step":
            self.land(entry, self.journal.lines.mark)
            return
        self.land(entry)
        if durability == "behind":
            self.flusher.urgent = True

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
