"""What the journals of a process need of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.late import dataclass

if TYPE_CHECKING:
    from edgeflow.clock import Clock
    from edgeflow.engine.arming import Arming
    from edgeflow.engine.frames import Codec
    from edgeflow.engine.observing import Witness
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
    arm: Arming | None = None
    """Has the platform wake instances; None: somebody polls."""
