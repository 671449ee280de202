"""`ctx.checkpoint`: what was done before it is not undone any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from edgeflow.engine.ops.instant import InstantOp

if TYPE_CHECKING:
    from edgeflow.engine.run import Run


class CheckpointOp(InstantOp):
    """A point of no return, by the order of the journal."""

    kind: ClassVar[str] = "checkpoint"

    __slots__ = ()

    def begin(self, run: Run) -> None:
        run.complete(self, before=run.journal.checkpoint)
        run.journal.set_record("checkpoint", run.journal.completions)
        run.journal.forget_survivors()
