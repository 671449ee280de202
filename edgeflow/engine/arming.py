"""Having the platform wake what is due later, or elsewhere: before it is due."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING

from edgeflow.engine.committing import sleep
from edgeflow.engine.resting import earliest
from edgeflow.errors import StoreUnavailable
from edgeflow.platform import Alarm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.clock import Clock
    from edgeflow.engine.inbox import Inbox
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.threads import Threads
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

    async def _arm(self, alarm: Alarm) -> None:
        for tries in range(1, TRIES + 1):
            try:
                with self._clock.busy():
                    arm = partial(self._waker.arm, alarm)
                    await self._threads.run(arm, copy_context())
            except Exception as error:
                if tries == TRIES:
                    raise StoreUnavailable(
                        f"instance {alarm.instance!r}: its wake-up could not be armed, "
                        f"and so nothing was flushed: {error}"
                    ) from error
                log.warning("arming %s failed, try %d: %s", alarm, tries, error)
                await sleep(self._clock, FIRST_PAUSE * 2 ** (tries - 1))
            else:
                return


async def arm_again(journal: Journal, inbox: Inbox) -> None:
    """Have an instance woken that was looked at too early: its alarm is used up.

    Raises:
        StoreUnavailable: if that could not be armed.
    """
    header = journal.header
    await arm_at(journal, earliest(header["due"], inbox.visible_at(header["awaiting"])))


async def arm_at(journal: Journal, when: float | None) -> None:
    """Have an instance woken at some time; None: there is none.

    Raises:
        StoreUnavailable: if that could not be armed.
    """
    arm = journal.wiring.arm
    if arm is not None and when is not None:
        await arm([Alarm(journal.instance, str(journal.seq), when)])
