"""Steps: functions with effects, attempted until their outcome is recorded."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from edgeflow.engine.attempt import Attempt, StepContext
from edgeflow.engine.failures import describe, info, rebuild
from edgeflow.engine.operation import Op
from edgeflow.engine.scope import show
from edgeflow.errors import (
    BodyError,
    HistoryDiverged,
    RetryAfter,
    StepErrorKind,
    ValueRefused,
)
from edgeflow.late import dataclass
from edgeflow.retry import Retry
from edgeflow.state import Draft

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.run import Run
    from edgeflow.engine.scope import Key, Path
    from edgeflow.engine.settings import Durability
    from edgeflow.engine.undo import Undo
    from edgeflow.values import Converter

T = TypeVar("T")

log = logging.getLogger("edgeflow")

NO_STEPS: dict[Key, StepOp[Any]] = {}
"""Empty, and replaced where something is put into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """How a step is attempted and recorded."""

    name: str
    retry: Retry | None = None
    """None: `Retry()`, or a single attempt if `at_most_once`."""
    timeout: float | None = None
    """Seconds for each attempt; None: no limit."""
    durability: Durability | None = None
    """None: that of the workflow, else of the app."""
    at_most_once: bool = False
    raises: tuple[type[Exception], ...] = ()
    undo: Undo | None = None
    """What takes its effect back if the instance fails or is cancelled."""

    @property
    def policy(self) -> Retry:
        if self.retry is not None:
            return self.retry
        return Retry(attempts=1) if self.at_most_once else DEFAULT_RETRY


DEFAULT_RETRY = Retry()


class StepOp(Op[T]):
    """One call of a step in a body."""

    kind: ClassVar[str] = "step"

    __slots__ = (
        "attempt",
        "call",
        "context",
        "converter",
        "cut_off",
        "number",
        "options",
        "plain",
    )

    def __init__(
        self,
        run: Run,
        options: StepOptions,
        bind: Callable[[], Callable[[], Any]],
        converter: Converter[T],
        *,
        plain: bool,
        path: Path | None = None,
    ) -> None:
        """Prepare a call; `plain` functions run in a thread.

        `bind` takes the arguments as they are now; what is recorded needs none.
        """
        super().__init__(run, options.name, path)
        entry = run.journal.entries.get(self.key)
        self.call = bind() if entry is None or not entry.is_done else None
        self.options = options
        self.converter = converter
        self.plain = plain
        self.context = copy_context()
        self.number = 1
        self.attempt: Attempt | None = None
        self.cut_off = False

    # --- attempts -----------------------------------------------------------

    def begin(self, run: Run) -> None:
        entry = run.journal.entries.get(self.key)
        if entry is None and not self.options.at_most_once:
            self._enter(run)
        elif entry is None:
            self._try(run)
        elif entry.status == "started":
            self.number = entry.attempts
            died = {
                "type": "Interrupted",
                "message": "the process ended during the attempt; it may have happened",
                "data": None,
            }
            self._fail(run, "interrupted", died)
        elif entry.status == "cancelled":
            raise HistoryDiverged(
                show(self.path), "a cancelled step", "a step that is waited for"
            )
        else:
            self.number = entry.attempts + 1
            run.timers.set(
                self.key, entry.data["retry_at"], lambda: self._retry(run, entry.mark)
            )

    def _retry(self, run: Run, mark: int) -> None:
        run.flusher.when_durable(mark, lambda: self._try(run))

    def _try(self, run: Run) -> None:
        if run.waiting.get(self.key) is not self:
            return
        if not self.options.at_most_once:
            self._enter(run)
            return
        entry = run.journal.record(
            self.path,
            "started",
            key=self.key,
            completion=False,
            attempts=self.number,
        )
        run.flusher.when_durable(entry.mark, lambda: self._enter(run))

    def _enter(self, run: Run) -> None:
        if run.waiting.get(self.key) is not self:
            return
        if run.executing is NO_STEPS:
            run.executing = {}
        run.executing[self.key] = self
        if run.flusher.is_wanted:  # it is on its way before code of others runs
            run.flusher.flush()
        if run.over or run.eviction is not None:
            del run.executing[self.key]
            return
        journal, now = run.journal, run.clock.now()
        draft = Draft(journal.state, self.name)
        timeout = self.options.timeout
        deadline = None if timeout is None else now + timeout
        step = StepContext(run, self, self.number, deadline, draft)
        if witness := journal.wiring.witness:
            witness.began(run.id, self.key, show(self.path), self.number)
        attempt = self.attempt = Attempt(step, draft, run.clock, now)
        call = self.call
        if call is None:
            raise RuntimeError(f"{show(self.path)} is recorded, and was begun again")
        depth = journal.wholeness.lend()
        try:
            has_ended = attempt.start(
                call,
                host=run.host,
                threads=run.settings.threads if self.plain else None,
                timeout=timeout,
                context=self.context,
                ended=lambda: self._ended(run),
            )
            if has_ended:
                run.has_stepped = True
                self._conclude(run)
        except (KeyboardInterrupt, SystemExit):  # the process ends, and the attempt
            run.executing.pop(self.key, None)
            raise
        finally:
            journal.wholeness.take_back(depth)

    def _ended(self, run: Run) -> None:
        self._conclude(run)
        run.advance()

    def _conclude(self, run: Run) -> None:
        attempt = self.attempt
        if attempt is None or run.executing.pop(self.key, None) is None:
            return
        self.attempt = None
        try:
            if not run.over and not self.cut_off:
                self._judge(run, attempt)
        except Exception as error:  # of a predicate of its Retry, say
            where = show(self.path)
            run.violate(BodyError(f"how {where} ended cannot be judged: {error!r}"))
        finally:
            attempt.draft.close()

    def _judge(self, run: Run, attempt: Attempt) -> None:
        now = run.clock.now()
        took = round(now - attempt.began, 6)
        try:
            result = attempt.result()
            value = self.converter.encode(result)
            draft = attempt.draft
            changes = draft.changes(run.journal.state) if draft.touched else {}
            for key, encoded in changes.items():
                run.journal.check_size(len(encoded or b""), f"state[{key!r}]")
            self._succeed(run, value, changes, took, now)
        except ValueRefused as error:
            kind = type(error).__name__
            described = {"type": kind, "message": str(error), "data": None}
            self._fail(run, "unencodable", described, took)
        except (KeyboardInterrupt, SystemExit):
            run.stop(0.0)  # the process ends, and with it the attempt
        except BaseException as error:
            if isinstance(error, CancelledError) and run.stopping:
                return  # cut off by an eviction: this does not count as a failure
            self._failed(run, error, took)

    def _succeed(
        self,
        run: Run,
        value: Any,
        changes: dict[str, bytes | None],
        took: float,
        now: float,
    ) -> None:
        undo = self.options.undo
        with run.journal.wholeness:
            entry = run.journal.record(
                self.path,
                "completed",
                key=self.key,
                now=now,
                attempts=self.number,
                took=took,
                value=value,
                **(undo.record() if undo else {}),
            )
            if changes:
                run.journal.set_state(changes)
        self._witness(run)
        if run.settings.observers.all:
            path = show(self.path)
            run.emit("step_completed", path=path, attempt=self.number, took=took)
        run.settle(entry, self._durability(run))

    def _failed(self, run: Run, error: BaseException, took: float) -> None:
        policy = self.options.policy
        log.info(
            "step %s of %s: attempt %d failed",
            show(self.path),
            run.id,
            self.number,
            exc_info=error,
        )
        described = describe(error)
        if isinstance(error, BodyError) or not policy.matches(error):
            self._fail(run, "fatal", described, took)
        elif self.number >= policy.attempts:
            self._fail(run, "exhausted", described, took)
        else:
            self._back_off(run, error, described, took)

    def _back_off(
        self, run: Run, error: BaseException, described: dict[str, Any], took: float
    ) -> None:
        if isinstance(error, RetryAfter):
            delay = max(0.0, error.seconds)
        else:
            delay = self.options.policy.delay(self.number, run.settings.chance())
        retry_at = max(run.journal.now, run.clock.now()) + delay
        entry = run.journal.record(
            self.path,
            "retrying",
            key=self.key,
            completion=False,
            attempts=self.number,
            took=took,
            error=described,
            retry_at=retry_at,
        )
        self._tell(run, described, took, delay)
        self.number += 1
        run.timers.set(self.key, retry_at, lambda: self._retry(run, entry.mark))

    def _fail(
        self,
        run: Run,
        kind: StepErrorKind,
        described: dict[str, Any],
        took: float | None = None,
    ) -> None:
        entry = run.journal.record(
            self.path,
            "failed",
            key=self.key,
            attempts=self.number,
            took=took,
            kind=kind,
            error=described,
        )
        self._tell(run, described, took, None)
        run.settle(entry, self._durability(run))

    def _tell(
        self,
        run: Run,
        described: dict[str, Any],
        took: float | None,
        delay: float | None,
    ) -> None:
        self._witness(run)
        run.emit(
            "attempt_failed",
            path=show(self.path),
            attempt=self.number,
            final=delay is None,
            delay=delay,
            took=took,
            error=info(described),
        )

    def _witness(self, run: Run) -> None:
        if witness := run.journal.wiring.witness:
            witness.ended(run.id, self.key, show(self.path), self.number)

    def _durability(self, run: Run) -> Durability:
        if self.options.at_most_once:
            return "step"
        return self.options.durability or run.settings.durability

    def tell_to_stop(self) -> None:
        """Set the step's `.stopping`."""
        if self.attempt is not None:
            self.attempt.step.stopping.set()

    def cut(self) -> None:
        """Cancel the running attempt because the process ends."""
        if self.attempt is not None:
            self.attempt.cancel()

    # --- outcome ------------------------------------------------------------

    def outcome(self, data: dict[str, Any]) -> T:
        if data["status"] == "completed":
            return self.converter.decode(data.pop("value"))
        raise rebuild(self.name, data, self.options.raises)

    def abandon(self, run: Run) -> None:
        """Cancel a running attempt; what it does from now on counts for nothing."""
        run.timers.cancel(self.key)
        began = run.executing.pop(self.key, None) is not None
        if self.attempt is not None:
            self.attempt.cancel()
            self.attempt.draft.close()
            self.attempt = None
        entry = run.journal.entries.get(self.key)
        if began or (entry is not None and entry.status != "cancelled"):
            run.journal.record(
                self.path,
                "cancelled",
                key=self.key,
                completion=False,
                attempts=self.number,
            )
