"""PostgreSQL from Debian's package, with the settings that keep what it answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.servers.server import LOOPBACK, program

if TYPE_CHECKING:
    from pathlib import Path

USER = "edgeflow"


class Postgres:
    """A cluster of its own; everybody on loopback is its superuser."""

    def __init__(self, *settings: str) -> None:
        """Take settings such as `fsync=off` beside the defaults."""
        self._settings = settings

    def prepare(self, folder: Path) -> None:
        for place in (folder, folder / "data"):
            place.mkdir(exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(place, "postgres", "postgres")
        initdb = [program("initdb", "postgresql"), "-A", "trust", "-U", USER]
        data = str(folder / "data")
        done = subprocess.run(
            self._as_its_user([*initdb, "-E", "UTF8", "--locale=C", "-D", data]),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.returncode, done.stderr

    def command(self, folder: Path, port: int) -> list[str]:
        given = (
            f"listen_addresses={LOOPBACK}",
            f"port={port}",
            "unix_socket_directories=",
            "max_connections=200",
            *self._settings,
        )
        flags = [word for setting in given for word in ("-c", setting)]
        postgres = program("postgres", "postgresql")
        return self._as_its_user([postgres, "-D", str(folder / "data"), *flags])

    def is_ready(self, port: int) -> bool:
        # While it recovers it takes connections, to refuse them.
        ask = [program("pg_isready", "postgresql"), "-q", "-h", LOOPBACK]
        return not subprocess.run([*ask, "-p", str(port)], check=False).returncode

    def _as_its_user(self, command: list[str]) -> list[str]:
        """PostgreSQL refuses to be run by root."""
        if os.geteuid() != 0:
            return command
        return [
            program("setpriv", "util-linux"),
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            *command,
        ]


def url(port: int, database: str = "postgres") -> str:
    """Name a database as a client does."""
    return f"postgres://{USER}@{LOOPBACK}:{port}/{database}"
