"""Vercel's own runtime on loopback, and the service that it reports to.

It connects to a unix socket and says there, in JSON texts that end with NUL, which
port it serves, and when a request has begun and ended.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

CRON_SECRET = "one of Vercel's"


@dataclass(frozen=True)
class Reply:
    """What the function answered."""

    status: int
    value: Any


@dataclass
class Function:
    """A function that is up."""

    process: subprocess.Popen[bytes]
    port: int
    messages: list[dict[str, Any]]
    """What the runtime has reported so far."""
    signalled_at: float = field(default=0.0)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        seconds: float = 300,
        bearer: str = "",
    ) -> Reply:
        """Invoke it, with so many seconds until it would be killed."""
        deadline = datetime.now(UTC) + timedelta(seconds=seconds)
        headers = {
            "Content-Type": "application/json",
            "x-vercel-internal-deadline": f"{deadline:%Y-%m-%dT%H:%M:%S.%fZ}",
            "x-vercel-internal-invocation-id": "i-1",
            "x-vercel-internal-request-id": "7",
        }
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path, json.dumps(body), headers)
            response = connection.getresponse()
            return Reply(response.status, json.loads(response.read()))
        finally:
            connection.close()

    def signal(self) -> None:
        """Do as Vercel does, which kills after 500 ms."""
        self.signalled_at = time.monotonic()
        self.process.send_signal(signal.SIGTERM)

    def seconds_to_end(self) -> float:
        self.process.wait(15)
        return time.monotonic() - self.signalled_at


@contextmanager
def running(folder: Path, module: str, **variables: str) -> Generator[Function]:
    """Run `app` of a module as Vercel would, until the block ends."""
    if find_spec("vercel_runtime") is None:
        pytest.skip("the package vercel-runtime, of Python 3.12 on, is not installed")
    with (
        tempfile.TemporaryDirectory() as short,  # a socket's path has 107 characters
        socket.socket(socket.AF_UNIX) as listening,
        (folder / "log").open("ab") as log,
    ):
        address = str(Path(short) / "ipc")
        listening.bind(address)
        listening.listen(1)
        listening.settimeout(15)
        process = subprocess.Popen(
            [sys.executable, "-m", "vercel_runtime.vc_init"],
            cwd=folder,
            env={**os.environ, **handler(folder, module, address), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            with listening.accept()[0] as connection:
                connection.settimeout(15)
                reports = read_reports(connection)
                started = next(r for r in reports if r["type"] != "log")
                assert started["type"] == "server-started", started
                seen: list[dict[str, Any]] = []
                threading.Thread(
                    target=lambda: seen.extend(reports), daemon=True
                ).start()
                yield Function(process, started["payload"]["httpPort"], seen)
        except BaseException as error:
            error.add_note((folder / "log").read_text("utf-8", errors="replace"))
            raise
        finally:
            process.kill()
            process.wait()


def handler(folder: Path, module: str, address: str) -> dict[str, str]:
    """The variables by which the runtime finds the application."""
    return {
        "VERCEL": "1",
        "VERCEL_IPC_PATH": address,
        "__VC_HANDLER_MODULE_NAME": module,
        "__VC_HANDLER_ENTRYPOINT": f"{module}.py",
        "__VC_HANDLER_ENTRYPOINT_ABS": str(folder / f"{module}.py"),
        "__VC_HANDLER_VARIABLE_NAME": "app",
        "__VC_HANDLER_FUNC_NAME": module,
    }


def read_reports(connection: socket.socket) -> Iterator[dict[str, Any]]:
    left = b""
    while True:
        try:
            more = connection.recv(65_536)
        except OSError:
            return
        if not more:
            return
        *whole, left = (left + more).split(b"\0")
        yield from map(json.loads, whole)
