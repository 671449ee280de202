"""A store that fails on purpose, at writes that were chosen beforehand."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, fields, replace
from random import Random
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args

from edgeflow.clock import Clock, SystemClock
from edgeflow.engine import opening
from edgeflow.engine.frames import Codec, PlainCodec
from edgeflow.engine.wiring import Wiring
from edgeflow.errors import OutcomeUnknown, StoreError, StoreUnavailable
from edgeflow.store import Commit, Committed, Resumes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from typing import Self

    from edgeflow.store import Envelope, Head, Limits, Loaded, Query, Store
    from edgeflow.testing.clock import VirtualClock

T = TypeVar("T")

FaultKind: TypeAlias = Literal[
    "fail_before",  # nothing is written, and the store says so: StoreUnavailable
    "fail_after",  # it is written, but the answer is lost: OutcomeUnknown
    "time_out",  # nothing is written, and after some seconds: OutcomeUnknown
    "late",  # OutcomeUnknown, and some seconds later it is written after all
    "slow",  # it is written after some seconds
    "fence",  # another process opens the instance first
    "crash_before",  # this process ends here: nothing is written
    "crash_after",  # this process ends here: it is written
    "lose",  # acknowledged, but not written; then the process ends
    "tear",  # of the last frame, if any, a part is written; then the process ends
]

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

RIVAL = b"another process!"
"""The token of the process that fences this one."""


class Crashed(BaseException):
    """The process is said to have ended: no `except Exception` goes on after it."""


@dataclass(frozen=True, slots=True, repr=False)
class Fault:
    """One thing that goes wrong; its repr makes it again."""

    at: int
    """The write that it strikes, counted from 1; a repeated write counts anew."""
    kind: FaultKind
    seconds: float = 2.0
    """How long a slow, late or unanswered write takes."""
    keep: int = 24
    """How many bytes of the last frame are left by a torn write; never all."""

    def __repr__(self) -> str:
        unusual = [
            f", {field.name}={getattr(self, field.name)!r}"
            for field in fields(self)[2:]
            if getattr(self, field.name) != field.default
        ]
        return f"Fault({self.at}, {self.kind!r}{''.join(unusual)})"


def draw_plan(
    seed: object, writes: int, faults: int = 2, kinds: Sequence[FaultKind] = KINDS
) -> tuple[Fault, ...]:
    """Draw some faults: the same ones for the same seed.

    At most one write is torn: two torn frames in a row are taken for a damaged
    journal, which blocks its instance.

    Args:
        seed: anything with a repr that does not change.
        writes: how many there are to strike.
        faults: how many to draw, each at another write.
        kinds: what may happen.
    """
    random = Random(repr(seed))  # noqa: S311  to be repeatable is the point
    places = random.sample(range(1, writes + 1), min(faults, writes))
    plan: list[Fault] = []
    for at in sorted(places):
        plan.append(Fault(at, random.choice(kinds)))
        if plan[-1].kind == "tear":
            kinds = [kind for kind in kinds if kind != "tear"] or ["crash_before"]
    return tuple(plan)


def simpler(plan: Sequence[Fault]) -> list[tuple[Fault, ...]]:
    """Give the plans with one fault less: to find the smallest that still fails."""
    return [(*plan[:at], *plan[at + 1 :]) for at in range(len(plan))]


class FaultyStore:
    """Passes every call on to `inner`, but for the faults of its plan.

    Commits, sends and deletes count as writes, and so does `resume`, which it has if
    `inner` has it: see `edgeflow.store.Resumes`. Once it has crashed, every call but
    `close` raises `Crashed`; go on with another app over `inner`, or over
    `following()`, as another process would.
    """

    def __init__(
        self,
        inner: Store,
        plan: Iterable[Fault] = (),
        *,
        clock: VirtualClock | None = None,
        codec: Codec | None = None,
        writes: int = 0,
    ) -> None:
        """Wrap a store.

        Args:
            inner: where everything is kept.
            plan: at most one fault for each write.
            clock: of the app, for slow writes; default: real time.
            codec: of the app, for fencing.
            writes: how many writes there were before.

        Raises:
            ValueError: if two faults strike one write.
        """
        self.inner = inner
        self.plan = tuple(plan)
        self.writes = writes
        """How many writes were asked for."""
        self.struck: list[Fault] = []
        """The faults that happened, oldest first."""
        self.crashed: Fault | None = None
        """What ended the process, if anything did."""
        self._faults = {fault.at: fault for fault in self.plan}
        self._clock: Clock = clock or SystemClock()
        self._virtual = clock
        self._sleep = clock.sleep if clock else asyncio.sleep
        self._codec: Codec = codec or PlainCodec()
        self._late: set[asyncio.Task[None]] = set()
        if len(self._faults) < len(self.plan):
            raise ValueError(f"two faults strike one write: {list(self.plan)}")
        if isinstance(inner, Resumes):
            self.resume = self._resume

    def __repr__(self) -> str:
        return f"FaultyStore({type(self.inner).__name__}(), {list(self.plan)})"

    def following(self) -> Self:
        """Give the store as the next process sees it, with the faults to come."""
        return type(self)(
            self.inner,
            [fault for fault in self.plan if fault.at > self.writes],
            clock=self._virtual,
            codec=self._codec,
            writes=self.writes,
        )

    def kill(self) -> None:
        """Let the process end now, at no write: inside of a step, say."""
        self.crashed = Fault(self.writes, "crash_after")

    async def settle(self) -> None:
        """Wait until all that comes late is there."""
        await asyncio.gather(*self._late)

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
            await self._be_quicker(instance, commit)
        if fault is not None and fault.kind == "tear":
            torn = _torn(commit, fault.keep)
            if commit.seq > 1 or self._decodes(torn.frames[-1]):
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

    async def _resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        fault, inner = self._next(), self.inner
        assert isinstance(inner, Resumes)
        kind = fault.kind if fault else ""
        if kind == "fence" and await inner.renew(instance, token, now, 0.0):
            await self._take_over(instance)
        unread = await inner.unread(instance) if kind == "lose" else ()
        return await self._write(
            fault, lambda: inner.resume(instance, token, now, lease, worker), unread
        )

    async def _write(
        self, fault: Fault | None, write: Callable[[], Awaitable[T]], answer: T
    ) -> T:
        kind = fault.kind if fault else ""
        if fault is None or kind == "fence":
            return await write()
        if kind == "fail_before":
            raise StoreUnavailable(f"nothing was written: {fault}")
        if kind in ("slow", "time_out"):
            await self._sleep(fault.seconds)
        if kind == "slow":
            return await write()
        if kind == "late":
            self._write_later(fault.seconds, write)
        if kind == "lose":
            self.crashed = fault
            return answer
        if kind in ("fail_after", "crash_after"):
            await write()
        if kind in ("fail_after", "time_out", "late"):
            raise OutcomeUnknown(f"there was no answer: {fault}")
        raise self._crash(fault)

    def _decodes(self, frame: bytes) -> bool:
        """Tell whether a torn start is known as such, or may be of another codec.

        Nothing may take the place of that, so a matrix could not go on after it.
        """
        try:
            self._codec.decode(frame)
        except Exception:  # a codec may raise anything
            return False
        return True

    def _write_later(self, seconds: float, write: Callable[[], Awaitable[T]]) -> None:
        async def arrive() -> None:
            await self._sleep(seconds)
            # Another write may have been there first: then it is void.
            with self._clock.busy(), suppress(StoreError):
                await write()

        # Not in the caller's context, whose commit holds time still.
        task = asyncio.get_running_loop().create_task(arrive(), context=Context())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _be_quicker(self, instance: str, commit: Commit) -> None:
        """Be the other process: open the instance, or start it, and do no more."""
        if commit.seq > 1:
            await self._take_over(instance)
        else:
            await self.inner.commit(instance, replace(commit, token=RIVAL, lease=0.0))

    async def _take_over(self, instance: str) -> None:
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


def _torn(commit: Commit, keep: int) -> Commit:
    """Leave of a commit what a store writes first: its frames, but for the end."""
    *whole, last = commit.frames
    return Commit(
        seq=commit.seq,
        frames=(*whole, last[: min(keep, len(last) - 1)]),
        token=commit.token,
        opens=commit.opens,
        workflow=commit.workflow,
        status="running",
        due=commit.now,
        now=commit.now,
    )
