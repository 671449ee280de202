"""Wake-ups by Cloud Tasks: one named task for each alarm, which posts to our door."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError
from edgeflow.platform import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.platform import Alarm

QUEUE = re.compile(r"projects/[^/]+/locations/[^/]+/queues/[^/]+")
HOUR = 3600
LONGEST = 30 * 24 * HOUR - HOUR
"""Seconds ahead: a little less than the limit of Cloud Tasks.

https://cloud.google.com/tasks/docs/quotas
"""
SOON = 2.0
"""Seconds before its time in which a task may have fired, as clocks differ."""
PATIENCE = 10.0
"""Seconds for one call of Cloud Tasks."""


@dataclass(slots=True)
class CloudTasksWaker:
    """Makes a task for each alarm; the client is made at the first one."""

    queue: str
    door: str
    """The URL that the tasks post to."""
    secret: str | None = None
    service_account: str | None = None
    endpoint: str | None = None
    """Of an emulator, called without credentials."""
    now: Callable[[], float] = time.time
    _clients: dict[int, Any] = field(default_factory=dict[int, Any])
    """By process: a connection must not be shared with a fork."""
    _lock: Lock = field(default_factory=Lock)

    def arm(self, alarm: Alarm) -> None:
        """Have the door called at the time of the alarm, or as late as is possible.

        A name is taken until about an hour after its task has fired. So where that may
        be, a second task is made for a little later; it may find nothing due.

        Raises:
            Exception: if Cloud Tasks could not be reached, or refused.
        """
        now = self.now()
        when = _within_reach(alarm.when, now)
        if self._make(alarm, when, now) or when > now + SOON:
            return
        self._make(alarm, now + SOON, now)

    def _make(self, alarm: Alarm, when: float, now: float) -> bool:
        """Make the task; False: there is, or was, one of that name."""
        client = self._client()
        from google.api_core.exceptions import Conflict  # noqa: PLC0415  costly

        name = alarm.name(when)
        http: dict[str, Any] = {
            "http_method": "POST",
            "url": self.door,
            "headers": self._headers(name),
            "body": json.dumps(alarm.event()).encode(),
        }
        if self.service_account is not None:
            http["oidc_token"] = {"service_account_email": self.service_account}
        task: dict[str, Any] = {
            "name": f"{self.queue}/tasks/{name}",
            "http_request": http,
        }
        if when > now:
            task["schedule_time"] = datetime.fromtimestamp(when, UTC)
        try:
            client.create_task(
                request={"parent": self.queue, "task": task}, timeout=PATIENCE
            )
        except Conflict:
            return False
        return True

    def _headers(self, name: str) -> dict[str, str]:
        """Make the request a CloudEvent too, for functions that take nothing else.

        https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md
        """
        headers = {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-type": "edgeflow.wake",
            "ce-source": f"//cloudtasks.googleapis.com/{self.queue}",
            "ce-id": name,
        }
        if self.secret is not None and self.service_account is None:
            headers["Authorization"] = f"Bearer {self.secret}"
        return headers

    def _client(self) -> Any:
        with self._lock:
            process = os.getpid()
            if process not in self._clients:
                self._clients[process] = _connect(self.endpoint)
            return self._clients[process]


def waker_of(settings: Mapping[str, Any]) -> CloudTasksWaker | None:
    """Make the waker that the settings describe; None: they name no queue.

    Raises:
        ConfigError: if they are incomplete, or the queue has no name of one, or
            google-cloud-tasks is missing.
    """
    queue, url = settings["queue"], settings["url"]
    if queue is None:
        for key in ("url", "service_account", "tasks_endpoint"):
            if settings[key] is not None:
                raise ConfigError(f"google: {key} is set without queue: set both")
        return None
    if url is None:
        raise ConfigError("google: queue is set without url: say where this service is")
    if QUEUE.fullmatch(queue) is None:
        raise ConfigError(
            f"google: queue = {queue!r} is no queue of Cloud Tasks: it has to be like "
            "projects/P/locations/L/queues/Q"
        )
    require("google.cloud.tasks_v2", "google-cloud-tasks", "google")
    return CloudTasksWaker(
        queue=queue,
        door=f"{url.rstrip('/')}{settings['prefix']}",
        secret=settings["secret"],
        service_account=settings["service_account"],
        endpoint=settings["tasks_endpoint"],
    )


def _within_reach(when: float, now: float) -> float:
    """Give the time, or the last full hour that can be asked for: it is asked once."""
    return when if when <= now + LONGEST else (now + LONGEST) // HOUR * HOUR


def _connect(endpoint: str | None) -> Any:
    """Make a client that speaks HTTP, since gRPC would not survive a fork."""
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415  costly
    from google.cloud.tasks_v2 import CloudTasksClient  # noqa: PLC0415  costly

    if endpoint is None:
        return CloudTasksClient(transport="rest")
    return CloudTasksClient(
        transport="rest",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]  # google-auth has no types there
        client_options={"api_endpoint": endpoint},
    )
