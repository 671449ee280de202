"""What all operations of a body have in common.

An `Operation` is what a call in the body gives: a coroutine that does nothing
until it is awaited. Then it takes its identity, in the scope of the task that
awaits it, and becomes an `Op` that the run knows and answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from edgeflow.engine.scope import Key, Path, key_of, scope
from edgeflow.errors import BodyError, ValueRefused

if TYPE_CHECKING:
    from edgeflow.engine.entries import Entry
    from edgeflow.engine.run import Run

T = TypeVar("T")

NO_OPERATIONS: dict[int, Operation[Any]] = {}
"""Empty, and replaced where something is put into it."""


class Op(Generic[T]):
    """One operation that the body waits for."""

    kind: ClassVar[str]
    at_once: ClassVar[bool] = False
    """Whether it starts in the body when it is asked, also on replay."""
    takes_kept: ClassVar[bool] = True
    """Whether an outcome that was kept over a recovery is enough for it."""

    __slots__ = ("future", "key", "name", "path")

    def __init__(self, run: Run, name: str, path: Path | None = None) -> None:
        """Take the next identity of this name in the current scope, or `path`."""
        self.name = name
        if path is None:
            where = scope.get(run.root)
            ordinal = where.take(name)
            self.path: Path = (*where.path, (self.kind, name, ordinal))
            self.key: Key = (*where.key, name, ordinal)
        else:
            self.path, self.key = path, key_of(path)
        self.future: asyncio.Future[T] = run.body.create_future()

    def enter(self, run: Run) -> None:
        """Start its part in the body, if it is `at_once`; record nothing yet."""

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
            # As the journal gives it; by `object`, for its class may be frozen.
            object.__setattr__(error, "__cause__", None)
            object.__setattr__(error, "__context__", None)
            object.__setattr__(error, "__edgeflow_path__", self.path)
            self.future.set_exception(error)
        else:
            self.future.set_result(value)

    def leave(self) -> None:
        """Stop its part in the body, which no longer waits for it."""

    def abandon(self, run: Run) -> None:
        """Stop what it does for the body, which no longer waits for it."""


class Operation(Coroutine[object, object, T]):
    """A call of an operation: await it once."""

    __slots__ = (
        "__weakref__",
        "_generator",
        "_make",
        "_number",
        "_unused",
        "name",
        "run",
    )

    def __init__(
        self,
        run: Run,
        name: str,
        make: Callable[[], Op[T]],
        unused: Callable[[], None] | None = None,
    ) -> None:
        """Note that the body holds an operation that is to be awaited.

        `unused` is called if it never is.

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
        self._unused = unused
        self._generator: Generator[Any, Any, T] | None = None
        self._number = run.number
        run.number += 1
        if run.unawaited is NO_OPERATIONS:
            run.unawaited = {}
        run.unawaited[self._number] = self

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
        self._put_away()
        if self._generator is None:
            self._generator = self._run()
        return self._generator.throw(*error)

    def _put_away(self) -> None:
        self.run.unawaited.pop(self._number, None)
        if self._unused is not None:
            self._unused()
            self._unused = None

    def close(self) -> None:
        self._put_away()
        if self._generator is not None:
            self._generator.close()

    def _run(self) -> Generator[Any, Any, T]:
        run = self.run
        run.unawaited.pop(self._number, None)
        try:
            if not run.check_open():
                yield from run.body.create_future()
            op = self._make()
            self._make = _begun  # what it was made of takes no room while it waits
            run.ask(op)
        except BaseException:
            self._put_away()
            raise
        self._unused = None
        try:
            return (yield from op.future)
        finally:
            if run.waiting.get(op.key) is op:
                run.drop(op)


def _begun() -> NoReturn:
    raise RuntimeError("an operation begins once")
