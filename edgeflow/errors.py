"""Every exception of edgeflow, one sentence each.

    EdgeflowError
    ├── StepError                what a body sees of a step that failed for good
    ├── ChildError               what a body sees of a child without a result
    ├── FatalError, RetryAfter   what a step raises to steer its retries
    ├── JoinError, RaceError     (ExceptionGroups) branches of a block failed
    ├── ReceiveTimeout           (a TimeoutError) no message came in time
    ├── MessageInvalid           a message does not fit the type asked for
    ├── ReplyRefused             a message cannot be answered (again)
    ├── StateConflict            two steps changed one key of state
    ├── StateClosed              a draft of state was used after its step
    ├── DefinitionError          a workflow or step cannot be defined like this
    ├── ValueRefused             a value cannot cross the boundary
    │   ├── Unencodable          … into JSON
    │   ├── Undecodable          … back from JSON
    │   └── ValueTooLarge        … because of its size
    ├── BodyError                a body broke the rules of replay
    │   └── HistoryDiverged      … by not asking for what its history holds
    ├── WorkflowFailed, WorkflowCancelled, WorkflowBlocked    how a result is not there
    ├── AlreadyExists, UnknownInstance, UnknownWorkflow, InstanceFinished
    ├── NotRecoverable           recover: the instance neither failed nor is blocked
    ├── UnknownEntry             rewind: the history has no such entry
    ├── ConfigError              a setting is unknown or bad
    ├── ProcessEnding            this process was told to end, and takes no more work
    └── StoreError
        ├── StoreUnavailable     the store cannot be used now; nothing was lost
        ├── OutcomeUnknown       the answer to a write was lost
        ├── TooLarge             a frame or message is above the store's limit
        ├── JournalDamaged       stored frames cannot be read
        └── Conflict             another writer was there first
            └── Fenced           … so this process no longer owns the instance

    Suspension (a BaseException)   the body is being put away; it is not an error

This module imports nothing: everything else may import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from edgeflow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self


class EdgeflowError(Exception):
    """The root of everything that edgeflow raises on purpose."""


class Suspension(BaseException):
    """Raised in a body that is being put away, at every operation, until it ends.

    It is no `Exception`, so `except Exception` does not see it. Let it pass:
    the instance goes on later, from its journal, in this process or another.
    """


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An exception as the journal keeps it."""

    type: str
    """The qualified name of its class; never imported."""
    message: str
    data: Any = None
    """What `__edgeflow_data__()` gave, else the `args`; None if not encodable."""


StepErrorKind = Literal["exhausted", "fatal", "interrupted", "unencodable"]


class StepError(EdgeflowError):
    """Raised in the body if a step failed for good."""

    def __init__(
        self, kind: StepErrorKind, step: str, attempts: int, error: ErrorInfo
    ) -> None:
        """Make the error from what the journal holds, live and replayed alike."""
        self.kind: StepErrorKind = kind
        self.step = step
        self.attempts = attempts
        self.error = error
        noun = "attempt" if attempts == 1 else "attempts"
        super().__init__(
            f"step {step!r} failed ({kind}) after {attempts} {noun}: "
            f"{error.type}: {error.message}"
        )


ChildErrorKind = Literal["failed", "cancelled", "exists"]


class ChildError(EdgeflowError):
    """Raised in the body by `ctx.call` if the child gave no result."""

    def __init__(
        self, kind: ChildErrorKind, workflow: str, id: str, error: ErrorInfo
    ) -> None:
        """Make the error from what the journal holds, live and replayed alike."""
        self.kind: ChildErrorKind = kind
        self.workflow = workflow
        self.id = id
        self.error = error
        super().__init__(
            f"child {id!r} of workflow {workflow!r} gave no result ({kind}): "
            f"{error.type}: {error.message}"
        )


class FatalError(EdgeflowError):
    """Raised by a step that must not be tried again."""


class RetryAfter(EdgeflowError):
    """Raised by a step to set the delay before its next attempt, in seconds."""

    def __init__(self, seconds: float, message: str = "") -> None:
        """Ask for `seconds` of delay; the cap of the policy does not apply."""
        self.seconds = seconds
        super().__init__(message or f"retry after {seconds:g} s")


class BranchErrors(EdgeflowError, ExceptionGroup[Exception]):
    """The failures of a block's branches, by name; `except*` sees each of them."""

    errors: dict[str, Exception]
    """By the name of the branch, or the key of the item."""
    what: str
    """What failed: branches, or items."""

    def __new__(cls, errors: Mapping[str, Exception], what: str = "branches") -> Self:
        """Group the errors."""
        names = ", ".join(map(repr, errors))
        group = super().__new__(cls, f"{what} failed: {names}", list(errors.values()))
        group.errors, group.what = dict(errors), what
        return group

    def __init__(self, errors: Mapping[str, Exception], what: str = "branches") -> None:
        """Leave it as `__new__` has made it: that of a group wants other arguments."""

    def derive(self, excs: Sequence[Exception], /) -> Self:  # type: ignore[override]
        """Make a group of some of them, or of parts of them, under their names."""
        leaves = {name: _leaves(error) for name, error in self.errors.items()}
        found: dict[str, Exception] = {}
        for number, error in enumerate(excs):
            own = _leaves(error)
            names = (n for n in leaves if n not in found and own <= leaves[n])
            found[next(names, str(number))] = error
        return type(self)(found, self.what)

    def __edgeflow_data__(self) -> dict[str, Any]:
        """Name the branches, for a record of the failure."""
        return {name: [type(e).__name__, str(e)] for name, e in self.errors.items()}


def _leaves(error: BaseException) -> set[int]:
    if not isinstance(error, BaseExceptionGroup):
        return {id(error)}
    group = cast("BaseExceptionGroup[BaseException]", error)
    return {leaf for each in group.exceptions for leaf in _leaves(each)}


class JoinError(BranchErrors):
    """Raised by `ctx.join` and `ctx.map` if branches failed."""


class RaceError(BranchErrors):
    """Raised by `ctx.race` if all branches failed."""


class ReceiveTimeout(EdgeflowError, TimeoutError):
    """Raised by `ctx.receive` if no message came in time."""


class MessageInvalid(EdgeflowError):
    """Raised by `ctx.receive` if a message does not fit the type asked for."""

    def __init__(self, name: str, raw: Any, why: str) -> None:
        """Keep the plain JSON value as `raw`; the message is consumed."""
        self.name = name
        self.raw = raw
        super().__init__(f"message {name!r} does not fit: {why}")


class ReplyRefused(EdgeflowError):
    """Raised by `message.reply` if nobody asked, or it was answered already."""


class StateConflict(EdgeflowError):
    """Fails an attempt if another step changed the same key of state meanwhile."""


class StateClosed(EdgeflowError):
    """Raised by a draft of state that is used after its step ended."""


class DefinitionError(EdgeflowError):
    """Raised if a workflow, step or policy cannot be defined like this."""


class ValueRefused(EdgeflowError):
    """A value cannot cross the boundary; `path` is the place in it: `$.items[3]`."""

    def __init__(self, path: str, why: str) -> None:
        """Say where in the value the trouble is, and what it is."""
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")


class Unencodable(ValueRefused):
    """Raised if a value has no JSON form, or does not fit its annotation."""


class Undecodable(ValueRefused):
    """Raised if a JSON value does not fit today's annotation."""


class ValueTooLarge(ValueRefused):
    """Raised if a value is above the size that the store can hold."""


class BodyError(EdgeflowError):
    """Raised in a body that breaks the rules of replay; the instance is blocked."""


class HistoryDiverged(BodyError):
    """Raised if the body does not ask for what its history holds."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        """Say where history and code part."""
        self.path = path
        self.expected = expected
        self.found = found
        super().__init__(
            f"history and code differ at {path}: the journal holds {expected}, "
            f"the code asks for {found}. Put the old operation back, or open the "
            "instance with code that accounts for it, then call recover()"
        )


class WorkflowFailed(EdgeflowError):
    """Raised by `result` if the body raised."""

    def __init__(
        self, instance: str, error: ErrorInfo, undo_errors: tuple[ErrorInfo, ...] = ()
    ) -> None:
        """Carry the body's error, and those of undos that failed for good."""
        self.instance = instance
        self.error = error
        self.undo_errors = undo_errors
        why = f"failed: {error.type}: {error.message}"
        super().__init__(f"instance {instance!r} {why}{_undos(undo_errors)}")


class WorkflowCancelled(EdgeflowError):
    """Raised by `result` if the instance was cancelled."""

    def __init__(self, instance: str, undo_errors: tuple[ErrorInfo, ...] = ()) -> None:
        """Carry the errors of undos that failed for good."""
        self.instance = instance
        self.undo_errors = undo_errors
        super().__init__(f"instance {instance!r} was cancelled{_undos(undo_errors)}")


def _undos(errors: tuple[ErrorInfo, ...]) -> str:
    return "".join(f"; {error.message} ({error.type})" for error in errors)


class WorkflowBlocked(EdgeflowError):
    """Raised by `result` if the instance waits for corrected code."""

    def __init__(self, instance: str, reason: str) -> None:
        """Carry the reason; nothing was undone."""
        self.instance = instance
        self.reason = reason
        super().__init__(f"instance {instance!r} is blocked: {reason}")


class AlreadyExists(EdgeflowError):
    """Raised by `start` if the id is taken."""


class UnknownInstance(EdgeflowError):
    """Raised if no instance has this id."""

    def __init__(self, instance: str) -> None:
        """Name the id."""
        self.instance = instance
        super().__init__(f"no instance has the id {instance!r} in this store")


class UnknownWorkflow(EdgeflowError):
    """Raised if no workflow of this name is registered."""

    def __init__(self, workflow: str, known: list[str]) -> None:
        """Name what is registered."""
        self.workflow = workflow
        names = ", ".join(known) or "none"
        super().__init__(
            f"no workflow is called {workflow!r} here; registered: {names}"
        )


class InstanceFinished(EdgeflowError):
    """Raised if a message is sent to an instance that has ended."""

    def __init__(self, instance: str) -> None:
        """Name the receiver."""
        self.instance = instance
        super().__init__(f"instance {instance!r} has ended and takes no messages")


class NotRecoverable(EdgeflowError):
    """Raised by `recover` if the instance has not failed and is not blocked."""

    def __init__(self, instance: str, status: str) -> None:
        """Say how the instance rests; nothing was changed."""
        self.instance = instance
        self.status = status
        super().__init__(
            f"instance {instance!r} is {status}: only a failed or a blocked one can be "
            "recovered. To run a part of it again, call rewind(to)"
        )


class UnknownEntry(EdgeflowError):
    """Raised by `rewind` if the history holds no such entry."""

    def __init__(self, instance: str, path: Any) -> None:
        """Name the path that was asked for; nothing was changed."""
        self.instance = instance
        self.path = path
        super().__init__(
            f"the history of instance {instance!r} has no entry {path!r}: give a path "
            "as history() shows it, a list of [kind, name, ordinal]"
        )


class ConfigError(EdgeflowError):
    """Raised if a setting is unknown or bad; names its place and what is allowed."""


class ProcessEnding(EdgeflowError):
    """Raised if something is to run in a process that was told to end."""

    def __init__(self, what: str) -> None:
        """Say what does not run here any more."""
        super().__init__(
            f"{what}: this process was told to end; all that is recorded is durable, "
            "and goes on in another process"
        )


class StoreError(EdgeflowError):
    """The root of what a store raises; never counted as a failure of a step."""


class StoreUnavailable(StoreError):
    """Raised if the store cannot be used now; nothing that was flushed is lost."""


class OutcomeUnknown(StoreError):
    """Raised by a store if the answer to a write was lost."""


class TooLarge(StoreError):
    """Raised by a store, before any write, if something is above its limit."""

    def __init__(self, size: int, limit: int, what: str = "a frame") -> None:
        """Name both sizes, in bytes."""
        self.size = size
        self.limit = limit
        super().__init__(f"{what} of {size} bytes is above the limit of {limit} bytes")


class JournalDamaged(StoreError):
    """Raised if stored frames cannot be read: damaged, or of a newer format."""


class Conflict(StoreError):
    """Raised by a store if another writer was there first; nothing was written."""


class Fenced(Conflict):
    """Raised by a run whose instance another process has taken over."""

    def __init__(self, instance: str) -> None:
        """Name the instance."""
        self.instance = instance
        super().__init__(
            f"another process has taken instance {instance!r} over; "
            "this one stopped and wrote nothing more"
        )
