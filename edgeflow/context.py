"""`Context`: the words a body is written in. Each is one file in `engine/ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgeflow import words
from edgeflow.blocks import Blocks
from edgeflow.calls import Calls
from edgeflow.clock import seconds
from edgeflow.engine.operation import Operation
from edgeflow.engine.ops.step import StepOp, StepOptions
from edgeflow.engine.scope import checked_message, checked_name, scope
from edgeflow.logs import Silence, logger
from edgeflow.steps import is_async, options
from edgeflow.values import converter, signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from datetime import datetime, timedelta
    from random import Random
    from uuid import UUID

    from edgeflow.engine.inbox import Message
    from edgeflow.engine.ops.receive import ReceiveManyOp, ReceiveOp
    from edgeflow.engine.run import Run
    from edgeflow.engine.settings import Durability
    from edgeflow.retry import Retry

In = TypeVar("In")
T = TypeVar("T")


class Context(Blocks, Calls):
    """What a body has in its hands; its operations are to be awaited in the body."""

    def __init__(self, run: Run) -> None:
        """Belong to a run."""
        self._run = run

    @property
    def id(self) -> str:
        """The id of the instance."""
        return self._run.id

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return self._run.workflow_name

    @property
    def replaying(self) -> bool:
        """Whether recorded outcomes are still being handed back."""
        return bool(self._run.journal.replay)

    def now(self) -> datetime:
        """Give the time of the last recorded event, in UTC: the same on replay."""
        from datetime import UTC, datetime  # noqa: PLC0415  not needed by everyone

        return datetime.fromtimestamp(self._run.body.time(), UTC)

    @property
    def random(self) -> Random:
        """A generator seeded by instance and position: the same on replay."""
        return scope.get(self._run.root).random

    def uuid(self) -> UUID:
        """Give a UUID that is the same on replay."""
        from uuid import UUID  # noqa: PLC0415  likewise

        return UUID(int=self.random.getrandbits(128), version=4)

    @property
    def log(self) -> Any:
        """A structlog logger bound to the instance; silent while replaying."""
        if self.replaying or self._run.silent:
            return Silence()
        return logger(instance=self.id, workflow=self.workflow)

    @overload
    def step(
        self,
        name: str,
        fn: Callable[[], Awaitable[T]],
        *,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
        undo: Callable[[T], object] | None = None,
        durability: Durability | None = None,
        at_most_once: bool = False,
        raises: tuple[type[Exception], ...] = (),
    ) -> Coroutine[object, object, T]: ...
    @overload
    def step(
        self,
        name: str,
        fn: Callable[[], T],
        *,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
        undo: Callable[[T], object] | None = None,
        durability: Durability | None = None,
        at_most_once: bool = False,
        raises: tuple[type[Exception], ...] = (),
    ) -> Coroutine[object, object, T]: ...
    def step(
        self, name: str, fn: Callable[[], Any], **overrides: Any
    ) -> Coroutine[object, object, Any]:
        """Run `fn` as a step of this name; for what is not worth a decorator.

        Args:
            name: of the entry in the journal.
            fn: takes no arguments; async, or plain and run in a worker thread.
            **overrides: as for the decorator `step`; and `undo`, a function of a
                module, or a step, that gets the result if the instance fails.
        """
        base = StepOptions(name=checked_name(name, "a step"))
        chosen = options(base, overrides)
        run = self._run

        def make() -> StepOp[Any]:
            known = signature(fn).result()
            return StepOp(run, chosen, lambda: fn, known, plain=not is_async(fn))

        return Operation(run, name, make)

    def sleep(
        self, duration: float | timedelta, *, name: str = "sleep"
    ) -> Coroutine[object, object, None]:
        """Wait for `duration`, seconds or a timedelta, over the ends of processes."""
        return self._sleep(lambda: self._run.body.time() + seconds(duration), name)

    def sleep_until(
        self, when: datetime, *, name: str = "sleep"
    ) -> Coroutine[object, object, None]:
        """Wait until `when`, an aware datetime.

        Raises:
            ValueError: if `when` is naive.
        """
        if when.tzinfo is None:
            raise ValueError(
                f"sleep_until({when.isoformat()}): a naive datetime names no moment; "
                "give it a time zone"
            )
        return self._sleep(when.timestamp, name)

    def _sleep(
        self, until: Callable[[], float], name: str
    ) -> Coroutine[object, object, None]:
        run = self._run
        checked_name(name, "a sleep")
        return Operation(run, name, lambda: words.SleepOp(run, name, until()))

    @overload
    def receive(
        self,
        *names: str,
        type: type[T],
        timeout: float | timedelta | None = None,
        name: str = "receive",
    ) -> Coroutine[object, object, Message[T]]: ...
    @overload
    def receive(
        self,
        *names: str,
        type: Any = Any,
        timeout: float | timedelta | None = None,
        name: str = "receive",
    ) -> Coroutine[object, object, Message[Any]]: ...
    def receive(
        self,
        *names: str,
        type: Any = Any,
        timeout: float | timedelta | None = None,
        name: str = "receive",
    ) -> Coroutine[object, object, Message[Any]]:
        """Wait for the oldest message under one of `names`; it is consumed.

        Args:
            *names: at least one.
            type: what the body of the message is decoded to; default plain JSON.
            timeout: seconds or timedelta; without it, wait for ever.
            name: of the entry in the journal.

        Raises:
            ReceiveTimeout: when it is awaited, if no message came in time.
            MessageInvalid: when it is awaited, if the body does not fit `type`.
            TypeError: if there is no name.
        """
        run, wanted, known = self._run, _names(names), converter(type)
        wait = None if timeout is None else seconds(timeout)
        checked_name(name, "a receive")

        def make() -> ReceiveOp[Any]:
            deadline = None if wait is None else run.body.time() + wait
            return words.ReceiveOp(run, name, wanted, known, deadline)

        return Operation(run, name, make)

    @overload
    def receive_many(
        self,
        *names: str,
        type: type[T],
        limit: int = 100,
        timeout: float | timedelta | None = None,
        name: str = "receive_many",
    ) -> Coroutine[object, object, list[Message[T]]]: ...
    @overload
    def receive_many(
        self,
        *names: str,
        type: Any = Any,
        limit: int = 100,
        timeout: float | timedelta | None = None,
        name: str = "receive_many",
    ) -> Coroutine[object, object, list[Message[Any]]]: ...
    def receive_many(
        self,
        *names: str,
        type: Any = Any,
        limit: int = 100,
        timeout: float | timedelta | None = None,
        name: str = "receive_many",
    ) -> Coroutine[object, object, list[Message[Any]]]:
        """Take what is there, oldest first: at least one, at most `limit`.

        It never waits to fill up; an empty list means that none came in time.
        """
        run, wanted, known = self._run, _names(names), converter(type)
        wait = None if timeout is None else seconds(timeout)
        checked_name(name, "a receive_many")
        if limit < 1:
            raise ValueError(f"receive_many(limit={limit}): must be 1 or more")

        def make() -> ReceiveManyOp[Any]:
            deadline = None if wait is None else run.body.time() + wait
            return words.ReceiveManyOp(run, name, wanted, known, deadline, limit)

        return Operation(run, name, make)

    def send(
        self,
        instance_id: str,
        name: str,
        body: object = None,
        *,
        delay: float | timedelta | None = None,
    ) -> Coroutine[object, object, None]:
        """Send a message to an instance, exactly once, with the flush of what follows.

        Args:
            instance_id: the receiver; it need not exist yet. A finished one drops it.
            name: what the receiver asks for.
            body: plain JSON, or one of the types that `values` knows.
            delay: seconds or timedelta until it can be received.
        """
        run = self._run
        checked_message(name)
        wait = None if delay is None else seconds(delay)
        return Operation(
            run, "send", lambda: words.SendOp(run, instance_id, name, body, wait)
        )

    def status(self, value: object) -> Coroutine[object, object, None]:
        """Publish a value, such as progress, for `handle.info()`."""
        run = self._run
        return Operation(run, "status", lambda: words.StatusOp(run, value))

    def version(self, name: str, latest: int) -> Coroutine[object, object, int]:
        """Pin which code this instance follows from here on.

        Gives `latest` if it arrives here for the first time, for ever after what
        was given then, and 1 if older code without this gate has gone on from here.

        Args:
            name: of the gate.
            latest: the number of the newest code, from 1 on.

        Raises:
            ValueError: if `latest` is below 1.
        """
        run = self._run
        checked_name(name, "a version")
        if latest < 1:
            raise ValueError(f"version({name!r}, {latest}): must be 1 or more")
        return Operation(run, name, lambda: words.VersionOp(run, name, latest))

    def removed(self, name: str) -> Coroutine[object, object, None]:
        """Say that operations of this name, of whatever kind, stood here.

        What is recorded of them in this scope, and below them, is passed over; a
        fresh instance passes by. The name cannot be used again in this scope.
        """
        return words.Removal(self._run, checked_name(name, "what was removed"))

    def checkpoint(self, name: str) -> Coroutine[object, object, None]:
        """Pass a point of no return: what was done before it is not undone any more."""
        run = self._run
        checked_name(name, "a checkpoint")
        return Operation(run, name, lambda: words.CheckpointOp(run, name))


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise TypeError("receive needs the name of a message: receive('approval')")
    for name in names:
        checked_message(name)
    return names
