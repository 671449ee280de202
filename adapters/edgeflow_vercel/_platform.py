"""Vercel, as a platform."""

from __future__ import annotations

import os
import signal
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgeflow_asgi import AsgiHandler
from edgeflow_vercel._invocation import is_cron, seconds_left

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow.config import Key
    from edgeflow.platform import Background, Endpoint, Guard, Waker


class VercelPlatform:
    """Functions of Vercel, which its runtime serves as an ASGI application."""

    name: str = "vercel"
    grace: float = 0.2
    """Of the 0.5 s until the kill; a small machine takes a while for the rest."""
    margin: float = 1.0
    background: Background = "frozen"
    signals: tuple[int, ...] = (signal.SIGTERM,)
    keys: Mapping[str, Key] = MappingProxyType({})

    def detect(self, environ: Mapping[str, str]) -> str | None:
        """Vercel sets VERCEL at run time, and when it builds.

        https://vercel.com/docs/environment-variables/system-environment-variables
        """
        return "VERCEL is set" if environ.get("VERCEL") else None

    def prepare(self, guard: Guard) -> None:
        """Do nothing: the runtime has its server in the main thread."""

    def install(self, guard: Guard) -> None:
        """Hear the signal, before the server of the runtime does."""
        guard.listen(self.signals)

    def entry(self, endpoint: Endpoint) -> AsgiHandler:
        """Make an ASGI application, which knows the deadline and Vercel's cron."""
        cron = partial(
            is_cron,
            door=f"{endpoint.settings['prefix']}/run-due",
            secret=os.environ.get("CRON_SECRET", ""),
        )
        return AsgiHandler(endpoint, seconds_left=seconds_left, authenticated=cron)

    def waker(self, settings: Mapping[str, Any]) -> Waker | None:
        """Vercel has no alarm for a time: its cron runs what is due."""
        return None
