"""How each instance of a worker came to rest, as JSON lines."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.cli._console import Output
    from edgeflow.events import Event

RESTS = {"suspended", "completed", "failed", "cancelled", "blocked"}


class Rests:
    """An observer that writes a line for each rest."""

    def __init__(self, output: Output) -> None:
        """Write to `output`."""
        self._output = output

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        if event.kind not in RESTS:
            return
        with suppress(BrokenPipeError):  # nobody reads any more; the work goes on
            self._output.json(
                {
                    "id": event.instance,
                    "workflow": event.workflow,
                    "status": event.kind,
                    "at": event.at,
                    "error": None if event.error is None else asdict(event.error),
                    "wake_at": event.wake_at,
                    "awaiting": list(event.awaiting),
                }
            )
