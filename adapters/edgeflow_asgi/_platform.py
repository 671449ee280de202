"""ASGI servers, as a platform."""

from __future__ import annotations

import signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgeflow_asgi._handler import AsgiHandler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow.config import Key
    from edgeflow.platform import Background, Endpoint, Guard, Waker


class AsgiPlatform:
    """Any ASGI server: uvicorn, hypercorn, granian, gunicorn with uvicorn's worker."""

    name: str = "asgi"
    grace: float = 8.0
    margin: float = 1.0
    background: Background = "runs"
    signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)
    keys: Mapping[str, Key] = MappingProxyType({})

    def detect(self, environ: Mapping[str, str]) -> str | None:
        """No server can be told by its environment: ask for this platform."""
        return None

    def prepare(self, guard: Guard) -> None:
        """Do nothing: a server that ends by a signal hears it in the main thread."""

    def install(self, guard: Guard) -> None:
        """Hear the signals, before the server does, which hears them too.

        In a thread that is not the main one nothing is heard, and nothing is lost:
        all that was answered is durable.
        """
        guard.listen(self.signals)

    def entry(self, endpoint: Endpoint) -> AsgiHandler:
        """Make an ASGI application."""
        return AsgiHandler(endpoint)

    def waker(self, settings: Mapping[str, Any]) -> Waker | None:
        """Nothing wakes a server that is down; one that is up looks for what is due."""
        return None
