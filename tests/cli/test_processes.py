"""The command as a process: signals, kills, pipes, terminals."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

pty = pytest.importorskip("pty", reason="a terminal needs a POSIX system")

Start: TypeAlias = Callable[..., "subprocess.Popen[str]"]

NUMBERS = 12
SUM = sum(range(NUMBERS))
SHORT = ("run", "slow.py", "--id", "s1", "--input", "1")
RUN = ("run", "slow.py", "--id", "s1", "--input", str(NUMBERS))


def effects() -> Counter[str]:
    path = Path("effects")
    return Counter(path.read_text("utf-8").split() if path.exists() else [])


def wait_for_effects(count: int) -> None:
    wait_for(lambda: len(effects()) >= count)


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def test_killed_in_the_middle_the_same_command_goes_on(start: Start) -> None:
    # G7, G8: what was durable is not done again.
    for count in (2, 5, 9):
        process = start(*RUN)
        wait_for_effects(count)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
    out, err = start(*RUN).communicate()
    done = effects()

    assert out == f"{SUM}\n"
    assert err.startswith("▸ slow s1 goes on\n")
    assert sorted(done, key=int) == [str(number) for number in range(NUMBERS)]
    assert done.total() <= NUMBERS + 3  # the step in flight, once for each kill


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_one_line_that_says_how_to_go_on(
    start: Start, number: int
) -> None:
    process = start(*RUN)
    wait_for_effects(2)
    process.send_signal(number)
    out, err = process.communicate()

    assert process.returncode == 128 + number
    assert out == ""
    assert err.splitlines()[-1] == (
        "edgeflow: stopped; instance 's1' goes on with the same command: "
        "edgeflow run slow.py --id s1"
    )
    assert "Traceback" not in err
    again = start("run", "slow.py", "--id", "s1")
    assert again.communicate()[0] == f"{SUM}\n"
    assert effects().total() == NUMBERS  # the running step was let finish


def test_a_second_ctrl_c_gives_a_stuck_step_no_more_time(start: Start) -> None:
    Path("stuck.py").write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from edgeflow import Context, step, workflow\n"
        "@step\n"
        "async def hang() -> None:\n"
        "    Path('hangs').touch()\n"
        "    time.sleep(60)\n"  # not even the loop can turn
        "@workflow\n"
        "async def w(ctx: Context) -> None:\n"
        "    await hang()\n",
        "utf-8",
    )
    process = start("run", "stuck.py", "--id", "w1")
    wait_for(Path("hangs").exists)
    process.send_signal(signal.SIGINT)
    time.sleep(0.6)  # sooner it would be the same one, sent on two ways
    assert process.poll() is None
    process.send_signal(signal.SIGINT)

    assert process.wait(5) == 130


def test_serve_runs_what_is_due_until_a_signal(start: Start) -> None:
    begun = start("run", "slow.py", "--id", "s1", "--input", "2")
    wait_for_effects(1)
    begun.kill()
    begun.wait()
    script = (
        "import asyncio\n"
        "from edgeflow import App\n"
        "from slow import slow\n"
        "asyncio.run(App(workflows=[slow]).start(slow, 3, id='s2'))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    process = start("serve", "slow.py", "--json")
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()

    assert process.returncode == 0
    assert '"id": "s2", "workflow": "slow", "status": "completed"' in line
    assert err.startswith("▸ serving slow; ^C stops\n")
    assert err.endswith("stopped\n")


@pytest.mark.parametrize("words", [["ls"], ["ls", "--json"], ["show", "s1"]])
def test_a_reader_that_leaves_gets_no_traceback(start: Start, words: list[str]) -> None:
    assert start(*SHORT).wait() == 0
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*words, stdout=writing)
    os.close(writing)
    _, err = process.communicate()

    assert process.returncode == 128 + signal.SIGPIPE
    assert err == ""


def test_a_run_goes_on_when_nobody_reads_its_progress(start: Start) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*SHORT, stderr=writing)
    os.close(writing)
    out, _ = process.communicate()

    assert (process.returncode, out) == (0, "0\n")


def test_an_encoding_without_the_signs_is_no_trouble(start: Start) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    out, err = start(*SHORT, env=environment).communicate()
    shown, _ = start("show", "s1", env=environment).communicate()

    assert out == "0\n"
    assert err.startswith("> slow s1\n+ count ")
    assert shown.startswith("+ s1  slow  completed\n")


# --- a terminal -----------------------------------------------------------------------


class Terminal:
    """What a process wrote to a terminal of 60 columns."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()

    def read(self, process: subprocess.Popen[str], until: str = "") -> str:
        """Read to the end, or `until` this is there."""
        os.close(self.theirs)
        data = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while select.select([self.ours], [], [], 10)[0]:
                piece = os.read(self.ours, 65536)
                if not piece:
                    break
                data += piece
                if until and until in data.decode(errors="replace"):
                    return data.decode(errors="replace")
        process.wait()
        return data.decode()


def clear(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    made = Terminal()
    yield made
    os.close(made.ours)


def test_a_terminal_shows_colours_and_a_last_line_of_what_runs(
    start: Start, terminal: Terminal
) -> None:
    process = start(*RUN, stderr=terminal.theirs)
    text = terminal.read(process)
    lasts = [part.split("\r")[0] for part in text.split("\x1b[2K")[1:]]

    assert "\x1b[32m✓\x1b[0m count" in text
    assert any(re.match(r"[⠋-⠿] count\[\d+\]", last) for last in lasts)
    assert text.rstrip(" ").endswith("\r\x1b[2K")  # nothing of it is left
    assert process.stdout is not None
    assert process.stdout.read() == f"{SUM}\n"


LIVELY = """
import asyncio
from edgeflow import Context, Retry, current_step, step, workflow

@step(retry=Retry(attempts=2, first=0.5, jitter=0))
async def flaky() -> None:
    if current_step().attempt == 1:
        print("half ", end="")
        raise ValueError("once")
    print("a line")

@step
async def part(number: int) -> None:
    await asyncio.sleep(0.5)

@workflow
async def lively(ctx: Context) -> None:
    await ctx.status({"phase": 1})
    await flaky()
    await asyncio.gather(*map(part, range(5)))
    await ctx.receive("yes")
"""


def test_the_last_line_says_what_runs_what_is_tried_again_and_what_it_waits_for(
    start: Start, terminal: Terminal
) -> None:
    Path("lively.py").write_text(LIVELY, "utf-8")
    process = start("run", "lively.py", "--id", "l1", stderr=terminal.theirs)
    text = terminal.read(process, until="edgeflow send l1 yes")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    lasts = [clear(part).split("\r")[0] for part in text.split("\x1b[2K")[1:]]

    def shown(pattern: str) -> bool:
        return any(re.match(pattern, last) for last in lasts)

    assert shown(r". flaky \(attempt 2 in 0\.\d s\)")
    assert shown(r". part, part\[1\], part\[2\], 2 more")
    assert any('{"phase": 1}' in last for last in lasts)
    assert shown(r"◷ waits: message yes  \(edgeflow send l1 yes\)")
    assert "half a line\r\n" in clear(text)


def test_a_piped_run_has_no_colours_and_no_last_line(start: Start) -> None:
    _, err = start(*SHORT).communicate()

    assert "\x1b" not in err
    assert "\r" not in err
    assert len(err.splitlines()) == 2


def test_no_color_is_respected_on_a_terminal(start: Start, terminal: Terminal) -> None:
    assert start(*SHORT).wait() == 0
    process = start("show", "s1", stdout=terminal.theirs, env={"NO_COLOR": "1"})
    text = terminal.read(process)

    assert "\x1b" not in text
    assert text.startswith("✓ s1  slow  completed\r\n")


def test_the_width_of_a_terminal_is_respected(start: Start, terminal: Terminal) -> None:
    script = (
        "from edgeflow import Context, workflow\n"
        "@workflow\n"
        "async def wide(ctx: Context) -> str:\n"
        "    await ctx.status('日' * 200)\n"
        "    return await ctx.step('s' * 100, lambda: 'x' * 500)\n"
    )
    Path("wide.py").write_text(script, "utf-8")
    assert start("run", "wide.py", "--id", "w1").wait() == 0
    process = start("show", "w1", stdout=terminal.theirs)
    text = terminal.read(process)
    plain = clear(text)
    widths = [len(line) + line.count("日") for line in plain.split("\r\n")]

    assert "\x1b[32m✓\x1b[0m" in text
    assert "…" in plain
    assert max(widths) <= 60
    assert max(widths) >= 55


def test_a_terminal_that_knows_no_colours_gets_none(
    start: Start, terminal: Terminal
) -> None:
    process = start(
        "ls", "--store", "memory:", stderr=terminal.theirs, env={"TERM": "dumb"}
    )

    assert terminal.read(process) == "no instances\r\n"
