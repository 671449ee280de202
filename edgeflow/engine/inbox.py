"""Messages: as the store carries them, as they wait, as the body gets them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from edgeflow.engine.eager import start
from edgeflow.engine.frames import parse
from edgeflow.late import dataclass
from edgeflow.values import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from edgeflow.clock import Alarm
    from edgeflow.engine.frames import Codec
    from edgeflow.engine.run import Run
    from edgeflow.engine.scope import Key
    from edgeflow.engine.wiring import Wiring
    from edgeflow.store import Envelope

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Posted:
    """What an envelope holds."""

    body: Any
    """Plain JSON."""
    sent_at: float
    ask: str | None = None
    """Where an answer is awaited."""
    deadline: float | None = None
    """Until when an answer is awaited."""

    def seal(self, codec: Codec) -> bytes:
        """Make it the bytes of an envelope."""
        data = {"body": self.body, "sent_at": self.sent_at}
        if self.ask is not None:
            data |= {"ask": self.ask, "deadline": self.deadline}
        return codec.encode(dumps(data))


def unseal(body: bytes, codec: Codec) -> Posted:
    """Read the bytes of an envelope."""
    return Posted(**parse(codec.decode(body)))


CANCEL = "~cancel/"
"""How the names begin of the messages by which parents cancel their children."""

TAKEN = "~taken/"
"""How the names begin of the messages that say that a child's id is taken."""


def shown(names: Iterable[str]) -> tuple[str, ...]:
    """Leave out of some awaited names what is awaited just in case."""
    return tuple(name for name in names if not name.startswith((CANCEL, TAKEN)))


def reply_address(ask: str) -> str:
    """Give the inbox in which the answer to an ask is awaited."""
    return f"~reply/{ask}"


@dataclass(frozen=True, slots=True)
class Message(Generic[T_co]):
    """A message that the body received."""

    id: str
    name: str
    body: T_co
    sent_at: float
    """When it was sent, in s since the epoch, by the sender's clock."""
    _reply: Callable[[object], Coroutine[object, object, None]]

    def reply(self, value: object) -> Coroutine[object, object, None]:
        """Answer the ask that this message is; goes out with the next flush.

        Raises:
            ReplyRefused: if nobody asked, or it was answered already.
        """
        return self._reply(value)


class Receiver(Protocol):
    """An operation that waits for messages."""

    @property
    def key(self) -> Key: ...

    @property
    def since(self) -> float:
        """When it was asked for, in s since the epoch."""
        ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def limit(self) -> int: ...

    def arrived(self, run: Run, messages: list[Envelope]) -> None:
        """Take the messages that it waited for."""
        ...


class Mailbox:
    """The inbox of a run: read when it is needed, and again when something arrived."""

    __slots__ = (
        "_again",
        "_fetch",
        "_inbox",
        "_instance",
        "_is_old",
        "_look",
        "_wiring",
        "has_news",
    )

    def __init__(self, wiring: Wiring, instance: str, inbox: Inbox | None) -> None:
        """Begin with what is known; None: nothing was read yet."""
        self._wiring = wiring
        self._instance = instance
        self._inbox = inbox
        self.has_news = inbox is not None
        """Whether the parent may have cancelled since this was set to False."""
        self._fetch: asyncio.Task[None] | None = None
        self._again = False
        """Whether something arrived that the answer under way may not hold."""
        self._is_old = False
        self._look: Alarm | None = None

    @property
    def is_fetching(self) -> bool:
        return self._fetch is not None

    def fetch(self, done: Callable[[BaseException | None], None]) -> None:
        """Read the store's inbox; `done` gets the error, if there was one."""
        self._again = self._fetch is not None
        if self._fetch is None:
            self._fetch = start(self._read(), asyncio.get_running_loop())
            self._fetch.add_done_callback(lambda task: self._fetched(task, done))

    async def _read(self) -> None:
        with self._wiring.clock.busy():
            unread = await self._wiring.store.unread(self._instance)
        self.refresh(unread)

    def refresh(self, unread: Sequence[Envelope]) -> None:
        """Take over what the store holds."""
        if self._inbox is None:
            self._inbox = Inbox(())
        self._inbox.refresh(unread)
        self._is_old = False
        self.has_news = True

    def _fetched(
        self, task: asyncio.Task[None], done: Callable[[BaseException | None], None]
    ) -> None:
        self._fetch = None
        if task.cancelled():
            return
        if self._again:
            self.fetch(done)
        done(task.exception())

    def expect(self, within: float, look: Callable[[], None]) -> None:
        """Have it looked into after some seconds, unless that is arranged already.

        What another process sends rings no bell in this one.
        """

        def due() -> None:
            self._look = None
            look()

        if self._look is None:
            clock = self._wiring.clock
            self._look = clock.call_at(clock.now() + within, due, idle=True)

    def close(self) -> None:
        """Stop reading."""
        if self._look is not None:
            self._look.cancel()
        if self._fetch is not None:
            self._fetch.cancel()

    def take(
        self, names: Sequence[str], limit: int, now: float
    ) -> list[Envelope] | None:
        """Take the oldest visible messages under these names; None: read it first."""
        if self._inbox is None or self._is_old:
            return None
        return self._inbox.take(names, limit, now)

    def outdate(self) -> None:
        """Have it read again before anything is taken: nobody listened meanwhile."""
        self._is_old = True

    def forget(self) -> None:
        """Keep nothing: it is read again before anything is taken."""
        self._inbox = None

    def visible_at(self, names: Iterable[str]) -> float | None:
        """Tell when the next known message under these names can be received."""
        return None if self._inbox is None else self._inbox.visible_at(names)


class Inbox:
    """Unread messages of one instance, as far as this process knows them."""

    __slots__ = ("_messages", "_taken")

    def __init__(self, messages: Iterable[Envelope]) -> None:
        """Hold messages in order of arrival."""
        self._messages = {message.id: message for message in messages}
        self._taken: dict[str, None] = {}

    def refresh(self, messages: Sequence[Envelope]) -> None:
        """Take over what the store holds, but for what was taken here."""
        self._taken = {m.id: None for m in messages if m.id in self._taken}
        self._messages = {m.id: m for m in messages if m.id not in self._taken}

    def take(self, names: Sequence[str], limit: int, now: float) -> list[Envelope]:
        """Take the oldest visible messages under these names, at most `limit`."""
        found: list[Envelope] = []
        for message in self._messages.values():
            if message.name in names and message.at <= now:
                found.append(message)
                if len(found) == limit:
                    break
        for message in found:
            del self._messages[message.id]
            self._taken[message.id] = None
        return found

    def visible_at(self, names: Iterable[str]) -> float | None:
        """Tell when the next message under these names can be received."""
        wanted = set(names)
        times = [m.at for m in self._messages.values() if m.name in wanted]
        return min(times, default=None)
