"""Redis from Debian's package, with the settings that keep what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.server import LOOPBACK, answers, program

if TYPE_CHECKING:
    from pathlib import Path


class Redis:
    """One server, which syncs each write to the disk before it answers."""

    def __init__(self, *settings: str) -> None:
        """Take words such as `--appendfsync everysec`, which override the defaults."""
        self._settings = settings

    def prepare(self, folder: Path) -> None:
        pass

    def command(self, folder: Path, port: int) -> list[str]:
        return [
            program("redis-server", "redis-server"),
            *("--bind", LOOPBACK),
            *("--port", str(port)),
            *("--dir", str(folder)),
            *("--save", ""),
            *("--appendonly", "yes"),
            *("--appendfsync", "always"),
            *("--maxmemory-policy", "noeviction"),
            *self._settings,
        ]

    def is_ready(self, port: int) -> bool:
        return answers(port, b"PING\r\n", b"+PONG")


def url(port: int, database: int = 0) -> str:
    """Name a database as a client does."""
    return f"redis://{LOOPBACK}:{port}/{database}"
