"""`cancel`, `recover`, `rewind`: what they do, say and refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from edgeflow.cli._paths import find_path, shown, within_reach
from edgeflow.outcome import EntryInfo

if TYPE_CHECKING:
    from pathlib import Path

Command: TypeAlias = Callable[..., Any]

JOBS = """
import asyncio
from pathlib import Path
from edgeflow import App, Context, FatalError, Stop, step

app = App()


def note(what: str) -> None:
    with Path("effects").open("a") as effects:
        effects.write(f"{what} ")


@step
async def charge(number: int) -> int:
    note(f"charge{number}")
    if Path("broken").exists():
        raise FatalError("broken")
    return number


@charge.undo
async def refund(number: int) -> None:
    note(f"refund{number}")


@app.workflow
async def orders(ctx: Context) -> int:
    async def turn(number: int) -> int | Stop[int]:
        await charge(number)
        return Stop(number) if number == 2 else number + 1

    await charge(9)
    await ctx.receive("go")
    return await ctx.loop("orders", turn, state=0)


@app.workflow
async def waits(ctx: Context) -> None:
    await ctx.receive("never")


@app.workflow
async def rules(ctx: Context) -> str:
    if not Path("mended").exists():
        await asyncio.get_running_loop().create_future()  # a body must not
    return "mended"
"""

HINT = "it is due: a worker runs it, or edgeflow wake x --app TARGET\n"


@pytest.fixture
def x(edgeflow: Command, project: Path) -> Callable[..., Any]:
    """Run a workflow as instance x to its next rest."""
    (project / "jobs.py").write_text(JOBS, "utf-8")

    def run(workflow: str = "orders", *messages: str) -> Any:
        words = ["run", f"jobs.py:{workflow}", "--id", "x", "--once"]
        done = edgeflow(*words)
        for name in messages:
            edgeflow("send", "x", name)
            done = edgeflow(*words)
        return done

    return run


def wake(edgeflow: Command) -> Any:
    return edgeflow("wake", "x", "--app", "jobs.py")


def effects(project: Path) -> str:
    return (project / "effects").read_text().strip()


# --- cancel -----------------------------------------------------------------------


def test_a_cancelled_instance_is_undone_by_who_runs_it_next(
    edgeflow: Command, project: Path, x: Callable[..., Any]
) -> None:
    assert x().code == 3
    done = edgeflow("cancel", "x")
    asked = edgeflow("show", "x").out
    woken = wake(edgeflow)

    assert (done.code, done.out) == (0, "")
    assert done.err == f"'x' will be cancelled; {HINT}"
    assert re.search("^cancel +asked for .*; it is due$", asked, re.MULTILINE)
    assert (woken.code, woken.out) == (1, "")
    assert woken.err.endswith("\nedgeflow: instance 'x' was cancelled\n")
    assert effects(project) == "charge9 refund9"
    assert "asked for" not in edgeflow("show", "x").out


def test_cancel_says_when_there_is_nothing_left_to_cancel(
    edgeflow: Command, x: Callable[..., Any]
) -> None:
    x()
    edgeflow("cancel", "x")
    again = edgeflow("cancel", "x")
    wake(edgeflow)
    after = edgeflow("cancel", "x")

    assert (again.code, after.code) == (0, 0)
    assert again.err == "'x' is being cancelled or undone already\n"
    assert after.err == "'x' was cancelled before; nothing changed\n"


def test_cancel_is_too_late_for_what_has_ended(
    edgeflow: Command, x: Callable[..., Any]
) -> None:
    x("orders", "go")
    done = edgeflow("cancel", "x")
    as_json = edgeflow("cancel", "x", "--json")

    assert (done.code, done.error) == (1, "it is too late: 'x' has completed")
    assert as_json.code == 1
    assert as_json.value == {"id": "x", "cancelled": False, "status": "completed"}


def test_cancel_gives_json(edgeflow: Command, x: Callable[..., Any]) -> None:
    x()
    done = edgeflow("cancel", "x", "--json")

    found = {"id": "x", "cancelled": True, "status": "suspended"}
    assert (done.code, done.value) == (0, found)


def test_the_hint_is_a_command_that_works(
    edgeflow: Command, x: Callable[..., Any]
) -> None:
    x()
    place = ["--app", "jobs.py", "--store", "sqlite:///edgeflow.db"]
    hint = edgeflow("cancel", "x", *place).err.partition(" or edgeflow ")[2]

    assert hint == "wake x --app jobs.py --store sqlite:///edgeflow.db\n"
    assert edgeflow(*hint.split()).err.endswith("was cancelled\n")


@pytest.mark.parametrize(
    "words", [["cancel"], ["recover"], ["rewind"], ["rewind", "x"]]
)
def test_a_command_without_its_arguments_is_one_line(
    edgeflow: Command, words: list[str]
) -> None:
    done = edgeflow(*words)

    assert done.code == 2
    assert done.error.endswith("--help)")


@pytest.mark.parametrize("words", [["cancel"], ["recover"], ["rewind", "charge"]])
def test_an_instance_that_is_not_there_is_one_line(
    edgeflow: Command, x: Callable[..., Any], words: list[str]
) -> None:
    command, *rest = words
    nothing = edgeflow(command, "x", *rest)
    x()
    unknown = edgeflow(command, "y", *rest)

    assert nothing.code == 1
    assert "there is no such store" in nothing.error
    assert unknown.code == 2
    assert unknown.error == "no instance has the id 'y' in this store"


# --- recover ----------------------------------------------------------------------


def test_a_failed_instance_goes_on_once_it_is_recovered(
    edgeflow: Command, project: Path, x: Callable[..., Any]
) -> None:
    x()
    (project / "broken").touch()
    x("orders", "go")
    (project / "broken").unlink()
    done = edgeflow("recover", "x")
    again = edgeflow("recover", "x")
    woken = wake(edgeflow)

    assert (done.code, done.out) == (0, "")
    assert done.err == f"'x' had failed and goes on; {HINT}"
    assert again.code == 1
    assert again.error.startswith("instance 'x' is pending: only a failed or")
    assert (woken.code, woken.out) == (0, "2\n")
    assert effects(project).split() == [
        *("charge9", "charge0", "refund9"),
        *("charge9", "charge0", "charge1", "charge2"),
    ]


def test_a_blocked_instance_goes_on_once_it_is_recovered(
    edgeflow: Command, project: Path, x: Callable[..., Any]
) -> None:
    assert x("rules").code == 1
    (project / "mended").touch()
    done = edgeflow("recover", "x", "--json")
    woken = wake(edgeflow)

    assert done.value == {"id": "x", "was": "blocked", "status": "suspended"}
    assert (woken.code, woken.out) == (0, '"mended"\n')


# --- rewind -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "to", "runs"),
    [
        ("charge", "charge[0]", "charge9 charge0 charge1 charge2"),
        ("charge[0]", "charge[0]", "charge9 charge0 charge1 charge2"),
        ("receive", "receive[0]", "charge0 charge1 charge2"),
        ("orders", "orders[0]", "charge0 charge1 charge2"),
        ("turn[1]", "orders[0] > turn[1]", "charge1 charge2"),
        ("turn[2] > charge", "orders[0] > turn[2] > charge[0]", "charge2"),
        ("turn[2]>charge[0]", "orders[0] > turn[2] > charge[0]", "charge2"),
        (
            '[["loop", "orders", 0], ["turn", "turn", 2], ["step", "charge", 0]]',
            "orders[0] > turn[2] > charge[0]",
            "charge2",
        ),
    ],
)
def test_an_instance_runs_again_from_where_it_is_rewound_to(
    edgeflow: Command,
    project: Path,
    x: Callable[..., Any],
    *,
    path: str,
    to: str,
    runs: str,
) -> None:
    loop = 'ctx.loop("orders", turn, state=0, prune_every=100, keep=100)'
    kept = JOBS.replace('ctx.loop("orders", turn, state=0)', loop)
    x("orders", "go")
    edgeflow("rm", "x")
    (project / "jobs.py").write_text(kept, "utf-8")
    x("orders", "go")
    (project / "effects").unlink()

    done = edgeflow("rewind", "x", path)
    woken = wake(edgeflow)

    assert done.code == 0
    assert re.fullmatch(
        f"'x' goes back to {re.escape(to)}, \\d+ entr(y|ies) forgotten; "
        + re.escape(HINT),
        done.err,
    )
    assert (woken.code, woken.out) == (0, "2\n")
    assert effects(project) == runs


def test_a_turn_that_is_pruned_means_the_start_of_its_loop(
    edgeflow: Command, project: Path, x: Callable[..., Any]
) -> None:
    x("orders", "go")
    (project / "effects").unlink()
    done = edgeflow("rewind", "x", "turn[0] > charge", "--json")
    woken = wake(edgeflow)

    assert done.value["to"] == [["loop", "orders", 0]]
    assert done.value["forgotten"] > 0
    assert woken.out == "2\n"
    assert effects(project) == "charge0 charge1 charge2"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("charg[0]", "has no 'charg[0]'; it has 'charge[0]'"),
        ("turn[7]", "has no 'turn[7]'; it has "),
        ("receive > charge", "has no 'receive > charge'; it has "),
        ("", "'' is no path: write charge[0], or turn[2] > charge"),
        ("orders > ", "is no path"),
        ("[", "the path is no JSON: "),
        ("[]", "a path in JSON is a list of [kind, name, number]"),
        ('["charge"]', "a path in JSON is a list of [kind, name, number]"),
        ('[["step", "charge"]]', "a path in JSON is a list of [kind, name, number]"),
        ('[["step", "charge", true]]', "a path in JSON is a list of"),
        ('[["step", "charge", 1]]', 'has no \'[["step", "charge", 1]]\'; it has '),
    ],
)
def test_a_path_that_leads_nowhere_is_one_line_that_names_some_that_do(
    edgeflow: Command, project: Path, x: Callable[..., Any], path: str, why: str
) -> None:
    x("orders", "go")
    before = effects(project), json.dumps(edgeflow("show", "x", "--json").value)
    done = edgeflow("rewind", "x", path)

    assert done.code == 2
    assert why in done.error
    after = effects(project), json.dumps(edgeflow("show", "x", "--json").value)
    assert after == before


def test_rewind_of_an_instance_without_a_history_says_so(
    edgeflow: Command, x: Callable[..., Any]
) -> None:
    x("waits")
    done = edgeflow("rewind", "x", "receive")

    assert (done.code, done.error) == (
        2,
        "the history of 'x' has no 'receive'; it is empty",
    )


def test_rewind_counts_one_entry_as_one(
    edgeflow: Command, x: Callable[..., Any]
) -> None:
    x()
    assert ", 1 entry forgotten; " in edgeflow("rewind", "x", "charge").err


# --- paths ------------------------------------------------------------------------


def entry(*path: list[str | int]) -> EntryInfo:
    return EntryInfo(
        list(path), str(path[-1][0]), str(path[-1][1]), "completed", 0, 0.0
    )


ODD = [
    entry(["loop", "a", 0], ["turn", "turn", 4], ["step", "s", 0]),
    entry(["loop", "a", 0], ["turn", "turn", 4]),
    entry(["loop", "b", 0], ["turn", "turn", 6]),
    entry(["map", "map", 0], ["item", "item", "red"], ["step", "s", 0]),
    entry(["step", "tab\tname", 0]),
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("map > item[red]", "map[0] > item[red]"),
        ("item[red]", "map[0] > item[red]"),
        ("tab name", r"tab name[0]"),
        ("a > turn[3]", "a[0] > turn[3]"),
        ("turn[5] > s", "b[0] > turn[5]"),
    ],
)
def test_a_path_may_be_as_short_as_it_is_clear(text: str, found: str) -> None:
    assert shown(find_path(text, ODD, "x")) == found


@pytest.mark.parametrize("text", ["s", "turn[3]", "turn[0] > s"])
def test_a_path_that_may_be_several_is_refused_with_their_names(text: str) -> None:
    with pytest.raises(Exception, match=r"' or '.*': say which"):
        find_path(text, ODD, "x")


def test_a_path_in_a_pruned_turn_is_cut_at_its_loop() -> None:
    inner = find_path("a > turn[2]", ODD, "x")
    there = find_path("a > turn[4] > s", ODD, "x")

    assert shown(within_reach(inner, ODD)) == "a[0]"
    assert within_reach(there, ODD) == there
