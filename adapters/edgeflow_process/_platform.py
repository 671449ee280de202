"""The platform of last resort: a process of its own, ended by signals."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.config import Key
    from edgeflow.platform import Background, Endpoint, Guard, Waker


class ProcessPlatform:
    """A program that runs in the main thread; never detected, as there is no sign."""

    name = "process"
    grace = 8.0
    """Most supervisors kill 10 s after the signal."""
    margin = 1.0
    background: Background = "none"
    """A handler's process ends after its answer; `edgeflow serve` is what stays."""
    signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)
    keys: Mapping[str, Key] = {}

    def detect(self, environ: Mapping[str, str]) -> str | None:
        return None

    def prepare(self, guard: Guard) -> None:
        """Do nothing: whoever defines a handler here may never call it."""

    def install(self, guard: Guard) -> None:
        guard.listen(self.signals)

    def entry(self, endpoint: Endpoint) -> Callable[..., Any]:
        from edgeflow_process._entry import entry  # noqa: PLC0415  costly

        return entry(endpoint)

    def waker(self, settings: Mapping[str, Any]) -> Waker | None:
        """Give none: cron calls `edgeflow run-due`, or `edgeflow serve` polls."""
        return None
