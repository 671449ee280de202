"""What all operations of a body have in common.

An `Operation` is what a call in the body gives: a coroutine that does nothing
until it is awaited. Then it takes its identity, in the scope of the task that
awaits it, and becomes an `Op` that the run knows and answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from edgeflow.engine.scope import Path, scope
from edgeflow.errors import BodyError, ValueRefused

if TYPE_CHECKING:
    from edgeflow.engine.journal import Entry
    from edgeflow.engine.run import Run

T = TypeVar("T")


class Op(Generic[T]):
    """One operation that the body waits for."""

    kind: ClassVar[str]

    __slots__ = ("future", "key", "name", "path")

    def __init__(self, run: Run, name: str) -> None:
        """Take the next identity of this name in the current scope."""
        where = scope.get(run.root)
        ordinal = where.take(name)
        self.name = name
        self.path: Path = (*where.path, (self.kind, name, ordinal))
        self.key = (*where.key, name, ordinal)
        self.future: asyncio.Future[T] = run.body.create_future()

    def begin(self, run: Run) -> None:
        """Start it live: the history is verified and holds no outcome of it."""
        raise NotImplementedError

    def outcome(self, data: dict[str, Any]) -> T:
        """Read the outcome from its record, live and replayed alike.

        Raises:
            Undecodable: if the record does not fit today's code.
            Exception: whatever the body is to see.
        """
        raise NotImplementedError

    def settle(self, entry: Entry) -> None:
        """Hand the recorded outcome to the body."""
        try:
            value = self.outcome(entry.data)
        except (BodyError, ValueRefused):
            raise
        except Exception as error:
            error.__cause__ = error.__context__ = None
            self.future.set_exception(error)
        else:
            self.future.set_result(value)

    def abandon(self, run: Run) -> None:
        """Stop what it does for the body, which no longer waits for it."""


class Operation(Coroutine[object, object, T]):
    """A call of an operation: await it once."""

    __slots__ = ("__weakref__", "_generator", "_make", "_number", "name", "run")

    def __init__(self, run: Run, name: str, make: Callable[[], Op[T]]) -> None:
        """Note that the body holds an operation that is to be awaited.

        Raises:
            BodyError: if it is called elsewhere than in the body.
        """
        loop = asyncio._get_running_loop()  # noqa: SLF001  as makers of loops do
        if loop is not run.body and not run.over:
            raise BodyError(
                f"operation {name!r} was called outside of the workflow's body: "
                "operations of ctx cannot be used in a step or another thread"
            )
        self.run = run
        self.name = name
        self._make = make
        self._generator: Generator[Any, Any, T] | None = None
        self._number = next(run.numbers)
        run.unawaited.add(self)

    def __hash__(self) -> int:
        return self._number  # sets of operations are walked alike on replay

    def __eq__(self, other: object) -> bool:
        return self is other

    def __await__(self) -> Generator[Any, Any, T]:
        if self._generator is not None:
            error = BodyError(f"operation {self.name!r} was awaited twice")
            self.run.violate(error)
            raise error
        self._generator = self._run()
        return self._generator

    def send(self, value: Any) -> Any:
        if self._generator is None:
            self._generator = self._run()
        return self._generator.send(value)

    def throw(self, *error: Any) -> Any:
        self.run.unawaited.discard(self)
        if self._generator is None:
            self._generator = self._run()
        return self._generator.throw(*error)

    def close(self) -> None:
        self.run.unawaited.discard(self)
        if self._generator is not None:
            self._generator.close()

    def _run(self) -> Generator[Any, Any, T]:
        run = self.run
        run.unawaited.discard(self)
        if not run.check_open():
            yield from run.body.create_future()
        op = self._make()
        run.ask(op)
        try:
            return (yield from op.future)
        finally:
            run.drop(op)
