"""Wake-ups by a storage queue: one message for each alarm, invisible until its time."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError
from edgeflow.platform import require
from edgeflow_azure._host import expects_base64

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.platform import Alarm

LONGEST = 7 * 24 * 3600
"""Seconds that a message may be invisible.

https://learn.microsoft.com/rest/api/storageservices/put-message#uri-parameters
"""
FOR_EVER = -1
PATIENCE = 10
"""Seconds for the connection, and for each answer."""


@dataclass(slots=True)
class QueueWaker:
    """Sends a message for each alarm; the client is made at the first one.

    Messages have no names: an alarm that is armed twice wakes twice, and the second
    time finds nothing due.
    """

    connection: str
    queue: str
    is_base64: bool
    """Whether the queue trigger expects it: `messageEncoding` of host.json."""
    now: Callable[[], float] = time.time
    _client: Any = None
    _lock: Lock = field(default_factory=Lock)

    def arm(self, alarm: Alarm) -> None:
        """Have the queue trigger fire at the time of the alarm, or after 7 days.

        A queue that is not there is made.

        Raises:
            Exception: if the queue could not be reached, or refused.
        """
        client = self._connected()
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415  costly

        delay = min(max(math.ceil(alarm.when - self.now()), 0), LONGEST)
        message = json.dumps(alarm.event())
        try:
            _send(client, message, delay)
        except ResourceNotFoundError:
            self._make_queue(client)
            _send(client, message, delay)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _connect(
                    self.connection, self.queue, is_base64=self.is_base64
                )
            return self._client

    def _make_queue(self, client: Any) -> None:
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415  costly

        try:
            client.create_queue(timeout=PATIENCE)
        except ResourceExistsError:
            return  # by another thread or process


def waker_of(settings: Mapping[str, Any]) -> QueueWaker | None:
    """Make the waker that the settings describe; None: they name no queue.

    Raises:
        ConfigError: if no connection string is found, or azure-storage-queue is
            missing.
    """
    queue, connection = settings["queue_name"], settings["queue_connection"]
    if queue is None:
        return None
    if "=" not in connection:  # then it is the name of an app setting
        name, connection = connection, os.environ.get(connection, "")
        if not connection:
            raise ConfigError(
                f"azure-functions: queue_name is set, but the app setting {name} "
                "holds no connection string: set it, or queue_connection"
            )
    require("azure.storage.queue", "azure-storage-queue", "azure")
    return QueueWaker(connection, queue, expects_base64())


def _connect(connection: str, queue: str, *, is_base64: bool) -> Any:
    from azure.storage.queue import (  # noqa: PLC0415  costly
        QueueClient,
        TextBase64EncodePolicy,
    )

    policy = TextBase64EncodePolicy() if is_base64 else None
    return QueueClient.from_connection_string(
        connection,
        queue,
        message_encode_policy=policy,
        connection_timeout=PATIENCE,
        read_timeout=PATIENCE,
        retry_total=1,
    )


def _send(client: Any, message: str, delay: int) -> None:
    client.send_message(message, visibility_timeout=delay, time_to_live=FOR_EVER)
