"""What the journals of a process need of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from edgeflow.clock import Clock
    from edgeflow.engine.frames import Codec
    from edgeflow.engine.observing import Witness
    from edgeflow.platform import Alarm
    from edgeflow.store import Store


@dataclass(slots=True)
class Wiring:
    """What a journal needs of the process around it."""

    store: Store
    clock: Clock
    codec: Codec
    worker: str
    version: str | None = None
    witness: Witness | None = None
    arm: Callable[[Sequence[Alarm]], Awaitable[None]] | None = None
    """Has the platform wake instances, before the write that makes them due."""
