"""functions-framework on loopback, as a process, with a shop to serve."""

from __future__ import annotations

import http.client
import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.serving import SECRET, Process, free_port, started

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

SHOP = '''
import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path

from edgeflow import App, Context, step

# So large that nothing is flushed for its age or its size.
app = App(durability="suspend", max_dirty_age=1e6)
IMPORTED_BY = os.getpid()


def note(what: str) -> None:
    with open("effects", "a") as effects:
        print(what, file=effects)


@step
async def charge(order: str) -> str:
    note("charged")
    return "charged"


@step
async def pack(order: str) -> str:
    note("packing")
    if not Path("quick").exists():
        await asyncio.sleep(60)
    return "packed"


@step
async def census(order: str) -> list[int]:
    """Count what could pile up in a process: tasks, threads, open files."""
    pools = ("ThreadPoolExecutor", "asyncio_")  # the server's, which fill up as needed
    names = [thread.name for thread in threading.enumerate()]
    threads = [name for name in names if not name.startswith(pools)]
    return [len(asyncio.all_tasks()), len(threads), len(os.listdir("/proc/self/fd"))]


@step
async def fork(order: str) -> bool:
    return os.getpid() != IMPORTED_BY


@app.handler(id="order")
async def checkout(ctx: Context, event: dict[str, str]) -> object:
    """Sell something."""
    order = event["order"]
    kind, _, number = order.partition("-")
    if kind == "census":
        return await census(order)
    if kind == "fork":
        return await fork(order)
    if kind in {"nap", "fail"}:
        await ctx.sleep(timedelta(seconds=float(number)))
        note("woke")
    if kind == "fail":
        raise RuntimeError("it fails")
    if kind == "wait":
        note((await ctx.receive("approval")).body)
    return [await charge(order), await pack(order)]
'''

SETTINGS = """
store = "sqlite:///shop.db"
linger = 0
grace = "300ms"
"""
AUTHORIZED = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    value: Any
    headers: Mapping[str, str]


@dataclass
class Running(Process):
    """A server that is up."""

    def ask(self, method: str, path: str, body: Any, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            content = json.dumps(body).encode()
            connection.request(method, path, content, {**AUTHORIZED, **headers})
            response = connection.getresponse()
            text = response.read()
            names = {name.lower(): value for name, value in response.getheaders()}
            is_json = names.get("content-type") == "application/json"
            value = json.loads(text) if is_json else text.decode()
            return Reply(response.status, value, names)
        finally:
            connection.close()

    def post(self, body: Any, path: str = "/") -> Reply:
        return self.ask("POST", path, body)

    def event(self, data: Any, id: str = "7") -> Reply:
        """Send a CloudEvent."""
        headers = {
            "ce-specversion": "1.0",
            "ce-type": "shop.ordered",
            "ce-source": "//shop",
            "ce-id": id,
        }
        return self.ask("POST", "/", data, **headers)

    def terminate(self) -> None:
        self.signalled_at = time.monotonic()
        self.process.terminate()


def open_shop(folder: Path) -> None:
    (folder / "shop.py").write_text(SHOP, "utf-8")
    (folder / "edgeflow.toml").write_text(SETTINGS, "utf-8")


@contextmanager
def serving(
    folder: Path,
    *options: str,
    source: str = "shop.py",
    target: str = "checkout",
    port: int | None = None,
    **variables: str,
) -> Generator[Running]:
    """Run functions-framework in a folder until the block ends."""
    for package in ("functions_framework", "gunicorn", "uvicorn_worker"):
        if find_spec(package) is None:
            name = package.replace("_", "-")
            pytest.skip(f"the package {name} is not installed")
    words = ["-m", "functions_framework", "--source", source, "--target", target]
    words += [*options, "--host", "127.0.0.1", "--port"]
    with running(folder, *words, port=port, **variables) as server:
        yield server


@contextmanager
def running(
    folder: Path, *words: str, port: int | None = None, **variables: str
) -> Generator[Running]:
    """Run a server, given its port last; kill what is left of it in the end."""
    port = port or free_port()
    command = [sys.executable, *words, str(port)]
    with started(command, folder, port, variables) as process:
        yield Running(process, port, folder)
