"""A directory with workflows, and the command line in it: here, or as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from edgeflow.cli import main
from edgeflow.values import loads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOBS = """
import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from edgeflow import App, Context, FatalError, Retry, current_step, step
from edgeflow.testing.clock import VirtualClock

app = App(clock=VirtualClock(float(os.environ["NOW"])))


@dataclass
class Order:
    id: str
    items: list[str]


@step(retry=Retry(attempts=3, first=20, jitter=0))
async def charge(order: Order) -> dict[str, str]:
    current_step().state["charged"] = order.id
    if current_step().attempt == 1:
        raise ConnectionError("refused\\n\\x1b[31mred")
    return {"payment": "p_1"}


@step
async def pack(item: str) -> str:
    print("packing", item)
    return item.upper()


@step(retry=Retry(attempts=1))
async def doomed() -> None:
    raise FatalError("no way")


@app.workflow
async def fulfil(ctx: Context, order: Order) -> list[str]:
    await charge(order)
    async with ctx.scope("packing"):
        await ctx.status({"of": len(order.items)})
        return list(await asyncio.gather(*(pack(item) for item in order.items)))


@app.workflow
async def nap(ctx: Context) -> str:
    await ctx.sleep(timedelta(days=1))
    return "awake"


@app.workflow
async def approval(ctx: Context) -> object:
    message = await ctx.receive("yes", "no", timeout=timedelta(days=2))
    return {message.name: message.body}


@app.workflow
async def fails(ctx: Context) -> None:
    await doomed()


@app.workflow
async def breaks_rules(ctx: Context) -> None:
    await asyncio.get_running_loop().create_future()


def helper() -> None: ...
"""

SLOW = """
import asyncio
from pathlib import Path

from edgeflow import Context, step, workflow


@step
async def count(number: int) -> int:
    with Path("effects").open("a") as effects:
        effects.write(f"{number}\\n")
    await asyncio.sleep(0.05)
    return number


@workflow
async def slow(ctx: Context, numbers: int) -> int:
    return sum([await count(number) for number in range(numbers)])
"""

ORDER = '{"id": "7", "items": ["a", "b"]}'


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """What stdout says, as JSON."""
        return loads(self.out.encode())

    @property
    def error(self) -> str:
        """The one line of an error."""
        assert not self.out
        [line] = self.err.splitlines()
        assert line.startswith("edgeflow: ")
        return line.removeprefix("edgeflow: ")


class Command(Protocol):
    def __call__(self, *words: str) -> Done: ...


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with `jobs.py` and `slow.py`, and nothing else."""
    (tmp_path / "jobs.py").write_text(JOBS, "utf-8")
    (tmp_path / "slow.py").write_text(SLOW, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEFLOW_STORE", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    modules, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        place = getattr(sys.modules[name], "__file__", None) or ""
        if place.startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def edgeflow(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """`edgeflow WORDS…` in this process, each a minute later, with a fresh import."""
    minutes = count()

    def call(*words: str) -> Done:
        monkeypatch.setenv("NOW", str(1_700_000_000 + 60 * next(minutes)))
        for name in ("jobs", "jobs_py"):
            sys.modules.pop(name, None)
        code = main(words)
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    assert project.is_dir()
    return call


class Start(Protocol):
    def __call__(self, *words: str, **settings: Any) -> subprocess.Popen[str]: ...


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    """`edgeflow WORDS…` as a process of its own, under way."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str, **settings: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONUTF8": "1", **settings.get("env", {})}
        process = subprocess.Popen(
            [sys.executable, "-m", "edgeflow", *words],
            cwd=project,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=settings.get("stdout", subprocess.PIPE),
            stderr=settings.get("stderr", subprocess.PIPE),
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:
            process.kill()
