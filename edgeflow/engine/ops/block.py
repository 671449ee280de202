"""What join, race, map and loop have in common: tasks of the body in scopes.

On replay the branches run again, from their entries, and give the same result as
they did live; it reaches the body when the block's own record is reached. If
today's code of a branch cannot give it any more, the recorded value does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from edgeflow.engine.operation import Op
from edgeflow.engine.scope import scope, show
from edgeflow.errors import BodyError, HistoryDiverged, Unencodable
from edgeflow.values import converter, dumps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow.engine.entries import Entry
    from edgeflow.engine.run import Run
    from edgeflow.engine.scope import Scope

T = TypeVar("T")

VALUE_LIMIT = 64 * 1024
"""Bytes of a block's value above which its branches alone have to give it."""

NO_VALUE = object()


class Branch:
    """One branch of a block: a task in a scope of its own."""

    __slots__ = ("task",)

    def __init__(self, run: Run, inner: Scope, work: Coroutine[Any, Any, Any]) -> None:
        """Start it."""
        context = copy_context()
        context.run(scope.set, inner)
        self.task = run.body.create_task(work, context=context)


class BlockOp(Op[T], Generic[T]):
    """An operation that runs branches in the body."""

    at_once: ClassVar[bool] = True
    takes_kept: ClassVar[bool] = False

    __slots__ = ("branches", "failed", "inner", "natural", "over", "recorded", "run")

    def __init__(self, run: Run, name: str) -> None:
        """Stand for a block in the current scope."""
        super().__init__(run, name)
        self.inner = scope.get(run.root).at(self.path[-1])
        self.run = run
        self.branches: dict[Branch, None] = {}
        self.natural: Any = NO_VALUE
        self.recorded = False
        """Whether its result was recorded by this run."""
        self.failed = False
        self.over = False
        """Whether what its branches do has no effect any more."""

    def start(self, inner: Scope, work: Coroutine[Any, Any, Any]) -> Branch:
        """Start a branch in a scope; `ended` hears of its end."""
        branch = Branch(self.run, inner, work)
        self.branches[branch] = None
        branch.task.add_done_callback(lambda _: self._ended(branch))
        return branch

    def _ended(self, branch: Branch) -> None:
        task = branch.task
        if task.cancelled():
            if not self.over:
                self.fail(asyncio.CancelledError(f"{self.name} was cancelled"))
            return
        error = task.exception()
        if self.over:
            return
        if error is not None and not isinstance(error, Exception):
            self.fail(error)
        else:
            self.ended(branch, error)

    def ended(self, branch: Branch, error: Exception | None) -> None:
        """Take note of the end of a branch."""
        raise NotImplementedError

    # --- its end --------------------------------------------------------------

    def finish(self, value: T) -> None:
        """Give the result; the branches that still run are cancelled."""
        self.natural = value
        self.leave()
        self.run.line_up(self)

    def fail(self, error: BaseException) -> None:
        """Let the body have an error, at once; the branches still running end."""
        self.failed = True
        self.leave()
        entry = self.run.journal.entries.get(self.key)
        known = entry is not None and entry.is_done and not entry.delivered
        if not known and not self.future.done():  # else its record is to come
            self.future.set_exception(error)

    def leave(self) -> None:
        if self.over:
            return
        self.over = True
        for branch in self.branches:
            branch.task.cancel()
        self.run.close_scope(self.inner)  # a branch may have left a task of its own

    # --- its record -------------------------------------------------------------

    def shape(self) -> list[str] | int:
        """Name the branches, or count them: a block under way keeps them."""
        raise NotImplementedError

    def enter(self, run: Run) -> None:
        entry = run.journal.entries.get(self.key)
        if entry is None or entry.is_done or entry.data["branches"] == self.shape():
            return
        where, found = show(self.path), self.shape()
        recorded: list[str] | int = entry.data["branches"]
        if isinstance(recorded, list) and isinstance(found, list):
            for name in sorted(set(recorded) ^ set(found)):
                had = name in recorded
                error = HistoryDiverged(
                    f"{where} > {name}",
                    f"{'a' if had else 'no'} branch {name!r}",
                    f"{'no' if had else 'a'} branch {name!r}",
                )
                break
            else:
                return  # in another order
        else:
            error = HistoryDiverged(where, f"{recorded} branches", f"{found} branches")
        run.violate(error)
        raise error

    def begin(self, run: Run) -> None:
        entry = run.journal.entries.get(self.key)
        if entry is not None and not self.recorded:
            entry.delivered = True  # if it was kept: what its branches do counts now
        if self.natural is not NO_VALUE and not self.recorded:
            self.recorded = True
            since = run.journal.completions if entry is None else self._since(entry)
            run.complete(self, since=since, **self._value())
        elif entry is None:
            self.open(run)

    def open(self, run: Run) -> None:
        """Record that it has begun, and with which branches."""
        shape = self.shape()
        run.journal.record(
            self.path, "open", key=self.key, completion=False, branches=shape
        )

    def _since(self, entry: Entry) -> int:
        return int(entry.data.get("since", entry.position))

    def _value(self) -> dict[str, Any]:
        try:
            value = converter(Any).encode(self.plain(self.natural))
        except Unencodable:
            return {}
        return {} if len(dumps(value)) > VALUE_LIMIT else {"value": value}

    def _agrees(self, entry: Entry) -> bool:
        """Tell whether today's branches gave what is recorded."""
        if entry.mark or "value" not in entry.data:
            return True
        return dumps(self._value().get("value")) == dumps(entry.data["value"])

    def plain(self, value: T) -> Any:
        """Make the result what the record keeps."""
        return value

    def settle(self, entry: Entry) -> None:
        if self.natural is not NO_VALUE and self._agrees(entry):
            value = self.natural
        elif "value" in entry.data:
            self.leave()
            value = self.outcome(entry.data)
        else:
            raise HistoryDiverged(
                show(self.path),
                f"a {self.kind} that ended, with too much for its own record",
                "branches that end otherwise",
            )
        if not self.future.done():
            self.future.set_result(value)

    def abandon(self, run: Run) -> None:
        entry = run.journal.entries.get(self.key)
        status = "failed" if self.failed else "cancelled"
        if entry is None or entry.is_done or entry.status == status:
            return
        run.journal.record(
            self.path,
            status,
            key=self.key,
            completion=False,
            branches=self.shape(),
            since=self._since(entry),
        )


def as_work(run: Run, awaitable: Awaitable[T]) -> Coroutine[Any, Any, T]:
    """Make an awaitable what a task can run.

    Raises:
        BodyError: if it runs already: then its entries lie elsewhere.
    """
    if isinstance(awaitable, asyncio.Future) and type(awaitable) is not asyncio.Future:
        error = BodyError(
            "a branch that runs already was given to a block: give it the coroutine "
            "itself, not a task of it, and not what gather() made of some"
        )
        run.violate(error)
        raise error
    if isinstance(awaitable, Coroutine):
        return cast("Coroutine[Any, Any, T]", awaitable)
    return _await(awaitable)


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


def put_away(branches: Iterable[Awaitable[Any]]) -> None:
    """Close what was never started, so that nobody asks where it is."""
    for branch in branches:
        if isinstance(branch, Coroutine):
            branch.close()
