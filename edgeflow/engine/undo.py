"""Undo: what completed steps did is taken back, the newest completion first.

It is a list of entries and not a second run of the body: functions are found by
the name that the journal holds, and results come from the journal.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from edgeflow.engine.ops.step import StepOp, StepOptions
from edgeflow.engine.scope import show
from edgeflow.errors import BodyError, DefinitionError, StepError, ValueRefused
from edgeflow.late import dataclass, replace
from edgeflow.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.engine.entries import Entry
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.run import Run
    from edgeflow.engine.scope import Key
    from edgeflow.values import Converter

KIND = "undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A function that takes back what a step did."""

    name: str
    """`module:function`, as the journal keeps it."""
    function: Callable[..., Any]
    argument: Callable[[], Converter[Any]]
    """Gives what makes a recorded result its argument."""
    result: Callable[[], Converter[Any]]
    options: StepOptions
    """How it is attempted; the policy of its step is in it, unless it has its own."""
    plain: bool
    is_declared: bool = False
    """Whether `@charge.undo` made it: then the code knows its policy by its name."""

    def record(self) -> dict[str, Any]:
        """Say in the entry of a step how it is to be undone."""
        if self.is_declared:
            return {"undo": self.name}
        policy = self.options.policy
        retry = [getattr(policy, field) for field in RETRY_FIELDS]
        return {
            "undo": self.name,
            "undo_policy": {"retry": retry, "timeout": self.options.timeout},
        }

    def as_recorded(self, data: dict[str, Any]) -> Undo:
        """Give it the policy that the entry of a step asks for, if it does."""
        policy = data.get("undo_policy")
        if policy is None:
            return self
        retry = Retry(**dict(zip(RETRY_FIELDS, policy["retry"], strict=True)))
        options = replace(self.options, retry=retry, timeout=policy["timeout"])
        return replace(self, options=options)


RETRY_FIELDS = ("attempts", "first", "factor", "cap", "jitter")
DECLARED: dict[str, Undo] = {}
"""What `@charge.undo` made in this process, by name."""
_STEPS: dict[str, str] = {}
"""Which step each of them undoes."""


# --- names ----------------------------------------------------------------------


def name_of(function: Callable[..., Any]) -> str:
    """Give the name under which another process finds a function.

    Raises:
        DefinitionError: if there is none: it is a closure, a lambda or a partial.
    """
    module: str | None = getattr(function, "__module__", None)
    name: str | None = getattr(function, "__qualname__", None)
    if not module or not name or "<" in name:
        raise DefinitionError(
            f"undo {name or function!r} cannot be found by its name, and after a crash "
            "it is called in another process: use a function of a module, no closure, "
            "lambda or partial"
        )
    return f"{module}:{name}"


def declare(undo: Undo, step: str) -> Undo:
    """Remember an undo that a module declares for its step.

    One that serves several steps is that of the first; for the others the entries
    themselves say what their policy is.

    Raises:
        DefinitionError: if another function has its name.
    """
    known = DECLARED.get(undo.name)
    if known is None or _STEPS[undo.name] == step:
        DECLARED[undo.name], _STEPS[undo.name] = undo, step
        return undo
    if known.function is undo.function:
        return replace(undo, is_declared=False)
    raise DefinitionError(
        f"{undo.name} is the undo of {_STEPS[undo.name]} already: "
        "give each undo a name of its own"
    )


def lookup(name: str, names: Mapping[str, Any]) -> object | None:
    """Find a function by its name, in its module or in `names`; import nothing."""
    module, _, path = name.partition(":")
    homes = [vars(sys.modules[module])] if module in sys.modules else []
    for home in (*homes, names):
        first, *rest = path.split(".")
        found: object = home.get(first)
        for part in rest:
            found = getattr(found, part, None)
        if found is not None:
            return found
    return None


# --- what is to be undone ---------------------------------------------------------


def undone(journal: Journal) -> set[Key]:
    """Give the steps whose undo has ended, well or not."""
    return {
        entry.key[:-2]
        for entry in journal.entries.values()
        if entry.kind == KIND and entry.is_done
    }


def owed(journal: Journal) -> list[Entry]:
    """Give the steps that are to be undone, the newest completion first."""
    past = undone(journal)
    found = (
        entry
        for entry in journal.entries.in_order()
        if "undo" in entry.data
        and entry.status == "completed"
        and entry.data["n"] > journal.checkpoint
        and entry.key not in past
    )
    return list(found)[::-1]


def errors(journal: Journal) -> list[dict[str, Any]]:
    """Describe the undos that failed for good, in their order."""
    found: list[dict[str, Any]] = []
    for entry in journal.entries.in_order():
        if entry.kind == KIND and entry.status == "failed":
            error: dict[str, Any] = entry.data["error"]
            what = f"undo {entry.path[-1][1]} of {show(entry.path[:-1])}"
            found.append({**error, "message": f"{what}: {error['message']}"})
    return found


# --- undoing ----------------------------------------------------------------------


class UndoOp(StepOp[Any]):
    """The undo of one recorded step: a step itself."""

    kind: ClassVar[str] = KIND

    __slots__ = ()

    def __init__(self, run: Run, entry: Entry, undo: Undo, *, is_last: bool) -> None:
        """Undo what `entry` recorded; the last one is flushed with the final status.

        Raises:
            BodyError: if the recorded result does not fit the function.
        """
        known = undo.argument()

        def value() -> Any:
            return known.decode(run.journal.value(entry.key))

        try:
            value()
        except ValueRefused as error:
            raise BodyError(
                f"the recorded result of {show(entry.path)} does not fit "
                f"undo {undo.name}: {error}"
            ) from error
        options = replace(undo.options, durability="suspend" if is_last else "step")
        function = undo.function
        super().__init__(
            run,
            options,
            lambda: lambda: function(value()),
            undo.result(),
            plain=undo.plain,
            path=(*entry.path, (KIND, undo.name.partition(":")[2], 0)),
        )


async def undo_all(run: Run) -> None:
    """Be the body of an instance that is undoing.

    Raises:
        BodyError: if a function is not there any more, or a result does not fit it.
    """
    entries = owed(run.journal)
    for entry in entries:
        name: str = entry.data["undo"]
        undo = run.find_undo(name)
        if undo is None:
            raise BodyError(
                f"undo {name} of {show(entry.path)} is not there: put a function of "
                "this name back; nothing was skipped"
            )
        known = undo.as_recorded(entry.data)
        op = UndoOp(run, entry, known, is_last=entry is entries[-1])
        run.ask(op)
        try:
            with suppress(StepError):  # it is recorded; the others are undone as well
                await op.future
        finally:
            run.drop(op)
