"""What a handler raises, so that Lambda sees a failed invocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from edgeflow.errors import EdgeflowError

if TYPE_CHECKING:
    from edgeflow.platform import Answer

NOTHING_THERE = 404
"""An answer like others: it is what a wake gets whose instance was deleted."""


class Unavailable(EdgeflowError):
    """Raised if nothing could be made durable; call again, as Lambda does by itself."""


class Refused(EdgeflowError):
    """Raised if an event was not understood, or not let in; nothing was done."""


def failure(answer: Answer) -> EdgeflowError | None:
    """Give what to raise for an answer; None: what was asked for is decided."""
    if not answer.is_decided:
        return Unavailable(f"not done: {_reason(answer.value)}")
    if answer.is_refused and answer.status != NOTHING_THERE:
        return Refused(f"refused ({answer.status}): {_reason(answer.value)}")
    return None


def _reason(value: Any) -> str:
    """Find the sentence in an answer; it is on one line."""
    while isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        value = inner.get("message", inner.get("error"))
    return " ".join(str(value).split())
