"""Cancelling an instance in its run: it is recorded first, then the body is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.engine.run import Run


def cancel(run: Run) -> None:
    """Record that the instance is to end as cancelled; then tell the body."""
    if run.over or run.is_ending or run.journal.cancel or run.journal.undo:
        return
    now = run.journal.tick()
    run.journal.set_record("cancel", {"at": now, "from": "running"})
    run.flusher.when_durable(run.journal.mark, lambda: _accept(run))
    run.advance_soon()


def _accept(run: Run) -> None:
    run.is_cancelled = True


def cancel_body(run: Run) -> None:
    """Tell the body: every operation refuses from now on."""
    run.cancelling = True
    if run.task is not None:
        run.task.cancel()
