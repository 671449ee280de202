"""What observers hear: only what is durable, at most once, never on replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeflow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgeflow.errors import ErrorInfo

EventKind: TypeAlias = Literal[
    "step_completed",
    "attempt_failed",
    "message_received",
    "suspended",
    "completed",
    "failed",
    "cancelled",
    "blocked",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to an instance; times in s since the epoch."""

    kind: EventKind
    instance: str
    workflow: str
    at: float
    path: str = ""
    """Where in the body: `pay[0] > charge[1]`."""
    attempt: int = 0
    """Which attempt of a step it was."""
    final: bool = False
    """Whether a failed attempt was the last one."""
    delay: float | None = None
    """Seconds until the next attempt."""
    took: float | None = None
    """Seconds that the attempt ran."""
    wake_at: float | None = None
    awaiting: tuple[str, ...] = ()
    error: ErrorInfo | None = None


Observer: TypeAlias = "Callable[[Event], Awaitable[None] | None]"
