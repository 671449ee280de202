"""How `show` draws joins, races, maps, loops, scopes, children and undos."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from edgeflow.cli._nodes import tree_of
from edgeflow.outcome import EntryInfo

if TYPE_CHECKING:
    from pathlib import Path

Command: TypeAlias = Callable[..., Any]

JOBS = """
import os
from edgeflow import App, ChildError, Context, FatalError, JoinError, Stop, step
from edgeflow.testing.clock import VirtualClock

app = App(clock=VirtualClock(float(os.environ["NOW"])))


@step
async def double(number: int) -> int:
    return 2 * number


@step
async def refuse() -> None:
    raise FatalError("no")


@step
async def charge(number: int) -> int:
    return number


@charge.undo
async def refund(number: int) -> None:
    if number == 1:
        raise FatalError("cannot")


@app.workflow
async def joins(ctx: Context) -> None:
    both = ctx.race(won=double(2), lost=ctx.sleep(60))
    await ctx.join(left=double(1), right=both)
    try:
        await ctx.join(good=double(3), bad=refuse())
    except JoinError:
        await ctx.race(bad=refuse(), slow=ctx.sleep(5))


@app.workflow
async def maps(ctx: Context) -> None:
    async def item(number: int) -> int | None:
        async with ctx.scope("inner"):
            await double(number)
            if number == 1:
                await refuse()
            if number > 1:
                await ctx.sleep(30 * number)
        return number

    await ctx.map(item, range(4), min_ok=2)
    await ctx.map(double, [7, 8], key=lambda number: f"no {number}")


@app.workflow
async def loops(ctx: Context) -> None:
    async def turn(number: int) -> int | Stop[str]:
        if number == 5:
            await ctx.receive("go on")
        return Stop("out") if number == 6 else await double(number) // 2 + 1

    await ctx.loop("turns", turn, state=0, prune_every=3)


@app.workflow
async def undoes(ctx: Context) -> None:
    async def turn(number: int) -> int | Stop[None]:
        await charge(number)
        return Stop() if number == 2 else number + 1

    await ctx.loop("turns", turn, state=0, prune_every=2, keep=1)
    raise ValueError("the end")


@app.workflow
async def child(ctx: Context, number: int) -> int:
    if number == 0:
        raise ValueError("a child fails")
    if number == 9:
        await ctx.receive("growing up")
    return number


@app.workflow
async def calls(ctx: Context) -> None:
    await ctx.start(child, 1, id="kid")
    await ctx.call(child, 2, id="two")
    try:
        await ctx.call(child, 0, id="zero")
    except ChildError:
        await ctx.call(child, 9, id="nine")


@app.workflow
async def late(ctx: Context) -> None:
    try:
        await ctx.receive("news", timeout=1)
    except TimeoutError:
        await ctx.version("gate", 3)
        await ctx.checkpoint("no way back")
    await ctx.race(news=ctx.receive("news"), call=ctx.call(child, 9, id="ten"))
"""


@pytest.fixture
def drawn(edgeflow: Command, project: Path) -> Callable[..., list[str]]:
    """Run a workflow to its rest, and give the tree that `show` draws of it."""
    (project / "jobs.py").write_text(JOBS, "utf-8")

    def draw(workflow: str) -> list[str]:
        edgeflow("run", f"jobs.py:{workflow}", "--id", "x", "--once")
        while edgeflow("run-due", "--app", "jobs.py", "--json").out:
            pass
        return tree(edgeflow)

    return draw


def tree(edgeflow: Command) -> list[str]:
    lines = edgeflow("show", "x").out.splitlines()
    below = lines[lines.index("", 2) + 1 :]
    return [
        re.sub(r"(?<=[\w\]]) +", " ", re.sub(r" +0 ms", "", line)) for line in below
    ]


def test_show_tells_winners_from_losers_and_what_failed(
    drawn: Callable[..., list[str]],
) -> None:
    assert drawn("joins") == [
        '✓ join[0] {"left": 2, "right": {"name": "won", "value": 4}}',
        "├─ ✓ left",
        "│  └─ ✓ double 2",
        "└─ ✓ right",
        "   └─ ✓ race won by won 4",
        "      ├─ ✓ won",
        "      │  └─ ✓ double 4",
        "      └─ ⊘ lost lost",
        "         └─ ⊘ sleep cancelled",
        "✗ join[1]",
        "├─   good",
        "│  └─ ✓ double 6",
        "└─ ✗ bad",
        "   └─ ✗ refuse 1 attempt",
        "        edgeflow.errors.FatalError: no",
        "✓ race won by slow",
        "├─ ✗ bad",
        "│  └─ ✗ refuse 1 attempt",
        "│       edgeflow.errors.FatalError: no",
        "└─ ✓ slow",
        "   └─ ✓ sleep",
    ]


def test_show_draws_the_items_of_a_map_in_their_order(
    drawn: Callable[..., list[str]],
) -> None:
    assert drawn("maps") == [
        "✓ map[0] [0, null, 2, null]",
        "├─ ✓ item[0]",
        "│  └─ ✓ inner scope",
        "│     └─ ✓ double 0",
        "├─ ✗ item[1]",
        "│  └─ ✓ inner scope",
        "│     ├─ ✓ double 2",
        "│     └─ ✗ refuse 1 attempt",
        "│          edgeflow.errors.FatalError: no",
        "├─ ✓ item[2]",
        "│  └─ ✓ inner scope",
        "│     ├─ ✓ double 4",
        "│     └─ ✓ sleep",
        "└─ ⊘ item[3] cancelled",
        "   └─   inner scope",
        "      ├─ ✓ double 6",
        "      └─ ⊘ sleep cancelled",
        "✓ map[1] [14, 16]",
        "├─ ✓ item[no 7]",
        "│  └─ ✓ double 14",
        "└─ ✓ item[no 8]",
        "   └─ ✓ double 16",
    ]


def test_show_counts_the_turns_of_a_loop_and_those_pruned(
    drawn: Callable[..., list[str]], edgeflow: Command
) -> None:
    assert drawn("loops") == [
        "▸ turns loop 6 turns 2 pruned under way",
        "├─ ✓ turn[2] state 2",
        "│  └─ ✓ double 4",
        "├─ ✓ turn[3] state 3",
        "│  └─ ✓ double 6",
        "├─ ✓ turn[4] state 4",
        "│  └─ ✓ double 8",
        "└─ ▸ turn[5] under way state 5",
    ]
    edgeflow("send", "x", "go on")
    edgeflow("run", "jobs.py:loops", "--id", "x")
    assert tree(edgeflow) == [
        '✓ turns loop 7 turns 6 pruned "out"',
        "└─ ✓ turn[6] state 6",
    ]


def test_show_marks_what_was_undone_and_what_could_not_be(
    drawn: Callable[..., list[str]], edgeflow: Command
) -> None:
    assert drawn("undoes") == [
        "✓ turns loop 3 turns 2 pruned",
        "├─ ✓ turn[0] pruned, kept for its undo",
        "│  └─ ✓ charge undone 0",
        "│     └─ ✓ refund undo",
        "├─ ✓ turn[1] pruned, kept for its undo",
        "│  └─ ✓ charge not undone 1",
        "│     └─ ✗ refund undo 1 attempt",
        "│          edgeflow.errors.FatalError: cannot",
        "└─ ✓ turn[2] state 2",
        "   └─ ✓ charge undone 2",
        "      └─ ✓ refund undo",
    ]
    header = edgeflow("show", "x").out.partition("\n\n")[2]
    assert "error     ValueError: the end\n" in header
    undo = "undo refund of turns[0] > turn[1] > charge[0]: cannot\n"
    assert f"undo      edgeflow.errors.FatalError: {undo}" in header


def test_show_names_children_and_what_became_of_them(
    drawn: Callable[..., list[str]], edgeflow: Command
) -> None:
    assert drawn("calls") == [
        '✓ start child "kid"',
        "✓ call[0] child two 2",
        "✗ call[1] child zero",
        "  ValueError: a child fails",
        "◷ call[2] waits child nine",
    ]
    header = edgeflow("show", "x").out
    assert re.search("^waits for +child nine$", header, re.MULTILINE)


def test_show_of_a_race_under_way_has_no_winner_yet(
    drawn: Callable[..., list[str]], edgeflow: Command
) -> None:
    edgeflow("run", "jobs.py:late", "--id", "x", "--once")
    assert drawn("late") == [
        "✓ receive timed out",
        "✓ gate version 3",
        "✓ no way back checkpoint",
        "▸ race under way",
        "└─ ▸ call under way",
        "   └─ ◷ call waits child ten",
    ]
    header = edgeflow("show", "x").out
    assert re.search("^waits for +message news or child ten$", header, re.MULTILINE)


def entry(*path: list[str | int], status: str = "completed") -> EntryInfo:
    kind, name, _ = path[-1]
    return EntryInfo(list(path), str(kind), str(name), status, 0, 0.0)


def test_a_branch_without_an_end_in_the_journal_is_said_to_have_none() -> None:
    join: list[str | int] = ["join", "join", 0]
    branch: list[str | int] = ["branch", "a", 0]
    done = entry(join, branch, ["step", "one", 0])
    failed = entry(join, status="failed")

    root = tree_of([done])
    assert [block.status for block in root.children] == [""]
    [block] = tree_of([done, failed]).children
    assert (block.status, block.children[0].status) == ("failed", "")


@pytest.mark.parametrize("columns", [40, 80])
def test_the_tree_fits_a_terminal(
    drawn: Callable[..., list[str]],
    edgeflow: Command,
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    drawn("maps")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")

    lines = edgeflow("show", "x").out.splitlines()

    assert max(map(len, lines)) < columns
    assert any("item[no 8]" in line for line in lines)
