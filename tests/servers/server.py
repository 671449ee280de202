"""A server of ours on loopback: started, killed, and started again on its data."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

LOOPBACK = "127.0.0.1"
PATIENCE = 30.0
"""Seconds in which a server has to be there, or gone."""
PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST_PORT = 10_000
PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/postgresql/*/bin")
"""Where Debian puts what is not on everybody's PATH."""


class Kind(Protocol):
    """What differs from server to server."""

    def prepare(self, folder: Path) -> None:
        """Make what the first start needs in an empty folder."""
        ...

    def command(self, folder: Path, port: int) -> list[str]:
        """Say how it is started, on loopback, with its data in the folder."""
        ...

    def is_ready(self, port: int) -> bool:
        """Whether it answers."""
        ...


class Server:
    """One process of our own, and the folder that outlives it."""

    def __init__(self, kind: Kind) -> None:
        """Prepare a folder and a port; nothing runs yet."""
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp(prefix="edgeflow-server-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        kind.prepare(self.folder)

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.kind.command(self.folder, self.port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self.kind.is_ready(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server has not come up: {log.read_text('utf-8')}")
            time.sleep(0.01)
        return self

    def kill(self) -> None:
        """End it by SIGKILL, and all that it has started."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGSTOP)  # it starts nobody else from now on
            children = _children(process.pid)
            for pid in [process.pid, *children]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            while any(map(_is_alive, children)):  # their connections last as long
                time.sleep(0.001)

    def remove(self) -> None:
        """End it for good, and remove its data."""
        self.kill()
        shutil.rmtree(self.folder)


@contextmanager
def serving(kind: Kind) -> Generator[Server]:
    """Have a server for the length of a block."""
    server = Server(kind)
    try:
        yield server.start()
    finally:
        server.remove()


def free_port() -> int:
    """Find a port on loopback that nobody uses, nor gets while a server is away.

    Those that the kernel chooses are also given to whoever connects.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(_first_of_the_kernel() - FIRST_PORT)
        with socket.socket() as listener, suppress(OSError):
            listener.bind((LOOPBACK, port))
            return port


def _first_of_the_kernel() -> int:
    """Give the lowest port that somebody gets by chance."""
    if not PORTS.exists():
        return 32768
    return max(int(PORTS.read_text("ascii").split()[0]), FIRST_PORT + 1000)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return (
        [int(n) for n in listed.read_text("ascii").split()] if listed.exists() else []
    )


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def answers(port: int, question: bytes, answer: bytes) -> bool:
    """Whether a server answers a question, or greets, with these bytes in its text."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(question)
            return answer in connection.recv(1024)
    except OSError:
        return False


def program(name: str, package: str) -> str:
    """Find a program of Debian's package, wherever that puts it."""
    places = [str(p) for place in PLACES for p in Path("/").glob(place[1:])]
    path = os.pathsep.join([os.environ.get("PATH", ""), *sorted(places, reverse=True)])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(f"there is no {name}: python -m tests.servers installs {package}")
    return found
