"""Real ASGI servers on loopback, each a process, with a shop to serve."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.serving import SECRET, Process, free_port, started, wait_for

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

SHOP = '''
import asyncio
from datetime import timedelta
from pathlib import Path

from edgeflow import App, Context, step

# So large that nothing is flushed for its age or its size.
app = App(durability="suspend", max_dirty_age=1e6)


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
    while not Path("quick").exists():
        await asyncio.sleep(0.01)
    return "packed"


@app.handler(id="order")
async def checkout(ctx: Context, event: dict[str, str]) -> list[str]:
    """Sell something."""
    order = event["order"]
    if order == "nap":
        await ctx.sleep(timedelta(seconds=0.2))
        note("woke")
        return []
    return [await charge(order), await pack(order)]
'''

MOUNTED = """
from starlette.applications import Starlette
from starlette.routing import Mount

from shop import checkout

app = Starlette(routes=[Mount("/shop", app=checkout)])
awake = Starlette(routes=[Mount("/shop", app=checkout)], lifespan=checkout.lifespan)
"""

SETTINGS = """
platform = "asgi"
store = "sqlite:///shop.db"
linger = 0
grace = "300ms"
poll = "100ms"
"""


@dataclass(frozen=True)
class Server:
    """How one is started."""

    name: str
    words: str
    needs: tuple[str, ...]
    """The packages that it takes."""
    workers: int = 1
    says: str = "Application startup complete"
    """What each worker logs when it is up."""
    passes_on: float = 0.0
    """Seconds until its workers hear of a signal, at most."""

    def command(self, app: str, port: int) -> list[str]:
        for package in self.needs:
            if find_spec(package) is None:
                pytest.skip(f"the package {package.replace('_', '-')} is not installed")
        words = self.words.format(port=port, app=app).split()
        return [sys.executable, "-m", *words]


UVICORN = Server("uvicorn", "uvicorn --port {port} --loop asyncio {app}", ("uvicorn",))
UVLOOP = Server(
    "uvicorn-uvloop", "uvicorn --port {port} --loop uvloop {app}", ("uvicorn", "uvloop")
)
UVICORN_2 = Server(
    "uvicorn-2",
    "uvicorn --port {port} --workers 2 {app}",
    ("uvicorn",),
    workers=2,
    passes_on=0.5,  # the parent looks for signals twice a second
)
IMPATIENT_UVICORN = Server(
    "uvicorn-impatient",
    "uvicorn --port {port} --timeout-graceful-shutdown 1 {app}",
    ("uvicorn",),
)
GUNICORN = Server(
    "gunicorn",
    "gunicorn -k uvicorn_worker.UvicornWorker -w 1 -b 127.0.0.1:{port} "
    "--graceful-timeout 1 {app}",
    ("gunicorn", "uvicorn_worker"),
)
GUNICORN_2 = Server(
    "gunicorn-2", GUNICORN.words.replace("-w 1", "-w 2"), GUNICORN.needs, 2
)
HYPERCORN_0 = Server(
    "hypercorn-0", "hypercorn --bind 127.0.0.1:{port} --workers 0 {app}", ("hypercorn",)
)
HYPERCORN = Server(
    "hypercorn",
    "hypercorn --bind 127.0.0.1:{port} --graceful-timeout 1 {app}",
    ("hypercorn",),
)
GRANIAN = Server(
    "granian",
    "granian --interface asgi --host 127.0.0.1 --port {port} {app}",
    ("granian",),
)
GRANIAN_2 = Server(
    "granian-2",
    GRANIAN.words.replace("--port", "--workers 2 --port"),
    GRANIAN.needs,
    workers=2,
    says="Started worker",
)


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    value: Any
    headers: Mapping[str, str]


@dataclass
class Running(Process):
    """A server that is up."""

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)

    def ask(
        self, method: str, path: str, body: Any = None, secret: str = SECRET
    ) -> Reply:
        connection = self.connect()
        headers = TYPED | ({"Authorization": f"Bearer {secret}"} if secret else {})
        content = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, content, headers)
            return reply_of(connection)
        finally:
            connection.close()

    def post(self, path: str, body: Any, secret: str = SECRET) -> Reply:
        return self.ask("POST", path, body, secret)

    def signal(self, number: int = signal.SIGTERM, *, to_all: bool = False) -> None:
        """Tell it to end; `to_all`: and its workers, as a group."""
        self.signalled_at = self.signalled_at or time.monotonic()
        if to_all:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def seconds_to_end(self) -> float:
        """Wait until it has ended; give the seconds since the signal."""
        self.process.wait(15)
        return self.seconds()


TYPED = {"Content-Type": "application/json"}
AUTHORIZED = TYPED | {"Authorization": f"Bearer {SECRET}"}


def reply_of(connection: http.client.HTTPConnection) -> Reply:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    content = response.read()
    ours = headers.get("content-type") == "application/json"
    return Reply(response.status, json.loads(content) if ours else content, headers)


def open_shop(folder: Path) -> None:
    (folder / "shop.py").write_text(SHOP, "utf-8")
    (folder / "mounted.py").write_text(MOUNTED, "utf-8")
    (folder / "edgeflow.toml").write_text(SETTINGS, "utf-8")


@contextmanager
def serving(
    folder: Path, server: Server, app: str = "shop:checkout", **variables: str
) -> Generator[Running]:
    """Run a server in a folder until the block ends; kill what is left of it then."""
    port = free_port()
    command = server.command(app, port)
    with started(command, folder, port, variables) as process:
        running = Running(process, port, folder)
        if server.workers > 1:
            # One that is told to end before it is up tells its parent that it failed,
            # or, in granian 2.8, has its parent's handler and never ends.
            wait_for(lambda: running.log().count(server.says) >= server.workers)
        yield running
