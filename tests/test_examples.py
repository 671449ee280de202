"""The examples run as they are, each as a process of its own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
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
