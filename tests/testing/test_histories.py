"""Histories in files: what `edgeflow show --json` prints, replayed by later code.

The whole way is gone: the command line in a process of its own, a file, `json.load`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, BodyError, Context, HistoryDiverged, step
from edgeflow.testing import assert_replayable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

YESTERDAY = """
from dataclasses import dataclass
from datetime import timedelta

from edgeflow import App, Context, current_step, step


class Reversed:
    def encode(self, data):
        return data[::-1]

    def decode(self, data):
        return data[::-1]


app = App("sqlite:///orders.db", codec=Reversed())


@dataclass
class Order:
    id: str
    cents: int


@step
async def charge(order: Order) -> str:
    current_step().state["charged"] = order.cents
    return f"paid {order.cents} \\u20ac"


@app.workflow
async def fulfil(ctx: Context, order: Order) -> str:
    payment = await charge(order)
    await ctx.join(mail=charge(order), nap=ctx.sleep(0.01))
    await ctx.receive("approval", timeout=timedelta(days=2))
    return payment
"""


@dataclass
class Order:
    id: str
    cents: int


entered: list[str] = []


@step
async def charge(order: Order) -> str:
    entered.append(order.id)
    return "paid again"


@asynccontextmanager
async def never_entered() -> AsyncGenerator[None]:
    entered.append("lifespan")
    yield


def today(*, audits: bool = False, sleeps: bool = False) -> App:
    """The code as it is now; its store is a file that must not come to be."""
    app = App("sqlite:///production.db", lifespan=never_entered)

    @app.workflow
    async def fulfil(ctx: Context, order: Order) -> str:
        if audits:
            await ctx.step("audit", lambda: entered.append("audit"))
        payment = await charge(order)
        await ctx.join(mail=charge(order), nap=ctx.sleep(5))
        if sleeps:
            await ctx.sleep(1)
        await ctx.receive("approval", timeout=60)
        return f"{payment}, and more"

    return app


def edgeflow(folder: Path, *words: str, code: int) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "edgeflow", *words],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An order, shown while it waits and when it is done."""
    folder = tmp_path_factory.mktemp("histories")
    (folder / "jobs.py").write_text(YESTERDAY, "utf-8")
    store = ("--app", "jobs.py:app")

    def show(name: str) -> None:
        shown = edgeflow(folder, "show", "o-1", "--json", *store, code=0)
        (folder / f"{name}.json").write_bytes(shown)

    run = ("run", "jobs.py:fulfil", "--id", "o-1")
    order = ("--input", '{"id": "o-1", "cents": 5}')
    edgeflow(folder, *run, *order, "--once", code=3)
    show("waits")
    edgeflow(folder, "send", "o-1", "approval", *store, code=0)
    edgeflow(folder, *run, code=0)
    show("done")
    return folder


@pytest.fixture
def history(
    folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """One of them, in a directory that has nothing of the production."""
    entered.clear()
    monkeypatch.chdir(folder)
    with (folder / f"{request.param}.json").open(encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


both = pytest.mark.parametrize("history", ["waits", "done"], indirect=True)


@both
async def test_code_that_asks_for_what_there_is_agrees_with_a_file(
    history: dict[str, Any], folder: Path
) -> None:
    await assert_replayable(today(), history)

    assert entered == []
    assert not (folder / "production.db").exists()


@both
async def test_code_that_asks_for_something_else_is_found(
    history: dict[str, Any],
) -> None:
    with pytest.raises(HistoryDiverged, match="differ at charge"):
        await assert_replayable(today(audits=True), history)

    assert entered == []


@pytest.mark.parametrize("history", ["done"], indirect=True)
async def test_a_longer_history_finds_more(history: dict[str, Any]) -> None:
    with pytest.raises(HistoryDiverged, match="differ at receive"):
        await assert_replayable(today(sleeps=True), history)


@both
async def test_a_file_may_be_replayed_again_and_the_journal_alone_will_do(
    history: dict[str, Any],
) -> None:
    before = json.dumps(history)
    for found in (history, history, history["journal"]):
        await assert_replayable(today(), found)

    assert json.dumps(history) == before


@pytest.mark.parametrize("history", ["waits"], indirect=True)
async def test_a_history_of_an_unknown_workflow_does_not_replay(
    history: dict[str, Any],
) -> None:
    with pytest.raises(BodyError, match="no workflow is called 'fulfil' here"):
        await assert_replayable(App("memory:"), history)


async def test_what_is_no_history_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="take what `edgeflow show ID --json` prints"):
        await assert_replayable(today(), {"journal": {"format": 0}})
