"""Azure Functions, as a platform."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgeflow.config import POSITIVE_SECONDS, TEXT, Key
from edgeflow_azure._entry import entry_of
from edgeflow_azure._queue import waker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.platform import Background, Endpoint, Guard, Waker


class AzurePlatform:
    """Azure Functions, with the v2 programming model."""

    name: str = "azure-functions"
    grace: float = 0.0
    margin: float = 5.0
    background: Background = "none"
    """A worker process lives on after an answer, but ends without being told."""
    signals: tuple[int, ...] = ()
    keys: Mapping[str, Key] = MappingProxyType(
        {
            "function_timeout": Key(
                POSITIVE_SECONDS,
                None,
                "what a run may take; none: functionTimeout of host.json, or 5 minutes",
            ),
            "queue_name": Key(
                TEXT, None, "the storage queue for wake-ups; none: somebody polls"
            ),
            "queue_connection": Key(
                TEXT,
                "AzureWebJobsStorage",
                "its connection string, or the app setting that holds it",
                secret=True,
            ),
        }
    )

    def detect(self, environ: Mapping[str, str]) -> str | None:
        """The host sets it for each worker.

        https://learn.microsoft.com/azure/azure-functions/functions-app-settings#functions_worker_runtime
        """
        found = environ.get("FUNCTIONS_WORKER_RUNTIME") == "python"
        return "FUNCTIONS_WORKER_RUNTIME is python" if found else None

    def prepare(self, guard: Guard) -> None:
        """Nothing has to be done early."""

    def install(self, guard: Guard) -> None:
        """Nothing is told to a worker before it is killed."""

    def entry(self, endpoint: Endpoint) -> Callable[[Any], Any]:
        """Make a coroutine function, for any of the triggers that it knows."""
        return entry_of(endpoint)

    def waker(self, settings: Mapping[str, Any]) -> Waker | None:
        """Give what sends a message for each alarm, invisible until its time.

        Raises:
            ConfigError: if there is a `queue_name` but no connection string.
        """
        return waker_of(settings)
