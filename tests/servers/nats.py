"""NATS with JetStream from Debian's package, set to keep what it answers.

Servers before 2.10, such as Debian 12's, know no `sync_interval`: a write that was
answered outlives SIGKILL there, but may not outlive a power cut.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from tests.servers.server import LOOPBACK, answers, program

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
server_name: test
listen: "{host}:{port}"
jetstream {{ store_dir: "{folder}/data"{sync} }}
"""


class Nats:
    """One server, with its streams in files."""

    def prepare(self, folder: Path) -> None:
        pass

    def command(self, folder: Path, port: int) -> list[str]:
        server = program("nats-server", "nats-server")
        sync = ", sync_interval: always" if version(server) >= (2, 10) else ""
        config = CONFIG.format(host=LOOPBACK, port=port, folder=folder, sync=sync)
        (folder / "nats.conf").write_text(config, "utf-8")
        return [server, "-c", str(folder / "nats.conf")]

    def is_ready(self, port: int) -> bool:
        return answers(port, b"CONNECT {}\r\nPING\r\n", b"INFO")


def version(server: str) -> tuple[int, ...]:
    """Ask the program for its version."""
    done = subprocess.run([server, "--version"], capture_output=True, check=True)
    return tuple(int(n) for n in re.findall(rb"\d+", done.stdout)[:3])


def url(port: int) -> str:
    """Name the server as a client does."""
    return f"nats://{LOOPBACK}:{port}"
