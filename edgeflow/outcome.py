"""What the outside sees of an instance: outcomes, listings, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from edgeflow.late import dataclass

if TYPE_CHECKING:
    from edgeflow.errors import ErrorInfo
    from edgeflow.store import Status

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """How one run of an instance ended."""

    status: Status
    output: T_co | None = None
    """What the body returned, if completed."""
    error: ErrorInfo | None = None
    """Why, if failed, undoing or blocked."""
    wake_at: float | None = None
    """When it asked to be woken, in s since the epoch; None: by a message only."""
    awaiting: tuple[str, ...] = ()
    """Names of the messages it waits for."""
    undo_errors: tuple[ErrorInfo, ...] = ()
    """Of the undos that failed for good."""


@dataclass(frozen=True, slots=True)
class Info:
    """An instance as its last flush left it; times are s since the epoch, UTC."""

    id: str
    workflow: str
    status: Status
    wake_at: float | None
    awaiting: tuple[str, ...]
    updated: float
    progress: Any = None
    """The value of `ctx.status`; not in listings."""
    error: ErrorInfo | None = None
    """Why it failed, is undoing or blocked; not in listings."""
    started: float = 0.0
    """When it was started; not in listings."""
    input: Any = None
    """As plain JSON; not in listings."""
    output: Any = None
    """As plain JSON; not in listings."""
    undo_errors: tuple[ErrorInfo, ...] = ()
    """Of the undos that failed for good; not in listings."""


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """One entry of a journal, as people read it."""

    path: list[list[str | int]]
    """[kind, name, ordinal] of each scope around it, and of itself."""
    kind: str
    name: str
    status: str
    """completed, failed or cancelled; retrying, started, open, begun or called."""
    attempts: int
    at: float
    """When it was recorded, in s since the epoch."""
    took: float | None = None
    """How long its last attempt ran, in seconds; steps only."""
    retry_at: float | None = None
    """When its next attempt is due."""
    value: Any = None
    """What was recorded, as plain JSON; of a turn of a loop, the state it got."""
    error: ErrorInfo | None = None
    workflow: str | None = None
    """Of the child that it made."""
    child: str | None = None
    """The id of that child, if it waits, or waited, for it."""
