"""Azure's worker as a process, and what a host asks of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.serving import wait_for

if TYPE_CHECKING:
    from collections.abc import Generator

PROGRAM = Path(__file__).with_name("worker.py")

SHOP = '''
import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path

import azure.functions as func

from edgeflow import App, Context, step

shop = App()


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
    pools = ("ThreadPoolExecutor", "asyncio_")  # the worker's, which fill up as needed
    names = [thread.name for thread in threading.enumerate()]
    threads = [name for name in names if not name.startswith(pools)]
    return [len(asyncio.all_tasks()), len(threads), len(os.listdir("/proc/self/fd"))]


@shop.handler(id="order")
async def checkout(ctx: Context, event: dict[str, str]) -> object:
    """Sell something."""
    order = event["order"]
    kind, _, number = order.partition("-")
    if kind == "census":
        return await census(order)
    if kind == "nap":
        await ctx.sleep(timedelta(seconds=float(number)))
        note("woke")
    if kind == "wait":
        note((await ctx.receive("approval")).body)
    return [await charge(order), await pack(order)]


app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.route(route="checkout/{*path}")(checkout)
wakes = app.queue_trigger(arg_name="req", queue_name="wakes", connection="Storage")
app.function_name("wakes")(wakes(checkout))
due = app.timer_trigger(arg_name="req", schedule="0 * * * * *")
app.function_name("due")(due(checkout))
'''

SETTINGS = """
store = "sqlite:///shop.db"
linger = 0
ingress = "platform"
"""


@dataclass
class Worker:
    """A worker that is up."""

    process: subprocess.Popen[str]
    functions: list[str] = field(default_factory=list[str])
    answers: dict[int, Future[dict[str, Any]]] = field(
        default_factory=dict[int, Future[dict[str, Any]]]
    )

    def begin(self, function: str, **call: Any) -> Future[dict[str, Any]]:
        """Invoke a function; the future holds what the host hears."""
        number = len(self.answers)
        self.answers[number] = answer = Future[dict[str, Any]]()
        assert self.process.stdin is not None
        line = json.dumps({"number": number, "function": function, **call})
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return answer

    def http(
        self, body: Any, path: str = "", function: str = "checkout", **more: Any
    ) -> dict[str, Any]:
        """Give what an HTTP trigger answered; its body is read."""
        call = {"trigger": "http", "body": json.dumps(body), "path": path, **more}
        answer = self.begin(function, **call).result(15)
        return {**answer, "body": json.loads(answer["body"])}

    def queue(self, body: str, id: str = "m-1") -> dict[str, Any]:
        return self.begin("wakes", trigger="queue", id=id, body=body).result(15)

    def timer(self) -> dict[str, Any]:
        return self.begin("due", trigger="timer").result(15)

    def listen(self) -> None:
        """Read until the worker ends: first what it has found, then answers."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line)
            if "number" in answer:
                self.answers[answer["number"]].set_result(answer)
            else:
                self.functions = answer["functions"].split(" ")


def open_shop(folder: Path, host: dict[str, Any] | None = None) -> None:
    (folder / "function_app.py").write_text(SHOP, "utf-8")
    (folder / "edgeflow.toml").write_text(SETTINGS, "utf-8")
    (folder / "host.json").write_text(json.dumps(host or {"version": "2.0"}), "utf-8")


@contextmanager
def working(folder: Path, **variables: str) -> Generator[Worker]:
    """Run a worker in a folder until the block ends; it is killed, as the host does."""
    for package, needs in (
        ("azure.functions", ""),
        ("azure_functions_runtime", ": it takes Python 3.13 or later"),
    ):
        if find_spec(package) is None:
            name = package.replace(".", "-").replace("_", "-")
            pytest.skip(f"the package {name} is not installed{needs}")
    environment = {**os.environ, "FUNCTIONS_WORKER_RUNTIME": "python", **variables}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    worker = Worker(process)
    thread = threading.Thread(target=worker.listen)
    thread.start()
    try:
        wait_for(lambda: worker.functions or process.poll() is not None)
        yield worker
    except BaseException as error:
        error.add_note((folder / "log").read_text("utf-8", errors="replace"))
        raise
    finally:
        process.kill()
        process.wait()
        thread.join()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
