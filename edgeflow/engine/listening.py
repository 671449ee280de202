"""Reading the inbox of a run while it goes on, and giving out what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.errors import StoreUnavailable

if TYPE_CHECKING:
    from edgeflow.engine.run import Run


def fetch(run: Run) -> None:
    """Read the inbox again: something arrived, or it was never read."""

    def fetched(error: BaseException | None) -> None:
        if error is not None:
            run.give_up(StoreUnavailable(f"{run}: its inbox: {error}"))
        run.advance()

    if not run.over and run.resting is None:
        run.mailbox.fetch(fetched)


def look(run: Run) -> None:
    """Read the inbox just in case; if that fails the next look will do."""
    if not run.over and run.resting is None:
        run.mailbox.fetch(lambda _: run.advance())


def receive(run: Run) -> bool:
    """Give waiting messages to the receive that asked first; tell whether any went."""
    now = run.clock.now()
    for op in run.receivers.values():
        messages = run.mailbox.take(op.names, op.limit, now)
        if messages is None:
            if not run.mailbox.is_fetching:
                fetch(run)
            return False
        if messages:
            op.arrived(run, messages)
            return True
    return False
