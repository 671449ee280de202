"""How a run ended: its result on stdout, all else on stderr, and an exit code."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeflow.cli._errors import COMPLETED, FAILED, SUSPENDED
from edgeflow.cli._text import clean
from edgeflow.cli._times import waiting

if TYPE_CHECKING:
    from edgeflow.cli._console import Console
    from edgeflow.outcome import Outcome


VERBS = {"blocked": "is", "running": "is", "undoing": "is", "cancelled": "was"}


def exit_code(status: str) -> int:
    """Give the exit code of a command that left its instance in this status."""
    return {"completed": COMPLETED, "suspended": SUSPENDED}.get(status, FAILED)


def report(
    console: Console,
    instance: str,
    outcome: Outcome[Any],
    output: object,
    *,
    as_json: bool,
    now: float,
) -> int:
    """Write an outcome, its output being plain JSON; give the exit code.

    Times are relative to `now`, in s since the epoch.
    """
    if as_json:
        console.out.json(
            {
                "id": instance,
                "status": outcome.status,
                "output": output,
                "error": None if outcome.error is None else asdict(outcome.error),
                "undo_errors": [asdict(error) for error in outcome.undo_errors],
                "wake_at": outcome.wake_at,
                "awaiting": list(outcome.awaiting),
            }
        )
    elif outcome.status == "completed":
        _write_result(console, output)
    if outcome.status == "suspended":
        err = console.err
        words = clean(waiting(outcome.wake_at, outcome.awaiting, now))
        console.live.line(f"{err.sign('suspended')} suspended, waits: {words}")
    elif outcome.status != "completed":
        verb = VERBS.get(outcome.status, "has")
        why = ""
        if outcome.error is not None:
            kind = "" if outcome.status == "blocked" else f"{outcome.error.type}: "
            why = f": {kind}{outcome.error.message}"
        console.live.line(
            f"edgeflow: instance {instance!r} {verb} {outcome.status}{clean(why)}"
        )
        for error in outcome.undo_errors:
            console.live.line(f"edgeflow: {clean(error.message)} ({error.type})")
    return exit_code(outcome.status)


def _write_result(console: Console, output: object) -> None:
    """Write the result for a person, or on one line for a program."""
    if console.out.tty:
        text = json.dumps(output, ensure_ascii=not console.out.unicode, indent=2)
        console.out.line(text)
    else:
        console.out.json(output)
