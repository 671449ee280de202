"""Having the platform wake what is due later, or elsewhere: before it is due."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

from edgeflow.engine.committing import sleep
from edgeflow.errors import StoreUnavailable
from edgeflow.late import replace
from edgeflow.platform import Alarm
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.clock import Clock
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.threads import Threads
    from edgeflow.engine.wiring import Wiring
    from edgeflow.platform import Waker

log = logging.getLogger("edgeflow")

TRIES = 3
FIRST_PAUSE = 0.1


class Arming:
    """Arms alarms by a platform's waker, each in a thread, all at once."""

    def __init__(self, waker: Waker, clock: Clock, threads: Threads) -> None:
        """Pause by `clock` between tries."""
        self._waker = waker
        self._clock = clock
        self._threads = threads

    async def __call__(self, alarms: Sequence[Alarm]) -> None:
        """Arm them.

        Raises:
            StoreUnavailable: if one could not be armed: without it nobody would wake
                the instance, so that what makes it due must not be written.
        """
        work = map(self._arm, dict.fromkeys(alarms))
        for answer in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    def at_last(self, alarms: Sequence[Alarm]) -> None:
        """Arm them in this thread, one try each; what fails is left to `run_due`."""
        for alarm in alarms:
            try:
                self._waker.arm(alarm)
            except Exception as error:
                log.warning("%s: nobody wakes it but run_due: %s", alarm, error)

    async def _arm(self, alarm: Alarm) -> None:
        for tries in range(1, TRIES + 1):
            try:
                with self._clock.busy():
                    arm = partial(self._waker.arm, alarm)
                    await self._threads.run(arm, copy_context())
            except Exception as error:
                if tries == TRIES:
                    raise StoreUnavailable(
                        f"instance {alarm.instance!r}: its wake-up could not be armed: "
                        f"{error}"
                    ) from error
                log.warning("arming %s failed, try %d: %s", alarm, tries, error)
                await sleep(self._clock, FIRST_PAUSE * 2 ** (tries - 1))
            else:
                return


async def hop(wiring: Wiring, alarm: Alarm, *, is_running: bool) -> None:
    """Arm an alarm once more that came before its time, if it is still wanted.

    Only who comes by an alarm does this, so that each has one chain of hops. Who
    `is_running` elsewhere was armed for the end of its lease: see `arm_at`.

    Raises:
        StoreUnavailable: if that could not be armed.
    """
    if wiring.arm is None or alarm.when <= wiring.clock.now():
        return
    with wiring.clock.busy():
        loaded = await wiring.store.load(alarm.instance)
    if loaded is None or loaded.head.status in TERMINAL:
        return
    wanted = {message.id for message in loaded.messages}
    if not is_running:
        wanted.add(str(loaded.head.seq))
    if alarm.key in wanted:
        await wiring.arm([alarm])


async def arm_at(journal: Journal, when: float) -> None:
    """Have an instance looked at again at some time.

    Raises:
        StoreUnavailable: if that could not be armed.
    """
    if journal.wiring.arm is not None:
        await journal.wiring.arm([Alarm(journal.instance, str(journal.seq), when)])


NET_SECONDS = 10.0
"""After which a commit is written, or given up: see `Committer`."""


class Net:
    """The alarms of a commit: armed before it, and once more after it if they are soon.

    One that comes before the commit is there finds nothing to do. So what is soon is
    armed twice: in time for who can see it, and before that for later, in case that
    this process dies in between.
    """

    def __init__(self, wiring: Wiring, alarms: Sequence[Alarm]) -> None:
        """Nothing is armed yet."""
        self._wiring = wiring
        self._safe = wiring.clock.now() + NET_SECONDS
        self._alarms = alarms

    async def spread(self) -> None:
        """Arm what must not be forgotten, whatever happens.

        Raises:
            StoreUnavailable: if that could not be armed: then do not write.
        """
        if self._wiring.arm is not None and self._alarms:
            later = (replace(a, when=max(a.when, self._safe)) for a in self._alarms)
            await self._wiring.arm([*later])

    async def tighten(self) -> None:
        """Arm what is soon, now that it can be seen; if that fails it comes later."""
        soon = [alarm for alarm in self._alarms if alarm.when < self._safe]
        if self._wiring.arm is not None and soon:
            try:
                await self._wiring.arm(soon)
            except StoreUnavailable as error:
                log.warning("it is woken %g s later: %s", NET_SECONDS, error)
