"""One commit, until it is written or known not to be; never doubled."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from edgeflow.engine.eager import start
from edgeflow.errors import (
    Conflict,
    Fenced,
    InstanceFinished,
    OutcomeUnknown,
    StoreUnavailable,
    TooLarge,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from edgeflow.clock import Clock
    from edgeflow.store import Commit, Envelope, Store

T = TypeVar("T")

RETRIES = 5
SECONDS = 10.0
FIRST_PAUSE = 0.05


class Committer:
    """Writes the commits of one instance."""

    __slots__ = ("_clock", "_instance", "_store")

    def __init__(self, store: Store, clock: Clock, instance: str) -> None:
        """Write to `store`; pauses between retries are by `clock`."""
        self._store = store
        self._clock = clock
        self._instance = instance

    async def deliver(
        self, owed: Sequence[Envelope], joined: Sequence[Envelope]
    ) -> None:
        """Deliver the messages that are not known to have gone down with a commit.

        Raises:
            StoreUnavailable: if one could not be delivered.
        """
        for message in owed:
            if message not in joined:
                await self._deliver(message)

    async def commit(self, commit: Commit) -> Sequence[Envelope]:
        """Write a commit; give the messages that are known to have gone down with it.

        Raises:
            Fenced: if another owner has written; nothing of this was.
            StoreUnavailable: if it could not be written, or that is not known.
        """
        give_up = self._clock.now() + SECONDS
        unknown = False
        last: Exception | None = None
        for tries in range(RETRIES + 1):
            written: bool | None = None
            try:
                with self._clock.busy():
                    answer = await self._store.commit(self._instance, commit)
                return [m for m in commit.sends if m not in answer.undelivered]
            except Conflict:
                if not unknown:
                    raise Fenced(self._instance) from None
                written = await self._is_written(commit)
                if written is False:
                    raise Fenced(self._instance) from None
            except TooLarge as error:
                raise self._unavailable(error) from error
            except StoreUnavailable as error:
                last = error
            except Exception as error:
                last, unknown = error, True
                written = await self._is_written(commit)
            if written:
                return ()
            if tries == RETRIES or self._clock.now() >= give_up:
                break
            await sleep(self._clock, FIRST_PAUSE * 2**tries)
        raise self._unavailable(last) from last

    def _unavailable(self, error: Exception | None) -> StoreUnavailable:
        return StoreUnavailable(
            f"instance {self._instance!r} could not be flushed, and is as the last "
            f"flush left it: {error}"
        )

    async def _is_written(self, commit: Commit) -> bool | None:
        """Settle a lost answer by reading the tail; None: it cannot be read either.

        Raises:
            Fenced: if another owner has written since.
        """
        try:
            with self._clock.busy():
                loaded = await self._store.load(self._instance)
        except Exception:
            return None
        if loaded is None:
            if commit.seq == 1:
                return False
            raise Fenced(self._instance)
        last = commit.seq + len(commit.frames) - 1
        if loaded.head.token == commit.token and loaded.head.seq == last:
            return True
        if loaded.head.seq != commit.seq - 1:
            raise Fenced(self._instance)
        return False

    async def _deliver(self, message: Envelope) -> None:
        try:
            with self._clock.busy():
                await self._store.send(message)
        except InstanceFinished:
            return
        except Exception as error:
            raise StoreUnavailable(
                f"instance {self._instance!r}: a message to {message.to!r} could not "
                f"be delivered; the next owner delivers it: {error}"
            ) from error


async def insist(
    clock: Clock, ask: Callable[[], Coroutine[Any, Any, T]], what: str
) -> T:
    """Ask as often as a commit is tried, for what may be done twice.

    Raises:
        StoreUnavailable: if the store gave no answer; says what it was asked for.
    """
    give_up, tries = clock.now() + SECONDS, 0
    while True:
        try:
            return await ask()
        except (StoreUnavailable, OutcomeUnknown) as error:
            if tries == RETRIES or clock.now() >= give_up:
                raise StoreUnavailable(f"{what} cannot go on: {error}") from error
        await sleep(clock, FIRST_PAUSE * 2**tries)
        tries += 1


def resolve(waiter: asyncio.Future[None]) -> None:
    """End a wait, unless it has ended."""
    if not waiter.done():
        waiter.set_result(None)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work that must not be torn; a cancellation is passed on afterwards."""
    task = start(work, asyncio.get_running_loop())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and task.exception() is None:
        raise cancelled
    return task.result()


async def sleep(clock: Clock, duration: float) -> None:
    """Wait on the host's loop for `duration` seconds of this clock."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    alarm = clock.call_at(clock.now() + duration, partial(resolve, waiter))
    try:
        await waiter
    finally:
        alarm.cancel()
