"""The examples run as they are, each as a process of its own."""

from __future__ import annotations

import ast
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

SETTLE = Path(__file__).parents[1] / "examples" / "settle.py"
REPORT = """\
Ümit Tailoring          1,088.04 EUR
Green Grocer            1,261.63 EUR
Café Zoë                  458.30 EUR
Hotel Aurora            5,008.29 EUR
Page & Turner Books     1,049.86 EUR
Kiosk 24                  245.74 EUR
Blue Bicycle           24,851.46 EUR
Nuts, Bolts & Co        1,016.83 EUR
set aside: P-104325 in XAU
set aside: P-104557 in BTC
set aside: P-104734 in TRL
"""
HEADER = "payment,time,shop,card,amount,currency\n"
ROW = "P-1,2025-03-03T07:08,Kiosk 24,visa 1,19.45,EUR\n"


def settle(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SETTLE, "--pace", "0", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )


def transfers(folder: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(folder / "bank.db")) as db:
        return db.execute("SELECT shop, cents FROM transfers ORDER BY 1").fetchall()


@pytest.mark.timeout(60)
def test_the_example_settles_the_payments_it_ships(tmp_path: Path) -> None:
    done = settle(tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    report = tmp_path / "settlement.txt"
    assert report.read_text("utf-8") == REPORT
    assert done.stdout.endswith(f"{REPORT}\nWritten to {report}\n")
    assert "To be approved: 34,980.15 EUR of 412 payments\n" in done.stdout
    assert "attempt 2\n" in done.stdout  # the bank is flaky
    paid = transfers(tmp_path)
    assert len(paid) == 8
    assert sum(cents for _, cents in paid) == 3498015


@pytest.mark.timeout(60)
def test_the_example_gives_its_result_again_and_does_nothing_twice(
    tmp_path: Path,
) -> None:
    first = settle(tmp_path)
    again = settle(tmp_path)

    assert (again.returncode, again.stderr) == (0, "")
    assert "attempt" in first.stdout
    assert "attempt" not in again.stdout
    assert REPORT in again.stdout
    assert len(transfers(tmp_path)) == 8


@pytest.mark.timeout(60)
def test_the_example_can_be_told_to_settle_once_more(tmp_path: Path) -> None:
    settle(tmp_path)
    other = settle(tmp_path, "--id", "again")

    assert (other.returncode, other.stderr) == (0, "")
    assert "attempt 1\n" in other.stdout
    assert len(transfers(tmp_path)) == 16


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file or directory"),
        ("", "no payments in it"),
        (HEADER, "no payments in it"),
        (f"{HEADER}{ROW}P-2,2025-03-03T07:08,Kiosk 24,visa 1,a lot,EUR\n", "line 3"),
        (f"{HEADER}{ROW}P-2,2025-03-03T07:08,Kiosk 24,visa 1,NaN,EUR\n", "line 3"),
        (f"{HEADER}{ROW}{ROW}P-2,2025-03-03T07:08\n", "line 4"),
        (f"{HEADER}{ROW[:-1]},more\n", "line 2"),
        ("some,other\nfile,here\n", "line 2"),
    ],
)
def test_a_bad_file_of_payments_is_one_clear_line(
    tmp_path: Path, text: str | None, why: str
) -> None:
    file = tmp_path / "bad.csv"
    if text is not None:
        file.write_text(text, "utf-8")

    done = settle(tmp_path, file)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("settle.py: ")
    assert str(file) in done.stderr
    assert why in done.stderr
    assert not (tmp_path / "edgeflow.db").exists()  # nothing has begun


def test_a_file_that_goes_bad_later_fails_the_settlement(tmp_path: Path) -> None:
    # A file may change between the count and the chunk: the step says so, once.
    file = tmp_path / "payments.csv"
    file.write_text(HEADER + ROW, "utf-8")
    script = (
        "import sys, asyncio, bank, settle\n"
        f"file = {str(file)!r}\n"
        "job = settle.Job(file, len(bank.read_payments(file)), 0)\n"
        "open(file, 'a').write('P-2\\n')\n"
        "try: asyncio.run(settle.main('late', job, wait=False))\n"
        "except settle.EdgeflowError as error: print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SETTLE.parent)},
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=True,
    )

    assert f"{file}, line 3: this is no payment" in done.stdout
    assert "after 1 attempt:" in done.stdout


# --- the small ones -----------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A program: what it prints, and what of that is an effect of a step."""

    name: str
    lines: tuple[str, ...]
    """What it prints if nobody kills it."""
    effects: tuple[str, ...] = ()
    """Patterns of lines that steps print."""
    kill_at: str = ""
    """The line after which it is killed."""

    def results(self) -> list[str]:
        """What it prints again, however often it is run."""
        return [line for line in self.lines if not self.is_effect(line)]

    def is_effect(self, line: str) -> bool:
        return any(re.match(pattern, line) for pattern in self.effects)


NO_TRAIN = (
    "not booked: step 'reserve' failed (fatal) after 1 attempt: "
    "edgeflow.errors.FatalError: there is no train Milan - Atlantis"
)
LEGS = ("Paris - Lyon", "Lyon - Turin", "Turin - Milan")
CLOUD = (
    "a cloud stays here: step 'weigh' failed (fatal) after 1 attempt: "
    "edgeflow.errors.FatalError: it weighs nothing"
)

EXAMPLES = (
    Example(
        "approval",
        (
            "May invoice-7 be paid?",
            "paying 420 EUR for invoice-7",
            "paid, approved by Ada",
        ),
        effects=("paying",),
        kill_at="May invoice-7 be paid?",
    ),
    Example(
        "fallback",
        (
            "oracle: What is six times nine? Let me think.",
            "oracle: I was told to stop",
            "What is six times nine? Perhaps 7. (A guess: the oracle took too long.)",
        ),
        effects=("oracle",),
        kill_at="oracle: What is six times nine? Let me think.",
    ),
    Example(
        "saga",
        (
            *(f"reserved {leg}" for leg in LEGS),
            *(f"gave back {leg}" for leg in reversed(LEGS)),
            NO_TRAIN,
            *(f"reserved {leg}" for leg in LEGS),
            "booked 3 legs",
        ),
        effects=("reserved", "gave back"),
        kill_at="gave back Turin - Milan",
    ),
    Example(
        "children",
        (
            "packed a lamp",
            "packed a chair",
            "a lamp, 3 kg",
            CLOUD,
            "a chair, 3.5 kg",
            "thanked Ada",
        ),
        effects=("packed", "thanked"),
        kill_at="packed a lamp",
    ),
    Example(
        "versions",
        (
            "to Ann: Welcome!",
            "Ann was welcomed with letter 1",
            "to Bob: Welcome! Here is a voucher.",
            "Bob was welcomed with letter 2",
        ),
        effects=("to",),
        kill_at="to Ann: Welcome!",
    ),
)
FOLDER = SETTLE.parent


def start(folder: Path, name: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, FOLDER / f"{name}.py", *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def run(folder: Path, name: str, *words: object) -> list[str]:
    """Run an example to its end, and give what it prints."""
    with start(folder, name, *words) as process:
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    return output.splitlines()


def killed(folder: Path, name: str, at: str) -> list[str]:
    """Kill an example after a line; give what it printed until then."""
    lines: list[str] = []
    with start(folder, name) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if re.match(at, lines[-1]):
                process.kill()
    assert process.returncode == -signal.SIGKILL
    return lines


@pytest.mark.timeout(60)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_prints_what_it_promises_and_then_only_its_result(
    tmp_path: Path, example: Example
) -> None:
    first = run(tmp_path, example.name)
    again = run(tmp_path, example.name)

    assert sorted(first) == sorted(example.lines)
    assert again == example.results()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_that_is_killed_goes_on_where_it_was(
    tmp_path: Path, example: Example
) -> None:
    before = killed(tmp_path, example.name, re.escape(example.kill_at))
    after = run(tmp_path, example.name)

    # What was not durable yet at the kill is done again: the last thing, at most.
    done = [line for line in before if example.is_effect(line)]
    then = [line for line in after if example.is_effect(line)]
    if then[:1] == done[-1:]:
        done.pop()
    assert sorted(done + then) == sorted(filter(example.is_effect, example.lines))
    assert [line for line in after if line not in then] == example.results()


@pytest.mark.timeout(60)
def test_the_files_are_counted_once_though_the_count_is_killed(tmp_path: Path) -> None:
    # fan_out
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(16):
        (texts / f"{number}.txt").write_text("a word " * number, "utf-8")
    (texts / "picture").write_bytes(b"\xff\xfe\xfd")

    with start(tmp_path, "fan_out", texts) as process:
        assert process.stdout is not None
        before = [process.stdout.readline().split()[1] for _ in range(6)]
        process.kill()
    *counts, result = run(tmp_path, "fan_out", texts)
    after = [line.split()[1] for line in counts]

    assert set(before + after) == {f"{number}.txt" for number in range(16)}
    assert len(set(before) & set(after)) <= 4  # those that were under way
    assert result.split() == ["240", "in", "17", "files;", "no", "text:", "picture"]
    assert run(tmp_path, "fan_out", texts) == [result]


@pytest.mark.timeout(60)
def test_no_event_is_lost_or_written_twice_though_the_drain_is_killed(
    tmp_path: Path,
) -> None:
    # batch_drain
    killed(tmp_path, "batch_drain", "wrote")
    after = run(tmp_path, "batch_drain")
    files = (tmp_path / "batches").iterdir()
    batches = [file.read_text("utf-8").splitlines() for file in files]

    events = [event for batch in batches for event in batch]
    assert sorted(events) == sorted(f"event {number}" for number in range(120))
    assert max(map(len, batches)) <= 25
    assert after[-1] == "120 events in all"
    assert run(tmp_path, "batch_drain") == ["120 events in all"]


@pytest.mark.timeout(60)
def test_the_account_keeps_its_money(tmp_path: Path) -> None:
    # request_response
    first, second = (run(tmp_path, "request_response") for _ in range(2))

    assert first == [
        "deposit    100 {'balance': 100}",
        "withdraw    30 {'balance': 70}",
        "withdraw  5000 {'refused': 'there are only 70'}",
    ]
    assert second[-1] == "withdraw  5000 {'refused': 'there are only 140'}"


@pytest.mark.timeout(60)
def test_the_export_is_ordered_once_though_the_polling_is_killed(
    tmp_path: Path,
) -> None:
    # polling
    before = killed(tmp_path, "polling", "not yet")
    after = run(tmp_path, "polling")
    url = "https://example.org/export.csv"

    assert before == ["ordered an export", "not yet"]
    assert after[-2:] == ["it is ready", url]
    assert set(after[:-2]) <= {"not yet"}
    assert run(tmp_path, "polling") == [url]


@pytest.mark.timeout(60)
def test_cron_runs_what_is_due_and_ends(tmp_path: Path) -> None:
    seen: list[str] = []
    while not (seen and seen[-1].endswith(": reminded three times")):
        lines = run(tmp_path, "cron")
        assert len(lines) <= 3
        seen += lines

    reminders = [line for line in seen if line.startswith("reminder")]
    assert reminders == [f"reminder {n}: water the plants" for n in (1, 2, 3)]
    assert seen.count("ran one: suspended") == 3
    assert seen.count("ran one: completed") == 1


def test_every_example_is_run_by_a_test_and_short_and_says_how_it_is_run() -> None:
    tests = Path(__file__).read_text("utf-8")
    for file in sorted(FOLDER.glob("*.py")):
        if file.name in {"bank.py", "settle.py"}:
            continue
        text = file.read_text("utf-8")
        assert f'"{file.stem}"' in tests, file
        assert text.count("\n") < 60, file
        assert f"    uv run examples/{file.name}" in (
            ast.get_docstring(ast.parse(text)) or ""
        ), file
