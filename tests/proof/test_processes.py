"""The harness that kills real processes: it strikes, and sees what is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from edgeflow import App, Context, Retry, StepError, current_step, step
from edgeflow.testing.posts import Post
from edgeflow.testing.processes import Effect, Kill, Lost, Program, Victim, survives
from edgeflow.testing.processes.killer import Where
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# --- the program: this file ---------------------------------------------------------

app = App(linger=0)


class Refused(Exception):
    """How a step fails."""


@step
async def add(number: int) -> int:
    state = current_step().state
    state["sum"] = state.get("sum", 0) + number
    total: int = state["sum"]
    return total


@app.workflow
async def five(ctx: Context, rest: float) -> list[int]:
    sums: list[int] = []
    for number in range(5):
        sums.append(await add(number))
        if number == 1:
            await ctx.sleep(rest)
    return sums


@app.workflow
async def told(ctx: Context) -> list[str]:
    words = [await ctx.receive("word") for _ in range(3)]
    question = await ctx.receive("question")
    await question.reply(len(words))
    return [word.body for word in words]


@step(retry=Retry(attempts=2, first=30))
async def refuse() -> None:
    raise Refused("not now")


@app.workflow
async def patient(ctx: Context) -> None:
    await refuse()


@app.workflow
async def hopeless(ctx: Context) -> None:
    await refuse.using(retry=Retry(attempts=1))()


@app.workflow
async def resigned(ctx: Context) -> str:
    try:
        await refuse.using(retry=Retry(attempts=1))()
    except StepError as error:
        await add(1)
        return error.error.message
    return "not refused"


@step
async def fail_twice() -> int:
    attempt = current_step().attempt
    if attempt < 3:
        raise Refused(f"attempt {attempt}")
    return attempt


@app.workflow
async def stubborn(ctx: Context) -> int:
    return await fail_twice.using(retry=Retry(attempts=3, first=0.001))()


@step
async def pause() -> None:
    await asyncio.sleep(0.1)


@app.workflow
async def child(ctx: Context) -> int:
    return await add(1)


@app.workflow
async def parent(ctx: Context) -> int:
    result, _ = await asyncio.gather(ctx.call(child), pause())
    return result


@step
def hang() -> None:
    Path("pid").write_text(str(os.getpid()), "utf-8")
    signal.pause()


@app.workflow
async def endless(ctx: Context) -> None:
    await hang()


@app.workflow
async def fickle(ctx: Context) -> int:
    await add(1)
    return await whoami()


@step
async def whoami() -> int:
    return os.getpid()


# --- the tests ----------------------------------------------------------------------

SUMS = [0, 1, 3, 6, 10]


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with Program(__file__) as program:
        yield program


@pytest.fixture
def victim(program: Program, tmp_path: Path) -> Callable[..., Victim]:
    numbers = count()

    def make(workflow: str, input: object = None, **options: object) -> Victim:
        folder = tmp_path / str(next(numbers))
        return Victim(program, workflow, input, folder=folder, **options)  # type: ignore[arg-type]

    return make


def durable(victim: Victim) -> App:
    """A process that runs nothing, over what the others have left."""
    return App(SqliteStore(victim.folder / "edgeflow.db"))


def entered(victim: Victim) -> list[str]:
    effects = [effect for life in victim.lives for effect in life.effects]
    return [f"{effect.path} {effect.attempt}" for effect in effects]


# What is entered until the kill, and what is entered again after it.
STRUCK: dict[Kill, tuple[int, int]] = {
    Kill("before_commit", 1): (0, 0),
    Kill("in_commit", 1): (0, 0),
    Kill("after_commit", 1): (0, 0),
    Kill("before_commit", 3): (2, 1),
    Kill("in_commit", 3): (2, 1),
    Kill("in_commit", 3, tick=10**6): (2, 0),
    Kill("after_commit", 3): (2, 0),
    Kill("in_step", 1): (1, 1),
    Kill("in_step", 3): (3, 1),
    Kill("after_step", 3): (3, 1),
    Kill("after_step", 5): (5, 1),
    Kill("suspended"): (2, 0),
    Kill("in_commit", 3, signal.SIGTERM): (2, 0),
    Kill("in_step", 3, signal.SIGTERM): (3, 0),
    Kill("suspended", 1, signal.SIGTERM): (2, 0),
    Kill("suspended", seconds=0.005): (2, 0),
}


@pytest.mark.parametrize("kill", STRUCK, ids=str)
async def test_a_signal_comes_at_the_moment_that_was_chosen(
    victim: Callable[..., Victim], kill: Kill
) -> None:
    # O-11, G7
    began, again = STRUCK[kill]
    # A commit lands, and the next step begins, in the turn in which this is heard.
    late = kill.where == "in_commit" and kill.by == signal.SIGTERM
    it = victim("five", 0.5 if kill.where == "suspended" else 0.0)

    killed = await it.run(kill)

    code = 143 if kill.by == signal.SIGTERM else -kill.by  # it is heard
    assert (killed.code, killed.left, killed.errors) == (code, None, "")
    assert began <= len(killed.effects) <= began + late
    ended = await it.run()
    assert (ended.code, ended.errors) == (0, "")
    assert it.left is not None
    assert (it.left["status"], it.left["output"]) == ("completed", SUMS)
    assert len(ended.effects) == 5 - len(killed.effects) + again
    assert len(it.again) == again
    assert set(it.again) <= set(killed.in_flight)


async def test_a_signal_comes_by_the_clock_whatever_the_process_does(
    victim: Callable[..., Victim],
) -> None:
    it = victim("endless")

    killed = await it.run(Kill("moment", seconds=0.1))

    assert (killed.code, killed.is_struck) == (-signal.SIGKILL, True)


async def test_a_moment_that_never_comes_does_no_harm(
    victim: Callable[..., Victim],
) -> None:
    life = await victim("five", 0.0).run(Kill("in_step", 6))

    assert (life.code, life.is_struck) == (0, False)


@pytest.mark.parametrize("where", ["after_commit", "in_step", "after_step"])
async def test_an_interrupted_process_ends_its_steps_and_loses_nothing(
    victim: Callable[..., Victim], where: Where
) -> None:
    # G1, G7
    it = victim("five", 0.0)

    interrupted = await it.run(Kill(where, 3, signal.SIGINT))

    assert interrupted.code == -signal.SIGINT
    assert "KeyboardInterrupt" in interrupted.errors
    assert interrupted.in_flight == ()
    await it.run()
    assert it.again == ()
    assert len(entered(it)) == 5


async def test_messages_come_when_they_are_waited_for_and_never_twice(
    program: Program, tmp_path: Path
) -> None:
    # O-11, G11
    messages = [*(Post("word", word) for word in "abc"), Post("question", asks=True)]
    places: tuple[Where, ...] = ("before_commit", "in_commit", "after_commit")
    kills = [Kill(where, nth) for nth in (1, 2, 3, 4) for where in places]

    survival = await survives(
        program, "told", folder=tmp_path, messages=messages, kills=kills
    )

    assert survival.left["output"] == ["a", "b", "c"]
    assert survival.left["answers"] == [[3]]
    assert survival.struck >= 8


async def test_a_start_that_was_killed_keeps_its_number(
    victim: Callable[..., Victim],
) -> None:
    # G7
    it = victim("stubborn")
    kills = [
        Kill("in_step"),
        Kill("after_step"),
        Kill("in_step", 2),
        Kill("after_step"),
    ]
    for kill in kills:
        await it.run(kill)
    last = await it.run()

    assert [life.effects[0].attempt for life in it.lives] == [1, 1, 1, 2, 2]
    assert [effect.attempt for effect in last.effects] == [2, 3]
    assert last.left is not None
    assert last.left["output"] == 3


async def test_who_dies_at_the_same_place_again_and_again_is_spared_in_time(
    program: Program, tmp_path: Path
) -> None:
    kills = [Kill("in_step")] * 12

    survival = await survives(program, "five", 0.0, folder=tmp_path, kills=kills)

    assert (survival.struck, survival.instances) == (12, 3)
    assert survival.again == 12
    assert survival.left["output"] == SUMS


SCRIPT = """
import asyncio
import sys

from edgeflow import App, Context, step

app = App()


@step
async def shout(word: str) -> str:
    return word.upper()


@app.workflow
async def greet(ctx: Context, word: str) -> list[str]:
    return [await shout(word), await shout("bye")]


if __name__ == "__main__":
    print(*asyncio.run(app.run(greet, sys.argv[1], id=sys.argv[1])))
    sys.exit(len(sys.argv) > 2)
"""


async def test_a_program_that_is_run_as_it_is_is_watched_too(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")

    with Program(tmp_path / "script.py", args=["hello"]) as program:
        it = Victim(program, folder=tmp_path)
        for kill in (Kill("before_commit", 2), Kill("after_step", 2)):
            assert (await it.run(kill)).is_struck
        last = await it.run()

    assert it.has_ended
    assert (tmp_path / "victim.out").read_text("utf-8") == "HELLO BYE\n"
    assert entered(it) == [*["shout[0] 1"] * 2, *["shout[1] 1"] * 2]
    assert last.effects == (Effect("hello", "shout[1]", 1),)


@pytest.mark.parametrize(
    ("target", "forks"),
    [("script.py", True), ("script.py:app", True), ("script:app", False)],
)
async def test_a_life_is_a_fork_or_an_interpreter_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, *, forks: bool
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")
    monkeypatch.chdir(tmp_path)

    with Program(target, forks=forks) as program:
        it = Victim(program, "greet", "hello", folder=tmp_path / "run")
        killed = await it.run(Kill("after_step", 2))
        ended = await it.run()

    assert (killed.code, ended.errors) == (-signal.SIGKILL, "")
    assert it.again == (Effect(it.id, "shout[1]", 1),)
    assert ended.left is not None
    assert ended.left["output"] == ["HELLO", "BYE"]


async def test_a_program_that_fails_by_itself_is_found(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, "utf-8")

    with (
        Program(tmp_path / "script.py", args=["hello", "and fail"]) as program,
        pytest.raises(Lost, match="a process has failed"),
    ):
        await Victim(program, folder=tmp_path).run(Kill("in_step", 3))


# --- O-04, O-06 -----------------------------------------------------------------------

DRIVER = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
from test_processes import app, patient

async def main():
    await app.start(patient, id="it")
    await app.drive("it")
    os._exit(0)

asyncio.run(main())
"""


async def check_back_off(store: App) -> None:
    """One attempt, its error and the time of the next one are durable."""
    (entry,) = await store.handle("it").history()
    info = await store.handle("it").info()

    assert (entry.name, entry.status, entry.attempts) == ("refuse", "retrying", 1)
    assert entry.error is not None
    assert entry.error.message == "not now"
    assert info.status == "suspended"
    assert info.wake_at == entry.retry_at
    assert entry.retry_at is not None
    assert 25 < entry.retry_at - entry.at < 35


async def test_a_process_that_ends_after_drive_leaves_the_back_off_behind(
    victim: Callable[..., Victim],
) -> None:
    # O-04, G1, G7
    it = victim("patient")

    life = await it.run(once=True)

    assert (life.code, len(life.effects)) == (0, 1)
    assert life.left is not None
    assert life.left["status"] == "suspended"
    await check_back_off(durable(it))


def test_a_process_that_is_gone_once_drive_returns_leaves_the_back_off_behind(
    tmp_path: Path,
) -> None:
    # O-04, G1, G7
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, Path(__file__).parent],
        cwd=tmp_path,
        env={**os.environ, "EDGEFLOW_STORE": "sqlite:///edgeflow.db"},
        timeout=15,
        check=False,
    )

    assert done.returncode == 0
    asyncio.run(check_back_off(App(SqliteStore(tmp_path / "edgeflow.db"))))


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
async def test_a_signal_in_the_back_off_leaves_it_behind(
    victim: Callable[..., Victim], by: signal.Signals
) -> None:
    # O-04, G1, G7
    it = victim("patient")

    await it.run(Kill("suspended", by=by, seconds=0.01))

    await check_back_off(durable(it))


async def test_a_failure_that_was_caught_is_final_though_the_next_step_kills(
    victim: Callable[..., Victim],
) -> None:
    # O-06, G7, G8
    it = victim("resigned")

    await it.run(Kill("in_step", 2))
    for _ in range(4):
        await it.run(Kill("in_step", 1))
    last = await it.run()

    assert entered(it) == ["refuse[0] 1", *["add[0] 1"] * 6]
    assert last.left is not None
    assert last.left["output"] == "not now"


async def test_a_child_that_was_killed_with_its_parent_is_taken_over_at_once(
    tmp_path: Path,
) -> None:
    # G10: not after the lease of the process that is gone, 30 s
    with Program(__file__, limit=10) as program:
        it = Victim(program, "parent", folder=tmp_path)
        await it.run(Kill("in_step", 2))  # the child's; its parent is in a step, too
        ended = await it.run()

    assert ended.left is not None
    assert ended.left["output"] == 1
    assert [effect.path for effect in ended.effects] == ["pause[0]", "add[0]"]


# --- what goes wrong is found ---------------------------------------------------------


async def test_a_result_that_changes_is_found(program: Program, tmp_path: Path) -> None:
    kills = [Kill("in_step", 2), Kill("in_step", 9)]

    with pytest.raises(Lost, match=r"output: .*, undisturbed ") as found:
        await survives(program, "fickle", folder=tmp_path, kills=kills)

    assert "The same again: kills=[Kill('in_step', 2, signal.SIGKILL), " in str(found)
    assert "life 1: Kill('in_step', 2, signal.SIGKILL), exit -9\n  add[0]" in str(
        found.value
    )


async def test_an_undisturbed_run_has_to_end_as_is_said(
    program: Program, tmp_path: Path
) -> None:
    with pytest.raises(Lost, match=r"failed, .*: .*not now\nIf .*: ends='failed'"):
        await survives(program, "hopeless", folder=tmp_path / "1", kills=[])

    survival = await survives(
        program,
        "hopeless",
        folder=tmp_path / "2",
        kills=[Kill("in_step")],
        ends="failed",
    )

    assert survival.left["status"] == "failed"


async def test_a_result_that_is_used_before_it_is_durable_is_found(
    program: Program, tmp_path: Path
) -> None:
    with pytest.raises(Lost, match=r"^3 steps were in flight"):
        await survives(
            program,
            "five",
            0.0,
            folder=tmp_path,
            kills=[Kill("in_step", 3)],
            durability="suspend",
            at_once=1,
        )


async def test_a_process_that_does_not_end_is_found(tmp_path: Path) -> None:
    with (
        Program(__file__, limit=0.5) as program,
        pytest.raises(Lost, match=r"has not ended after 0\.5 s"),
    ):
        await Victim(program, "endless", folder=tmp_path).run()


async def test_a_process_that_fails_is_found(victim: Callable[..., Victim]) -> None:
    with pytest.raises(Lost, match="no workflow 'nobody'; it has five, told"):
        await victim("nobody").run()


BROKEN = """
from pathlib import Path

from edgeflow import App, Context, Retry, current_step, step
from edgeflow.engine.journal import Journal
from edgeflow.store import Committed
from edgeflow_sqlite import SqliteStore

commit, put = SqliteStore.commit, Journal._put

async def lose(self, instance, what):
    if what.seq == 3 and Path.cwd().name == "1":
        return Committed()
    return await commit(self, instance, what)

def forget(self, key, data):
    if data.get("status") != "{what}":
        put(self, key, data)

if "{what}" == "third commit":
    SqliteStore.commit = lose
else:
    Journal._put = forget

@step(retry=Retry(first=0.001))
async def work():
    if current_step().attempt == 1:
        raise RuntimeError

app = App(linger=0)

@app.workflow
async def works(ctx: Context):
    await work()
    await work()
"""


@pytest.mark.parametrize(
    ("what", "kill", "why"),
    [
        ("third commit", Kill("after_commit", 3), "frame 3 was acknowledged, frame 2"),
        ("retrying", Kill("in_step", 2), "makes attempt 2, and 0 failed attempts are"),
        ("completed", Kill("in_step", 3), "^2 steps were in flight"),
    ],
)
async def test_an_engine_that_forgets_is_found(
    tmp_path: Path, what: str, kill: Kill, why: str
) -> None:
    # O-12
    (tmp_path / "broken.py").write_text(BROKEN.format(what=what), "utf-8")

    with Program(tmp_path / "broken.py") as program, pytest.raises(Lost, match=why):
        await survives(program, "works", folder=tmp_path, kills=[kill], at_once=1)


THREADED = """
import threading
from edgeflow import App

app = App()
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "there is no file"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("", "has no App"),
        (THREADED, "starts a thread when it is imported.*say forks=False"),
    ],
)
async def test_a_program_that_cannot_be_used_says_why(
    tmp_path: Path, text: str | None, why: str
) -> None:
    if text is not None:
        (tmp_path / "bad.py").write_text(text, "utf-8")

    with Program(tmp_path / "bad.py") as program, pytest.raises(ValueError, match=why):
        await Victim(program, "any", folder=tmp_path).run()


async def test_no_process_is_left_behind(tmp_path: Path) -> None:
    with Program(__file__) as program:
        living = asyncio.create_task(Victim(program, "endless", folder=tmp_path).run())
        while not (tmp_path / "pid").exists():  # noqa: ASYNC110  another process
            await asyncio.sleep(0.005)
    pid = int((tmp_path / "pid").read_text("utf-8"))

    with pytest.raises(RuntimeError, match="were ended"):
        await living
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- drawing --------------------------------------------------------------------------


def test_what_is_drawn_at_random_can_be_made_again() -> None:
    drawn = [Kill.at_random(random.Random(seed)) for seed in range(300)]
    again = [Kill.at_random(random.Random(seed)) for seed in range(300)]

    assert drawn == again
    assert {kill.where for kill in drawn} == {*get_args(Where)}
    for kill in drawn:
        copy: Kill = eval(repr(kill), {"Kill": Kill, "signal": signal})
        assert abs(copy.seconds - kill.seconds) < 1e-5
        assert replace(copy, seconds=kill.seconds) == kill
