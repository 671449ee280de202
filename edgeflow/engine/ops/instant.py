"""Operations that are recorded at once and wait for nothing: send, status, reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgeflow.engine.inbox import Posted, reply_address
from edgeflow.engine.operation import Op
from edgeflow.errors import Unencodable
from edgeflow.values import converter, dumps

if TYPE_CHECKING:
    from edgeflow.engine.run import Run


class InstantOp(Op[None]):
    """Records itself; what it does rides in the flush of what follows."""

    __slots__ = ()

    def begin(self, run: Run) -> None:
        self.act(run)
        run.complete(self)

    def act(self, run: Run) -> None:
        raise NotImplementedError

    def outcome(self, data: dict[str, Any]) -> None:
        return None

    def encode(self, run: Run, value: object, what: str) -> Any:
        """Make a value of the body plain JSON, or block the instance.

        Raises:
            Unencodable: if it cannot be stored.
        """
        try:
            plain = converter(Any).encode(value)
        except Unencodable as error:
            raise Unencodable(f"{what} {error.path}", error.why) from None
        run.journal.check_size(len(dumps(plain)), what)
        return plain


class SendOp(InstantOp):
    """A message to another instance, delivered with the flush."""

    kind: ClassVar[str] = "send"

    __slots__ = ("body", "delay", "message_name", "to")

    def __init__(
        self,
        run: Run,
        to: str,
        message_name: str,
        body: object,
        delay: float | None,
    ) -> None:
        """Send `body` to `to`, receivable after `delay` seconds."""
        super().__init__(run, "send")
        self.to = to
        self.message_name = message_name
        self.body = body
        self.delay = delay

    def act(self, run: Run) -> None:
        where = f"the body of message {self.message_name!r} to {self.to!r}"
        posted = Posted(
            body=self.encode(run, self.body, where), sent_at=run.journal.tick()
        )
        at = 0.0 if self.delay is None else posted.sent_at + self.delay
        key = run.journal.stable_id(self.key)
        run.post(self.to, key, self.message_name, posted, at)


class StatusOp(InstantOp):
    """A value for the outside: progress."""

    kind: ClassVar[str] = "status"

    __slots__ = ("value",)

    def __init__(self, run: Run, value: object) -> None:
        """Publish `value` with the next flush."""
        super().__init__(run, "status")
        self.value = value

    def act(self, run: Run) -> None:
        value = self.encode(run, self.value, "the value of ctx.status")
        run.journal.set_record("progress", value)


class ReplyOp(InstantOp):
    """The answer to an ask."""

    kind: ClassVar[str] = "reply"

    __slots__ = ("ask", "deadline", "value")

    def __init__(
        self, run: Run, ask: str, deadline: float | None, value: object
    ) -> None:
        """Answer the ask with this id, unless its deadline has passed."""
        super().__init__(run, "reply")
        self.ask = ask
        self.deadline = deadline
        self.value = value

    def act(self, run: Run) -> None:
        value = self.encode(run, self.value, "the value of message.reply")
        now = run.journal.tick()
        if self.deadline is None or now < self.deadline:
            posted = Posted(body=value, sent_at=now)
            run.post(reply_address(self.ask), "reply", "reply", posted, 0.0)
