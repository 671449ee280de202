"""Clients of AWS: costly to make, shared by threads, never by processes."""

from __future__ import annotations

import os
import threading
from importlib import import_module
from typing import Any

from edgeflow.errors import ConfigError

CONNECT_SECONDS = 2
READ_SECONDS = 5


class Clients:
    """Makes each client once in a process."""

    def __init__(self) -> None:
        """Make none yet: boto3 takes a second to import."""
        self._begin()

    def _begin(self) -> None:
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def get(self, service: str) -> Any:
        """Give the client of a service; region and credentials are boto3's business.

        Raises:
            ConfigError: if boto3 is missing; says how to install it.
        """
        if self._process != os.getpid():  # the connections are those of its parent
            self._begin()
        with self._lock:  # making one is not safe in threads
            if service not in self._made:
                self._made[service] = _make(service)
            return self._made[service]

    def forget(self) -> None:
        """Close all, and have them made anew: a snapshot must hold no connection."""
        made = self._made
        self._begin()
        for client in made.values():
            client.close()


def _make(service: str) -> Any:
    try:
        session: Any = import_module("boto3.session")
        config: Any = import_module("botocore.config")
    except ImportError as error:
        raise ConfigError(
            "schedules and queues of AWS need boto3, which cannot be imported "
            f"({error}): pip install 'edgeflow-durable[aws]'"
        ) from error
    # Who calls us tries again, within what time is left.
    patience = config.Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    return session.Session().client(service, config=patience)
