"""Trying a store out on the spot: does it keep the promises that edgeflow rests on?

What is tried goes by one id that nobody else uses, and is removed at the end. Nothing
of it is ever due, so that no worker takes it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from edgeflow.errors import Conflict, InstanceFinished, StoreError
from edgeflow.store import Commit, Envelope, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeflow.store import Loaded, Store

RESERVED = "edgeflow-doctor-"
"""How the id begins under which a store is tried out."""
BODY = bytes(range(256))
"""Every byte there is: what a store that keeps texts would spoil."""
MINE = b"edgeflow doctor!"
THEIRS = b"another process!"
COMMITS = 5
"""How many are timed."""

TWO_WRITERS = (
    "So two processes could both commit to one instance, and what one of them did "
    "would be lost or done twice. Use another backend, or another mode of this one, "
    "that writes a value only if nobody else has"
)
LOST = (
    "So what was acknowledged could be lost. Use another backend, and look for "
    "proxies, caches or replicas in between that answer with what is old"
)
TWICE = (
    "So a message could be received twice, or never. Use another backend, and look for "
    "what repeats, caches or drops requests in between"
)


class _Broken(Exception):
    """A promise that does not hold."""


@dataclass(slots=True)
class _Probe:
    store: Store
    instance: str
    first: Commit
    timer: Callable[[], float]
    took: list[float] = field(default_factory=list[float])
    """Seconds of each commit that was timed."""

    @property
    def peer(self) -> str:
        """An inbox that belongs to no instance."""
        return f"{self.instance}-inbox"

    async def run(self) -> None:
        """Try one promise after the other: each goes on where the last one ended."""
        await self._starts()
        await self._goes_on()
        await self._is_taken_over()
        await self._receives()
        await self._sends()
        await self._trims()
        await self._is_forgotten()

    async def _starts(self) -> None:
        await self._commit(self.first)
        loaded = await self._loaded()
        _hold(
            [frame.body for frame in loaded.frames] == [BODY],
            f"a start of {len(BODY)} bytes was loaded as something else. {LOST}",
        )
        await self._refuses(self.first, "a second start under one id")

    async def _goes_on(self) -> None:
        for seq in range(2, COMMITS + 1):
            await self._commit(replace(self.first, seq=seq))
        numbers = [frame.seq for frame in (await self._loaded()).frames]
        _hold(
            numbers == [*range(1, COMMITS + 1)],
            f"of {COMMITS} frames that were committed, {numbers} were loaded. {LOST}",
        )
        await self._refuses(
            replace(self.first, seq=COMMITS), "a frame whose number is taken"
        )

    async def _is_taken_over(self) -> None:
        seq = COMMITS + 1
        await self._commit(replace(self.first, seq=seq, token=THEIRS, opens=True))
        await self._refuses(
            replace(self.first, seq=seq + 1), "a frame of an owner that was replaced"
        )

    async def _receives(self) -> None:
        message = Envelope(self.instance, "message", "probe", BODY)
        fresh = [await self.store.send(message) for _ in range(2)]
        _hold(
            fresh == [True, False],
            f"a message that was sent twice was taken as new {sum(fresh)} times, "
            f"not once. {TWICE}",
        )
        _hold(
            list(await self.store.unread(self.instance)) == [message],
            f"a message that was sent is not in the inbox as it was sent. {TWICE}",
        )
        await self._commit(self._later(2, acks=(message.id,)))
        _hold(
            not await self.store.unread(self.instance),
            f"a message is still unread that a commit has acknowledged. {TWICE}",
        )
        _hold(
            not await self.store.send(message),
            "a message that was received once was taken as new when it was sent once "
            f"more. {TWICE}",
        )

    async def _sends(self) -> None:
        message = Envelope(self.peer, "message", "probe", BODY)
        commit = self._later(3, sends=(message,))
        left = (await self.store.commit(self.instance, commit)).undelivered
        for each in left:
            await self.store.send(each)
        _hold(
            list(await self.store.unread(self.peer)) == [message],
            f"a message that went out with a commit did not arrive. {TWICE}",
        )

    async def _trims(self) -> None:
        commit = self._later(4, frames=(BODY, b""), snapshot=True)
        await self._commit(commit)
        frames = [(f.seq, f.body) for f in (await self._loaded()).frames]
        _hold(
            frames == [(commit.seq, BODY), (commit.last, b"")],
            "a snapshot that replaces all frames before it was loaded with others: "
            f"their numbers are {[seq for seq, _ in frames]}. {LOST}",
        )

    async def _is_forgotten(self) -> None:
        await self.store.delete(self.instance)
        _hold(
            await self.store.load(self.instance) is None,
            f"an instance is still there after it was deleted. {LOST}",
        )
        await self._refuses(self._later(6), "a frame of an instance that was deleted")

    def _later(self, steps: int, **changes: object) -> Commit:
        """Make a commit of the second owner, `steps` frames after the timed ones."""
        seq = COMMITS + steps
        return replace(self.first, seq=seq, token=THEIRS, **changes)  # type: ignore[arg-type]  # fields of a commit

    async def _commit(self, commit: Commit) -> None:
        began = self.timer()
        await self.store.commit(self.instance, commit)
        self.took.append(self.timer() - began)

    async def _loaded(self) -> Loaded:
        loaded = await self.store.load(self.instance)
        if loaded is None:
            raise _Broken(f"an instance is not there after its start. {LOST}")
        return loaded

    async def _refuses(self, commit: Commit, what: str) -> None:
        try:
            await self.store.commit(self.instance, commit)
        except Conflict:
            return
        raise _Broken(f"{what} was written, and must be refused. {TWO_WRITERS}")

    async def remove(self) -> None:
        """Leave nothing behind."""
        for each in (self.instance, self.peer):
            await self.store.delete(each)


def _hold(promise: bool, sentence: str) -> None:  # noqa: FBT001  it is what is asserted
    if not promise:
        raise _Broken(sentence)


async def probe(
    store: Store, name: str, *, now: float, timer: Callable[[], float]
) -> Sequence[Finding]:
    """Write and read under a reserved id, see what comes of it, and remove it all.

    It ends at the first promise that does not hold: what follows rests on it. It is
    removed also if it was cancelled.

    Args:
        store: an open one.
        name: ends the id, and should be random: nobody else may use it.
        now: in s since the epoch.
        timer: gives seconds, to time commits by.
    """
    first = Commit(
        seq=1,
        frames=(BODY,),
        token=MINE,
        workflow="edgeflow doctor",
        status="running",
        now=now,
    )
    tried = _Probe(store, f"{RESERVED}{name}", first, timer)
    found: list[Finding] = []
    try:
        await tried.run()
    except _Broken as broken:
        found.append(Finding("bad", f"it breaks its promises: {broken}"))
    except (StoreError, InstanceFinished) as error:
        text = f"it refused what it must do: {type(error).__name__}: {error}"
        found.append(Finding("bad", text))
    else:
        found.append(Finding("good", _praise(tried)))
    finally:
        left = await _removed(tried)
    return [*found, *left]


def _praise(tried: _Probe) -> str:
    milliseconds = 1000 * median(tried.took)
    shown = f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.1f}"  # noqa: PLR2004  two digits
    return (
        "tried out: a second start, a taken number and a replaced owner were refused, "
        f"frames, messages and a snapshot kept; a commit took {shown} ms"
    )


async def _removed(tried: _Probe) -> list[Finding]:
    """Remove what was written, in a task that a second cancellation does not end."""
    removal = asyncio.ensure_future(tried.remove())
    try:
        await asyncio.shield(removal)
    except StoreError as error:
        text = (
            f"what was tried could not be removed: {error}. Then do it by edgeflow rm"
        )
        return [Finding("note", f"{text} {tried.instance}")]
    return []
