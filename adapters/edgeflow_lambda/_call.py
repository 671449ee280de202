"""One invocation, and what all kinds of events ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.platform import Endpoint


@dataclass(frozen=True, slots=True)
class Call:
    """What Lambda has called the handler with, and who answers."""

    event: Any
    context: Any
    """A LambdaContext; outside of Lambda something like it, or None.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """
    endpoint: Endpoint

    def seconds_left(self, at_most: float | None = None) -> float | None:
        """Give the seconds until Lambda, or who waits `at_most`, wants the answer."""
        ask = getattr(self.context, "get_remaining_time_in_millis", None)
        if ask is None:
            return at_most
        left: float = ask() / 1000
        return left if at_most is None else min(left, at_most)

    @property
    def id(self) -> str | None:
        """The id of the request: a retry of an asynchronous invocation has the same."""
        return getattr(self.context, "aws_request_id", None)


def table(value: Any) -> dict[str, Any]:
    """Give an object of JSON as it is, and an empty one in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Kind:
    """Events of one kind: each has a module of its own."""

    fits: Callable[[Any], bool]
    """Whether an event is of this kind."""
    serve: Callable[[Call], Any]
    """Answers it, as this kind wants its answers.

    Raises:
        Refused: if nothing was done, and the caller has no other way to learn that.
        Unavailable: if it is to be called again.
    """
