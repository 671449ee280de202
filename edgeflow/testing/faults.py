"""A store that fails on purpose, at writes that were chosen beforehand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from edgeflow.clock import Clock, SystemClock
from edgeflow.engine import opening
from edgeflow.engine.frames import Codec, PlainCodec
from edgeflow.engine.journal import Wiring
from edgeflow.errors import OutcomeUnknown, StoreUnavailable
from edgeflow.store import Commit, Committed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from edgeflow.store import Envelope, Head, Limits, Loaded, Query, Store
    from edgeflow.testing.clock import VirtualClock

T = TypeVar("T")

FaultKind: TypeAlias = Literal[
    "fail_before",  # nothing is written, and the store says so: StoreUnavailable
    "fail_after",  # it is written, but the answer is lost: OutcomeUnknown
    "slow",  # it is written after some seconds
    "fence",  # another process opens the instance first
    "crash_before",  # this process ends here: nothing is written
    "crash_after",  # this process ends here: it is written
    "lose",  # acknowledged, but not written; then the process ends
    "tear",  # of the last frame only a part is written; then the process ends
]

RIVAL = b"another process!"
"""The token of the process that fences this one."""


class Crashed(BaseException):
    """The process is said to have ended: no `except Exception` goes on after it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong; its repr makes it again."""

    at: int
    """The write that it strikes, counted from 1; a repeated write counts anew."""
    kind: FaultKind
    seconds: float = 2.0
    """How long a slow write takes."""
    keep: int = 0
    """How many bytes of the last frame are left by a torn write."""


class FaultyStore:
    """Passes every call on to `inner`, but for the faults of its plan.

    Commits, sends and deletes count as writes. Once it has crashed, every call
    but `close` raises `Crashed`; go on with another app over `inner`, as another
    process would.
    """

    def __init__(
        self,
        inner: Store,
        plan: Iterable[Fault] = (),
        *,
        clock: VirtualClock | None = None,
        codec: Codec | None = None,
    ) -> None:
        """Wrap a store.

        Args:
            inner: where everything is kept.
            plan: at most one fault for each write.
            clock: of the app, for slow writes; default: real time.
            codec: of the app, for fencing.

        Raises:
            ValueError: if two faults strike one write.
        """
        self.inner = inner
        self.plan = tuple(plan)
        self.writes = 0
        """How many writes were asked for."""
        self.struck: list[Fault] = []
        """The faults that happened, oldest first."""
        self.crashed: Fault | None = None
        """What ended the process, if anything did."""
        self._faults = {fault.at: fault for fault in self.plan}
        self._clock: Clock = clock or SystemClock()
        self._sleep = clock.sleep if clock else asyncio.sleep
        self._codec: Codec = codec or PlainCodec()
        if len(self._faults) < len(self.plan):
            raise ValueError(f"two faults strike one write: {list(self.plan)}")

    def __repr__(self) -> str:
        return f"FaultyStore({type(self.inner).__name__}(), {list(self.plan)})"

    def kill(self) -> None:
        """Let the process end now, at no write: inside of a step, say."""
        self.crashed = Fault(self.writes, "crash_after")

    @property
    def limits(self) -> Limits:
        return self.inner.limits

    async def open(self) -> None:
        self._check()
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def load(self, instance: str) -> Loaded | None:
        self._check()
        return await self.inner.load(instance)

    async def commit(self, instance: str, commit: Commit) -> Committed:
        fault = self._next()
        if fault is not None and fault.kind == "fence":
            await self._take_over(instance, commit)
        if fault is not None and fault.kind == "tear":
            *whole, last = commit.frames
            torn = replace(commit, frames=(*whole, last[: fault.keep]))
            await self.inner.commit(instance, torn)
            raise self._crash(fault)
        return await self._write(
            fault, lambda: self.inner.commit(instance, commit), Committed()
        )

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        self._check()
        return await self.inner.renew(instance, token, now, lease)

    async def unread(self, instance: str) -> Sequence[Envelope]:
        self._check()
        return await self.inner.unread(instance)

    async def send(self, message: Envelope) -> bool:
        return await self._write(
            self._next(), lambda: self.inner.send(message), answer=True
        )

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        self._check()
        return await self.inner.claim(now, limit, lease, worker)

    def find(self, query: Query) -> AsyncIterator[Head]:
        self._check()
        return self.inner.find(query)

    async def delete(self, instance: str) -> None:
        await self._write(self._next(), lambda: self.inner.delete(instance), None)

    async def _write(
        self, fault: Fault | None, write: Callable[[], Awaitable[T]], answer: T
    ) -> T:
        kind = fault.kind if fault else ""
        if fault is None or kind == "fence":
            return await write()
        if kind == "fail_before":
            raise StoreUnavailable(f"nothing was written: {fault}")
        if kind == "slow":
            await self._sleep(fault.seconds)
            return await write()
        if kind == "lose":
            self.crashed = fault
            return answer
        if kind in ("fail_after", "crash_after"):
            await write()
        if kind == "fail_after":
            raise OutcomeUnknown(f"the answer is lost: {fault}")
        raise self._crash(fault)

    async def _take_over(self, instance: str, commit: Commit) -> None:
        """Be the other process: open the instance, or start it, and do no more."""
        if commit.seq == 1:
            await self.inner.commit(instance, replace(commit, token=RIVAL, lease=0.0))
            return
        wiring = Wiring(self.inner, self._clock, self._codec, "another process")
        journal, _ = await opening.load(wiring, instance, RIVAL)
        await opening.take_over(journal, lease=0.0)

    def _next(self) -> Fault | None:
        self._check()
        self.writes += 1
        fault = self._faults.get(self.writes)
        if fault is not None:
            self.struck.append(fault)
        return fault

    def _check(self) -> None:
        if self.crashed is not None:
            raise self._crash(self.crashed)

    def _crash(self, fault: Fault) -> Crashed:
        self.crashed = fault
        return Crashed(f"the process has ended: {fault}")
