"""Google Cloud Run and Cloud Run functions, as a platform."""

from __future__ import annotations

import signal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgeflow.config import TEXT, Key
from edgeflow_google._entry import entry_of
from edgeflow_google._tasks import waker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.platform import Background, Endpoint, Guard, Waker


class GooglePlatform:
    """Cloud Run: functions-framework, or an ASGI server in a container."""

    name: str = "google"
    grace: float = 8.0
    """Of the 10 s between the signal and the kill.

    https://cloud.google.com/run/docs/container-contract#instance-shutdown
    """
    margin: float = 2.0
    background: Background = "throttled"
    signals: tuple[int, ...] = (signal.SIGTERM,)
    keys: Mapping[str, Key] = MappingProxyType(
        {
            "queue": Key(
                TEXT,
                None,
                "projects/P/locations/L/queues/Q: the Cloud Tasks queue for wake-ups; "
                "none: somebody polls",
            ),
            "url": Key(TEXT, None, "of this service, for wake-ups: https://…"),
            "service_account": Key(
                TEXT, None, "its e-mail: wake-ups carry its identity token"
            ),
            "tasks_endpoint": Key(
                TEXT, None, "of an emulator of Cloud Tasks, called without credentials"
            ),
        }
    )

    def detect(self, environ: Mapping[str, str]) -> str | None:
        """Cloud Run sets K_SERVICE; functions, and functions-framework, the other.

        https://cloud.google.com/run/docs/container-contract#env-vars
        """
        for variable in ("K_SERVICE", "FUNCTION_TARGET"):
            if environ.get(variable):
                return f"{variable} is set"
        return None

    def prepare(self, guard: Guard) -> None:
        """See to it that workers can listen which a server forks later.

        functions-framework imports the module in gunicorn's master, and calls the
        function in threads of its workers.
        """
        guard.prepare()

    def install(self, guard: Guard) -> None:
        """Hear the signal, before the server does, which hears it too."""
        guard.listen(self.signals)

    def entry(self, endpoint: Endpoint) -> Callable[..., Any]:
        """Make a plain function, as functions-framework wants it."""
        return entry_of(endpoint)

    def waker(self, settings: Mapping[str, Any]) -> Waker | None:
        """Give what makes a task in Cloud Tasks for each alarm.

        Raises:
            ConfigError: if `queue` is no name of a queue, or is given without `url`, or
                another of its settings without `queue`.
        """
        return waker_of(settings)
