"""What the caller is told: a status of HTTP, and plain JSON. Never a stack trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.ingress.refusing import CONFLICT
from edgeflow.platform import Answer
from edgeflow.values import dumps

if TYPE_CHECKING:
    from edgeflow.errors import ErrorInfo
    from edgeflow.ingress.refusing import Refused
    from edgeflow.outcome import Info, Outcome

OK = 200
ACCEPTED = 202
FAILED = 500
UNAVAILABLE = 503

STATUS = {"completed": OK, "failed": FAILED, "blocked": FAILED, "cancelled": CONFLICT}
"""How a caller who wants the result hears of an instance; else ACCEPTED (S27)."""

RETRY_SECONDS = 1


def answer(status: int, value: Any, **headers: str) -> Answer:
    """Make an answer of plain JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status=status, value=value, content=dumps(value), headers=named)


def result(instance: str, outcome: Outcome[Any], output: Any) -> Answer:
    """Answer who wants the result; `output` is that of the body, as plain JSON."""
    status = STATUS.get(outcome.status, ACCEPTED)
    if status == OK and outcome.error is not None:
        status = FAILED  # it has completed, but today's code cannot read its output
    return answer(status, output if status == OK else told(instance, outcome))


def told(instance: str, outcome: Outcome[Any] | Info) -> dict[str, Any]:
    """Say how an instance rests."""
    value: dict[str, Any] = {
        "id": instance,
        "status": outcome.status,
        "wake_at": outcome.wake_at,
        "awaiting": list(outcome.awaiting),
    }
    if outcome.error is not None:
        value["error"] = _error(outcome.error)
    if outcome.undo_errors:
        value["undo_errors"] = [_error(each) for each in outcome.undo_errors]
    return value


def looked(info: Info) -> dict[str, Any]:
    """Say all that is to be known of an instance from outside."""
    value = told(info.id, info) | {"workflow": info.workflow, "updated": info.updated}
    if info.progress is not None:
        value["progress"] = info.progress
    if info.status == "completed":
        value["output"] = info.output
    return value


def refused(refusal: Refused) -> Answer:
    """Tell that nothing was done, and why."""
    error = {"type": refusal.type, "message": refusal.message}
    return answer(refusal.status, {"error": error})


def unavailable(type_: str, message: str) -> Answer:
    """Tell that nothing, or nothing more, could be made durable: ask again."""
    error = {"type": type_, "message": message}
    return answer(UNAVAILABLE, {"error": error}, Retry_After=str(RETRY_SECONDS))


def _error(error: ErrorInfo) -> dict[str, str]:
    return {"type": error.type, "message": error.message}
