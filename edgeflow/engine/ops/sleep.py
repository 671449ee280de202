"""Waiting for a time: `ctx.sleep`, and the timers of asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgeflow.engine.operation import Op

if TYPE_CHECKING:
    from edgeflow.engine.entries import Entry
    from edgeflow.engine.loop import BodyTimer
    from edgeflow.engine.run import Run


class SleepOp(Op[None]):
    """Waits until a time, in s since the epoch."""

    kind: ClassVar[str] = "sleep"

    __slots__ = ("until",)

    def __init__(self, run: Run, name: str, until: float) -> None:
        """Wait until `until`."""
        super().__init__(run, name)
        self.until = until

    def begin(self, run: Run) -> None:
        run.timers.set(self.key, self.until, lambda: run.complete(self))

    def outcome(self, data: dict[str, Any]) -> None:
        pass

    def abandon(self, run: Run) -> None:
        if run.timers.cancel(self.key):
            run.journal.record(self.path, "cancelled", key=self.key, completion=False)


class TimerOp(Op[None]):
    """A timer of the body's loop: `asyncio.sleep`, `timeout`, `call_later`."""

    kind: ClassVar[str] = "timer"

    __slots__ = ("timer",)

    def __init__(self, run: Run, timer: BodyTimer) -> None:
        """Stand for `timer` among the operations."""
        super().__init__(run, "timer")
        self.timer = timer
        timer.op = self

    def begin(self, run: Run) -> None:
        run.timers.set(self.key, self.timer.when(), lambda: run.complete(self))

    def settle(self, entry: Entry) -> None:
        self.timer.fire()

    def abandon(self, run: Run) -> None:
        run.timers.cancel(self.key)
