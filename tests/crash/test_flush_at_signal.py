"""A process that is told to end flushes at once, not when its step has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from edgeflow import App
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = """
import time
from pathlib import Path

from edgeflow import App, Context, step

# So large that nothing is flushed for its age or its size.
app = App(durability="suspend", max_dirty_age=1e6)


@step
async def quick(n: int) -> int:
    return n


@step
def long() -> str:
    Path("runs").touch()
    while not Path("go").exists():
        time.sleep(0.005)
    return "long"


@app.workflow
async def six(ctx: Context) -> int:
    found = [await quick(n) for n in range(5)]
    await long()
    found.append(await quick(5))
    return sum(found)
"""


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def completed(folder: Path) -> list[str]:
    """Read the database from outside, while the process lives."""
    app = App(SqliteStore(folder / "edgeflow.db"))
    entries = asyncio.run(app.handle("i").history())
    return [entry.name for entry in entries if entry.status == "completed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_done_is_durable_while_the_last_step_still_runs(
    number: int, tmp_path: Path
) -> None:
    # M-16, G1
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    command = [sys.executable, "-m", "edgeflow", "run", "program.py", "--id", "i"]
    environment = {**os.environ, "EDGEFLOW_STORE": "sqlite:///edgeflow.db"}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    with start() as process:
        try:
            wait_for((tmp_path / "runs").exists)
            assert completed(tmp_path) == []
            process.send_signal(number)
            wait_for(lambda: len(completed(tmp_path)) == 5)
            assert process.poll() is None
            (tmp_path / "go").touch()
            process.communicate()
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert completed(tmp_path) == [*["quick"] * 5, "long"]

    with start() as process:
        out, _ = process.communicate()
    assert out == "15\n"
