"""Copying an instance from one store to another, so that it can go on there.

The copy has all that counts: the journal under the same numbers, how it rests and when
it is due, the unread messages, and the ids of those that were consumed. It carries a
token of its own, which shows later whether anybody has opened it since.

Every step may be the last one before a crash. Messages come first, then a commit after
which the instance is there as a whole. What has to be written before that is nothing
that could be run, so a copy that was broken off is not taken for the instance.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeflow.engine import frames
from edgeflow.engine.carrying import Content, content
from edgeflow.errors import (
    ConfigError,
    Conflict,
    InstanceFinished,
    JournalDamaged,
    TooLarge,
)
from edgeflow.landing import HOLD, Landing
from edgeflow.late import dataclass
from edgeflow.store import TERMINAL, Envelope, Remembers

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.frames import Codec
    from edgeflow.store import Loaded, Store

Result: TypeAlias = Literal["copied", "moved", "same", "running", "differs", "refused"]

ROUNDS = 5
"""How often an instance is copied that others write to meanwhile."""
CONSUMED = "~consumed"
"""The name of a consumed message of which the journal knows no name any more."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of one instance."""

    instance: str
    result: Result
    """The first three: the other store has it. The others: it was left alone."""
    text: str = ""
    """Why, if it was left alone; else what else is to be said."""

    @property
    def is_there(self) -> bool:
        """Whether the other store has all of it."""
        return self.result in {"copied", "moved", "same"}


class Copier:
    """Copies instances from one open store to another."""

    def __init__(
        self,
        source: Store,
        target: Store,
        *,
        codec: Codec,
        now: Callable[[], float],
        moves: bool = False,
        replaces: bool = False,
    ) -> None:
        """Copy from `source` to `target`.

        Args:
            source: is only read, unless it `moves`.
            target: where the instances go.
            codec: of the apps on both.
            now: gives s since the epoch.
            moves: whether `source` forgets what was copied and verified.
            replaces: whether an instance that differs in `target` is forgotten there.
        """
        self.source = source
        self.target = target
        self._codec = codec
        self._now = now
        self._moves = moves
        self._replaces = replaces

    async def check_apart(self, name: str) -> None:
        """Refuse two stores that are the same one.

        A message is sent to an inbox that ends in `name`, and removed.

        Raises:
            ConfigError: if so.
        """
        if type(self.source) is not type(self.target):
            return
        message = Envelope(f"edgeflow-copy-{name}", "probe", "probe", b"")
        await self.target.send(message)
        try:
            is_same = bool(await self.source.unread(message.to))
        finally:
            await self.target.delete(message.to)
        if is_same:
            raise ConfigError("both are one and the same store: name two")

    async def copy(self, instance: str) -> Copied:
        """Copy one instance, and read it back; what is there already is verified.

        Raises:
            StoreUnavailable, OutcomeUnknown: if a store could not be used: call it
                again, it goes on from there.
        """
        again = ""
        for _ in range(ROUNDS):
            loaded = await self.source.load(instance)
            if loaded is None:
                return await self._missing(instance)
            done = await self._copy(loaded)
            if done is not None:
                text = done.text or (again if done.is_there else "")
                return Copied(instance, done.result, text)
            again = "it went on meanwhile, and was copied again"
        why = "it is written to without a pause: stop its workers and senders"
        return Copied(instance, "running", why)

    async def _missing(self, instance: str) -> Copied:
        if await self.target.load(instance) is not None:
            return Copied(instance, "same", "only the other store has it: it was moved")
        return Copied(instance, "refused", "there is no such instance")

    async def _copy(self, loaded: Loaded) -> Copied | None:
        """Copy what was loaded; None: it has changed meanwhile."""
        instance = loaded.head.instance
        left = loaded.head.lease - self._now()
        if left > 0:
            why = f"a worker has it, for {left:.0f} s at least: stop the workers first"
            return Copied(instance, "running", why)
        try:
            mine = content(loaded, self._codec)
        except JournalDamaged as error:
            return Copied(instance, "refused", self._unreadable(loaded, error))
        try:
            result, known = await self._bring(loaded, mine)
        except Conflict:
            why = "somebody wrote to it in the other store meanwhile"
            return Copied(instance, "differs", why)
        except TooLarge as error:
            why = f"the other store cannot hold it: {error}"
            return Copied(instance, "refused", why)
        if result == "differs":
            return await self._difference(loaded, mine)
        return await self._distrusted(loaded, mine, known) or await self._finish(
            loaded, result
        )

    async def _distrusted(
        self, loaded: Loaded, mine: Content, known: set[str]
    ) -> Copied | None:
        """Say why the other store cannot be said to have it; None: it has.

        `known` are the ids of messages that were there before.
        """
        instance = loaded.head.instance
        there = await self.target.load(instance)
        if there is not None and await self._is_equal(there, loaded, mine, known):
            return None
        if there is not None and there.head.token != mark_of(instance):
            why = "it was opened in the other store before it was verified"
            return Copied(instance, "differs", why)
        why = "it reads back otherwise than it was written: do not use that store"
        return Copied(instance, "refused", why)

    async def _finish(self, loaded: Loaded, result: Result) -> Copied | None:
        """Forget it here, if so wanted, and let it be run there."""
        instance = loaded.head.instance
        last = await self.source.load(instance)
        if last is None or not _is_unchanged(last, loaded):
            return None
        if self._moves:
            await self.source.delete(instance)
            result = "moved"
        await self.target.renew(instance, mark_of(instance), self._now(), 0.0)
        return Copied(instance, result)

    async def _bring(self, loaded: Loaded, mine: Content) -> tuple[Result, set[str]]:
        """Write what the other store lacks; give the ids of messages it did not lack.

        Raises:
            Conflict: if somebody else writes there.
            TooLarge: if it cannot hold the instance.
        """
        consumed = await self._consumed(loaded, mine)
        there = await self.target.load(loaded.head.instance)
        if there is not None:
            theirs = self._content(there)
            if theirs == mine:
                return "same", await self._send_unread(loaded)
            if self._is_older_copy(there, theirs, mine):
                there = await self._taken_again(there)
            elif self._is_void(there):
                pass  # it counts as not started: it is written over
            elif self._replaces and there.head.lease <= self._now():
                self._landing(loaded, mine, None).check(consumed)
                await self.target.delete(loaded.head.instance)
                there = None
            else:
                return "differs", set()
        landing = self._landing(loaded, mine, there)
        return "copied", await landing.write(consumed)

    def _landing(self, loaded: Loaded, mine: Content, there: Loaded | None) -> Landing:
        return Landing(
            self.target,
            loaded,
            mine,
            there,
            codec=self._codec,
            now=self._now(),
            token=mark_of(loaded.head.instance),
        )

    def _is_older_copy(
        self, there: Loaded, theirs: Content | None, mine: Content
    ) -> bool:
        """Tell whether it is a copy, whole or not, that nobody has opened."""
        if there.head.token != mark_of(there.head.instance):
            return False
        if theirs is None:
            return True
        return theirs.birth == mine.birth and theirs.header["at"] <= mine.header["at"]

    async def _taken_again(self, there: Loaded) -> Loaded | None:
        """Hold an older copy that nobody has opened, to replace it.

        Raises:
            Conflict: if somebody opens it at this moment.
        """
        instance, token = there.head.instance, there.head.token
        if there.head.status in TERMINAL:  # and takes no messages
            await self.target.delete(instance)
            return None
        if not await self.target.renew(instance, token, self._now(), HOLD):
            raise Conflict(f"instance {instance!r} was opened")
        return there

    async def _consumed(self, loaded: Loaded, mine: Content) -> list[Envelope]:
        """Give the messages that must not be taken for new ones, without bodies."""
        names, instance = mine.received, loaded.head.instance
        ids = [*names]
        if isinstance(self.source, Remembers):
            ids += await self.source.consumed(instance)
        unread = {message.id for message in loaded.messages}
        return [
            Envelope(instance, id_, names.get(id_, CONSUMED), b"")
            for id_ in dict.fromkeys(ids)
            if id_ not in unread
        ]

    async def _send_unread(self, loaded: Loaded) -> set[str]:
        known: set[str] = set()
        with suppress(InstanceFinished):  # then it has them all
            for message in loaded.messages:
                if not await self.target.send(message):
                    known.add(message.id)
        return known

    async def _is_equal(
        self, there: Loaded, loaded: Loaded, mine: Content, known: set[str]
    ) -> bool:
        """Tell whether what was read back goes on, and knows messages, like `mine`.

        A `known` one may be what a sender has sent to both stores: it is told by its
        id alone, as by whoever sends, and is where it was.
        """
        if self._content(there) != mine:
            return False
        if not {m.id for m in loaded.messages} <= {m.id for m in there.messages}:
            return False
        sent = [message for message in loaded.messages if message.id not in known]
        ids = {message.id for message in sent}
        if [message for message in there.messages if message.id in ids] != sent:
            return False
        if not isinstance(self.target, Remembers):
            return True
        known = set(await self.target.consumed(loaded.head.instance))
        return known >= {m.id for m in await self._consumed(loaded, mine)}

    async def _difference(self, loaded: Loaded, mine: Content) -> Copied:
        instance = loaded.head.instance
        there = await self.target.load(instance)
        if there is None:
            why = "somebody deleted it in the other store meanwhile"
            return Copied(instance, "differs", why)
        here, other = loaded.head, there.head
        if self._replaces and other.lease > self._now():
            why = "a worker of the other store has it: stop it first"
            return Copied(instance, "running", why)
        theirs = self._content(there)
        is_other = theirs is not None and theirs.birth != mine.birth
        whose = (
            "in the other store another one has its id,"
            if is_other
            else "in the other store"
        )
        why = (
            f"here it is {here.status} at frame {here.seq}, {whose} "
            f"{other.status} at frame {other.seq}: --replace takes the one from here"
        )
        return Copied(instance, "differs", why)

    def _content(self, loaded: Loaded) -> Content | None:
        try:
            return content(loaded, self._codec)
        except JournalDamaged:
            return None

    def _is_void(self, loaded: Loaded) -> bool:
        return frames.is_void(loaded.frames, self._codec)

    def _unreadable(self, loaded: Loaded, error: JournalDamaged) -> str:
        if self._is_void(loaded):
            return "its start was never written as a whole: it counts as not started"
        return f"{error}. If its App has a codec, name the App by --app"


def mark_of(instance: str) -> bytes:
    """Give the token that a copy carries until somebody opens it."""
    return blake2b(f"edgeflow copy {instance}".encode(), digest_size=16).digest()


def _is_unchanged(last: Loaded, loaded: Loaded) -> bool:
    same_messages = [*last.messages] == [*loaded.messages]
    return last.head == loaded.head and same_messages
