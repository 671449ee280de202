"""Putting together what an app is made of, by its configuration."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from edgeflow.engine.arming import Arming
from edgeflow.engine.plan import Plan
from edgeflow.engine.settings import Settings
from edgeflow.engine.threads import Threads
from edgeflow.engine.wiring import Wiring
from edgeflow.engine.worker import Worker
from edgeflow.late import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.clock import Clock
    from edgeflow.engine.frames import Codec
    from edgeflow.engine.observing import Observers
    from edgeflow.platform import Platform
    from edgeflow.registry import Registry
    from edgeflow.store import Store


ARMING = 8
"""How many alarms are armed at once."""


class Entropy:
    """What the system gives of it, as random.SystemRandom does: that is costly."""

    def random(self) -> float:
        """Give a number from 0 to 1, without 1."""
        return int.from_bytes(os.urandom(6)) / 2**48

    def randbytes(self, n: int) -> bytes:
        """Give `n` bytes."""
        return os.urandom(n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an app brings along."""

    store: Store
    clock: Clock
    codec: Codec
    config: Mapping[str, Any]
    platform: Platform
    registry: Registry
    observers: Observers
    chance: Callable[[], float]
    """A random number in 0 to 1."""
    token: Callable[[], bytes]
    """16 random bytes."""


def wire(parts: Parts) -> tuple[Wiring, Callable[[Callable[[], Any]], Worker]]:
    """Give what its journals need, and what makes a worker.

    The latter is told how to get the live objects of the process.

    Raises:
        ConfigError: if what wakes instances on this platform is set up in part.
    """
    config, threads = parts.config, Threads()
    name = f"{socket.gethostname()}:{os.getpid()}"
    wiring = Wiring(parts.store, parts.clock, parts.codec, name, config["version"])
    waker = parts.platform.waker(config)
    if waker is not None:
        # Threads of its own: those of steps that were cut off may all be busy.
        wiring.arm = Arming(waker, parts.clock, Threads(limit=ARMING))
    settings = Settings(
        threads=threads,
        chance=parts.chance,
        observers=parts.observers,
        durability=config["durability"],
        linger=config["linger"],
        max_dirty_bytes=config["max_dirty_bytes"],
        max_dirty_age=config["max_dirty_age"],
        lease=config["lease"],
        poll=config["poll"],
        grace=config["grace"],
        strict_names=config["strict_names"],
    )
    plan = Plan(
        settings=lambda _: settings,
        body=parts.registry.body,
        decode=parts.registry.decode,
        token=parts.token,
        observers=parts.observers,
        chance=parts.chance,
        lease=config["lease"],
        poll=config["poll"],
        max_parked=config["max_parked"],
        max_running=config["max_running"],
        grace=config["grace"],
        margin=config["margin"],
        keep_finished=config["keep_finished"],
    )
    return wiring, maker(wiring, parts.registry, settings, plan)


def maker(
    wiring: Wiring, registry: Registry, settings: Settings, plan: Plan
) -> Callable[[Callable[[], Any]], Worker]:
    """Give what makes a worker; it is told how to get the live objects of the process.

    `settings` are those of a workflow that has none of its own.
    """

    def make(resources: Callable[[], Any]) -> Worker:
        made: dict[str, Settings] = {}

        def settings_of(name: str) -> Settings:
            found, live = made.get(name), resources()
            if found is None or found.resources is not live:
                known = registry.get(name)
                found = made[name] = replace(
                    settings,
                    sent=worker.ring,
                    born=worker.attendance.families.born,
                    resources=live,
                    durability=(known and known.durability) or settings.durability,
                )
            return found

        worker = Worker(wiring, replace(plan, settings=settings_of))
        return worker

    return make
