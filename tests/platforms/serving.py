"""A server of a shop on loopback, as a process; and what is seen of it from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeflow import App
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

SECRET = "sesame"  # of the shop, for whoever asks


@dataclass
class Process:
    """A server that was started; its log is in its folder."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    signalled_at: float = field(default=0.0)

    def seconds(self) -> float:
        """Since the signal."""
        return time.monotonic() - self.signalled_at

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", errors="replace")

    def is_listening(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def started(
    command: Sequence[str], folder: Path, port: int, variables: dict[str, str]
) -> Generator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; kill what is left of it then."""
    environment = {**os.environ, "EDGEFLOW_SECRET": SECRET, **variables}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    favour(process)
    it = Process(process, port, folder)
    try:
        wait_for(it.is_listening)
        yield process
    except BaseException as error:
        error.add_note(it.log())
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own: all is ours
        process.wait()


def free_port() -> int:
    """Have the kernel choose a port."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
    return port


def wait_for(condition: Callable[[], object], seconds: float = 15) -> float:
    """Wait until it holds; give when it surely did not yet, by `time.monotonic`."""
    not_yet, now = 0.0, time.monotonic()
    end = now + seconds
    while not condition():
        not_yet = now
        assert now < end, "it took too long"
        time.sleep(0.01)
        now = time.monotonic()
    return not_yet


def favour(process: subprocess.Popen[bytes]) -> None:
    """Let a process go before the tests beside it, which would have it miss a limit."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, process.pid, -10)


def effects(folder: Path) -> Counter[str]:
    """What the steps have done, counted outside of edgeflow."""
    path = folder / "effects"
    return Counter(path.read_text("utf-8").split() if path.exists() else [])


def completed(folder: Path, instance: str) -> list[str]:
    """The steps whose end is durable, read from outside while the server lives."""
    app = App(SqliteStore(folder / "shop.db"))
    entries = asyncio.run(app.handle(instance).history())
    return [entry.name for entry in entries if entry.status == "completed"]
