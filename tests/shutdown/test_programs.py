"""Real programs, told to end by real signals: what is kept, and how they leave."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgeflow import App
from edgeflow_sqlite import SqliteStore

from .program import GRACE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

INT, TERM = signal.SIGINT, signal.SIGTERM
PROGRAM = Path(__file__).with_name("program.py")
PATIENCE = 10.0  # seconds for what takes far less
WATCHDOG = GRACE + 0.1 + 1.0
"""Seconds in which it has to leave, with what a slow machine takes."""
BEFORE = ["quick 0", "quick 1", "quick 2", "works"]


class Running:
    """A program, in the folder of its test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.told_at = 0.0

    def wait_for(self, what: str, times: int = 1) -> None:
        wait_for(lambda: notes().count(what) >= times)

    def tell(self, number: int = TERM) -> None:
        self.told_at = self.told_at or time.monotonic()
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; give the exit code."""
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.told_at


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it took too long: {notes()}"
        time.sleep(0.005)


def notes() -> list[str]:
    path = Path("notes")
    return path.read_text("utf-8").splitlines() if path.exists() else []


@contextmanager
def running(main: str, what: str) -> Generator[Running]:
    with subprocess.Popen(
        [sys.executable, PROGRAM, main, what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def completed(instance: str = "i") -> list[str]:
    app = App(SqliteStore("edgeflow.db"), config={})
    entries = asyncio.run(app.handle(instance).history())
    return [entry.name for entry in entries if entry.status == "completed"]


def goes_on(what: str, *again: str) -> None:
    """In a second process, at once; only these steps are done again, or at last."""
    before = notes()
    Path("go").touch()
    with running("run", what) as program:
        assert program.end() == 0
    after = notes()[len(before) :]
    assert [note for note in after if note not in {"finally", "closes", "closed"}] == [
        *again
    ]


def is_closed() -> bool:
    """SQLite removes its log when the last connection is closed."""
    return not Path("edgeflow.db-wal").exists()


# --- in time ----------------------------------------------------------------------


@pytest.mark.parametrize("main", ["run", "uvloop", "stay", "two"])
@pytest.mark.parametrize(("number", "codes"), [(TERM, {143}), (INT, {-2, 130})])
def test_what_runs_may_end_is_written_and_the_program_leaves_in_order(
    main: str, number: int, codes: set[int]
) -> None:
    # P-07 P-08 G1
    with running(main, "ends") as program:
        program.wait_for("works", 2 if main == "two" else 1)
        program.tell(number)
        code = program.end()

    assert code in codes
    assert notes().count("finally") == (2 if main == "two" else 1)
    assert notes().count("closed") == 1
    assert is_closed()
    assert completed() == ["quick"] * 3 + ["work"]
    if main == "two":
        assert completed("j") == ["quick"] * 3 + ["work"]
    goes_on("ends")


def test_who_swallows_the_end_of_its_loop_ends_all_the_same() -> None:
    # P-08
    with running("swallow", "ends") as program:
        program.wait_for("works")
        program.tell()
        assert program.end() == 143
        assert program.seconds < WATCHDOG

    assert notes().count("finally") == 1
    assert is_closed()
    goes_on("ends")


@pytest.mark.parametrize(("number", "codes"), [(TERM, {143}), (INT, {-2, 130})])
def test_loops_in_two_threads_are_both_left(number: int, codes: set[int]) -> None:
    # P-08 P-09
    with running("loops", "ends") as program:
        program.wait_for("works", 2)
        program.tell(number)
        assert program.end() in codes
        assert program.seconds < WATCHDOG

    assert notes().count("finally") == 2
    assert is_closed()
    goes_on("ends")


def test_who_runs_one_after_the_other_meets_no_error_but_the_end() -> None:
    # P-08
    with running("ticks", "ends") as program:
        program.wait_for("works")
        program.tell()
        _, errors = program.process.communicate(timeout=PATIENCE)

    assert (program.process.returncode, errors) == (143, "")
    goes_on("ends")


def test_what_does_not_end_within_the_grace_is_cut_off_and_done_again() -> None:
    # P-07 P-08
    with running("run", "cut") as program:
        program.wait_for("works")
        program.tell()
        assert program.end() == 143
        assert GRACE <= program.seconds < WATCHDOG

    assert is_closed()
    assert completed() == ["quick"] * 3
    goes_on("cut", "works")


def test_a_wait_does_not_hold_it_up() -> None:
    # P-10
    with running("stay", "waits") as program:
        program.wait_for("quick 2", 2)
        wait_for(lambda: completed() == ["quick"] * 3)
        program.tell()
        assert program.end() == 143
        assert program.seconds < 1

    assert is_closed()


def test_a_signal_between_two_runs_is_not_lost() -> None:
    # P-09
    for number, codes in (TERM, {143, -15}), (INT, {-2, 130}):
        for count in range(2):
            written = len(notes())
            done = notes().count("works")
            with running("loop", "nothing") as program:
                program.wait_for("works", done + 1 + count)
                program.tell(number)
                code = program.end()
            assert code in codes
            # While its store closes, SIGTERM does as without us: all is durable.
            assert is_closed() or code == -TERM
            for n in range(notes()[written:].count("works")):
                assert completed(f"n{n}") == ["quick"] * 3


# --- too late ---------------------------------------------------------------------


@pytest.mark.parametrize("what", ["stuck", "thread"])
def test_what_holds_on_is_left_behind_in_time_and_all_else_is_written(
    what: str,
) -> None:
    # P-08 G1: `stuck` by the watchdog, from another thread
    with running("run", what) as program:
        program.wait_for("works")
        program.tell()
        assert program.end() == 143
        assert program.seconds < WATCHDOG

    assert completed() == ["quick"] * 3
    goes_on(what, "works")


def test_a_second_signal_does_not_tear_a_flush() -> None:
    # P-09 G3
    for number in TERM, INT:
        with running("slow", "ends") as program:
            program.wait_for("works")
            program.tell(number)
            program.wait_for("flushing")
            program.tell(number)
            program.tell(number)
            assert program.end() in {143, -2, 130}

        assert notes().count("flushing") == notes().count("flushed")
        assert completed() == ["quick"] * 3 + ["work"]
        goes_on("ends")
        for path in Path().iterdir():
            path.unlink()


def test_a_second_ctrl_c_does_not_tear_the_closing() -> None:
    # P-09: asyncio.run takes it for the first one, as we have let go of it
    with running("slow", "ends") as program:
        program.wait_for("works")
        program.tell(INT)
        program.wait_for("closes")
        program.tell(INT)
        assert program.end() in {-2, 130}

    assert is_closed()


# --- with others --------------------------------------------------------------------


def test_a_server_that_heard_before_us_is_told_too_and_ends_by_itself() -> None:
    # P-09
    with running("server_before", "ends") as program:
        program.wait_for("works")
        program.tell()
        assert program.end() == 0

    assert "server told" in notes()
    assert is_closed()
    goes_on("ends")


def test_a_server_that_comes_after_us_is_told_too() -> None:
    # P-09
    with running("server_after", "ends") as program:
        program.wait_for("works")
        program.wait_for("listens")
        program.tell()
        assert program.end() == 0

    assert "server told" in notes()
    assert is_closed()
    goes_on("ends")


def test_without_the_main_thread_a_signal_does_what_it_always_did() -> None:
    # P-09 G1
    with running("thread", "ends") as program:
        program.wait_for("works")
        program.tell()
        assert program.end() == -TERM

    assert "finally" not in notes()
    goes_on("ends", *BEFORE)  # the price of "suspend" where nothing is heard


@pytest.mark.skipif(
    not hasattr(signal, "SIGRTMIN"), reason="macOS has no real-time signals"
)
@pytest.mark.parametrize(("number", "codes"), [(TERM, {-15}), (INT, {-2})])
def test_prepared_it_is_heard_in_another_thread_and_the_process_ends(
    number: int, codes: set[int]
) -> None:
    # P-09 P-08
    with running("prepared", "ends") as program:
        program.wait_for("works")
        program.tell(number)
        assert program.end() in codes

    assert is_closed()
    goes_on("ends")


def test_what_nobody_closes_is_closed_by_the_signal_which_ends_the_process() -> None:
    # P-08 P-10
    with running("kept", "ends") as program:
        program.wait_for("works")
        program.tell()
        assert program.end() == 143

    assert is_closed()
    goes_on("ends")


@pytest.mark.parametrize("what", ["ends", "waits", "thread"])
def test_an_interpreter_exits_though_nobody_has_closed_the_app(what: str) -> None:
    # P-10
    with running("unclosed", what) as program:
        assert program.end() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_parent_and_child_of_a_fork_are_told_each_for_itself() -> None:
    # P-08 P-09
    with running("fork", "ends") as program:
        program.wait_for("works")
        wait_for(lambda: any(note.startswith("child ") for note in notes()))
        (child,) = [note for note in notes() if note.startswith("child ")]
        os.kill(int(child.split()[1]), TERM)
        program.wait_for("child ended 143")
        program.wait_for("works", 2)
        program.tell()
        assert program.end() == 143

    assert completed("i") == completed("j") == ["quick"] * 3 + ["work"]
