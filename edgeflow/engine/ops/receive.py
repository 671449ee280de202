"""Receiving messages: one, or whatever is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from edgeflow.engine.inbox import Message, Posted, unseal
from edgeflow.engine.operation import Op, Operation
from edgeflow.engine.ops.instant import ReplyOp
from edgeflow.engine.scope import show
from edgeflow.errors import (
    MessageInvalid,
    ReceiveTimeout,
    ReplyRefused,
    Undecodable,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from edgeflow.engine.run import Run
    from edgeflow.store import Envelope
    from edgeflow.values import Converter

T = TypeVar("T")
R = TypeVar("R")


class Receiving(Op[R], Generic[R, T]):
    """Waits for messages under some names, until a deadline."""

    __slots__ = ("began", "converter", "deadline", "limit", "names", "run", "since")

    def __init__(  # noqa: PLR0917  the words of ctx.receive
        self,
        run: Run,
        name: str,
        names: tuple[str, ...],
        converter: Converter[T],
        deadline: float | None,
        limit: int = 1,
    ) -> None:
        """Wait until `deadline` (s since the epoch), or for ever."""
        super().__init__(run, name)
        self.run = run
        self.names = names
        self.converter = converter
        self.deadline = deadline
        self.began = run.body.now
        self.since = run.body.time()
        """When it was asked for, in s since the epoch: the same on replay."""
        self.limit = limit

    def begin(self, run: Run) -> None:
        run.wait_for(self)
        if self.deadline is not None:
            entry, late = run.journal.entries.get(self.key), 0.0
            if entry is not None and entry.status == "again":  # after a recovery
                late = max(0.0, entry.data["at"] - self.began)
            run.timers.set(self.key, self.deadline + late, lambda: self._late(run))

    def abandon(self, run: Run) -> None:
        if self._end(run):
            run.journal.record(self.path, "cancelled", key=self.key, completion=False)

    def _end(self, run: Run) -> bool:
        """Wait no longer; tell whether it did."""
        run.timers.cancel(self.key)
        return run.receivers.pop(self.key, None) is not None

    def _late(self, run: Run) -> None:
        self._end(run)
        run.complete(self, value=[])

    def arrived(self, run: Run, messages: list[Envelope]) -> None:
        """Record messages as received: they leave the inbox with the same flush."""
        self._end(run)
        value: list[dict[str, Any]] = []
        for message in messages:
            posted = unseal(message.body, run.journal.wiring.codec)
            value.append(
                {
                    "id": message.id,
                    "name": message.name,
                    "body": posted.body,
                    "sent_at": posted.sent_at,
                    "ask": posted.ask,
                    "deadline": posted.deadline,
                    "misfit": self._misfit(posted),
                }
            )
        run.complete(self, value=value)
        for message in messages:
            run.journal.acknowledge(message.id)
        run.emit("message_received", path=show(self.path))

    def _misfit(self, posted: Posted) -> str | None:
        try:
            self.converter.decode(posted.body)
        except Undecodable as error:
            return str(error)
        return None

    def messages(self, data: dict[str, Any]) -> list[Message[T]]:
        """Read the messages of a record.

        Raises:
            MessageInvalid: if a body did not fit the type asked for.
        """
        found = data.pop("value")
        for item in found:
            if item["misfit"] is not None:
                raise MessageInvalid(item["name"], item["body"], item["misfit"])
        return [self._message(item) for item in found]

    def _message(self, item: dict[str, Any]) -> Message[T]:
        return Message(
            id=item["id"],
            name=item["name"],
            body=self.converter.decode(item["body"]),
            sent_at=item["sent_at"],
            _reply=Replier(self.run, item["id"], item["ask"], item["deadline"]),
        )


class ReceiveOp(Receiving[Message[T], T]):
    """Waits for one message."""

    kind: ClassVar[str] = "receive"

    __slots__ = ()

    def outcome(self, data: dict[str, Any]) -> Message[T]:
        found = self.messages(data)
        if not found:
            names = ", ".join(map(repr, self.names))
            raise ReceiveTimeout(f"no message {names} came in time")
        return found[0]


class ReceiveManyOp(Receiving[list[Message[T]], T]):
    """Waits for at least one message and takes what is there."""

    kind: ClassVar[str] = "receive_many"

    __slots__ = ()

    def outcome(self, data: dict[str, Any]) -> list[Message[T]]:
        return self.messages(data)


class Replier:
    """Answers one ask, once."""

    __slots__ = ("ask", "deadline", "done", "message", "run")

    def __init__(
        self, run: Run, message: str, ask: str | None, deadline: float | None
    ) -> None:
        """Answer the ask with this id; None: nobody asked."""
        self.run = run
        self.message = message
        self.ask = ask
        self.deadline = deadline
        self.done = False

    def __call__(self, value: object) -> Coroutine[object, object, None]:
        """Give the operation that answers.

        Raises:
            ReplyRefused: if nobody asked, or it was answered already.
        """
        ask = self.ask
        if ask is None:
            raise ReplyRefused(f"message {self.message!r} was sent, nobody asked")
        if self.done:
            raise ReplyRefused(f"message {self.message!r} was answered already")
        self.done = True
        run, deadline = self.run, self.deadline
        return Operation(run, "reply", lambda: ReplyOp(run, ask, deadline, value))
