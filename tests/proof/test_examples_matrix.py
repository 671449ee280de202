"""Every example bears every fault at every write, and so does the world around it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App
from edgeflow.testing.faults import KINDS
from edgeflow.testing.matrix import crash_matrix
from edgeflow.testing.posts import Post

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import ModuleType

    from edgeflow import Workflow
    from edgeflow.testing.lives import End
    from edgeflow.testing.posts import Mail

FOLDER = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, in which the examples can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])


@pytest.fixture(autouse=True)
def hurried(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no example wait for the sake of those who look on."""
    monkeypatch.setattr(import_module("fan_out"), "PAUSE", 0)
    monkeypatch.setattr(import_module("saga"), "PAUSE", 0)


@dataclass(frozen=True)
class Case:
    """A workflow of an example, and how it ends."""

    example: str
    workflow: str
    input: object = None
    output: Any = None
    messages: tuple[Mail, ...] = ()
    answers: dict[int, Any] = field(default_factory=dict[int, Any])

    def __str__(self) -> str:
        mail = " with mail" if self.messages else ""
        return f"{self.example} {self.workflow}{mail}"


def app_of(module: ModuleType, workflow: Workflow[Any, Any]) -> App:
    """Give the app of an example, or one for a workflow that several have."""
    found: App | None = getattr(module, "app", None)
    return found or App("memory:", workflows=[workflow])


LEGS = ["Paris - Lyon", "Lyon - Turin"]
CLOUD = "step 'weigh' failed (fatal) after 1 attempt: edgeflow.errors.FatalError: it "

CASES = (
    Case("approval", "pay_invoice", 420, "nobody decided in time"),
    Case(
        "approval",
        "pay_invoice",
        420,
        "paid, approved by Ada",
        (("decision", {"by": "Ada", "approved": True}),),
    ),
    Case(
        "children",
        "ship",
        ["a lamp", "a cloud"],
        ["a lamp, 3 kg", f"a cloud stays here: {CLOUD}weighs nothing"],
    ),
    Case("cron", "reminders", "water the plants", "reminded three times"),
    Case("fallback", "answer", "6 x 9?", "6 x 9? Perhaps 7. (A guess: the oracle took"),
    Case("polling", "export", None, "https://example.org/export.csv"),
    Case(
        "request_response",
        "account",
        0,
        70,
        (
            Post("deposit", 100, asks=True),
            Post("withdraw", 30, asks=True),
            Post("withdraw", 5000, asks=True),
            Post("close", asks=True),
        ),
        answers={
            0: {"balance": 100},
            1: {"balance": 70},
            2: {"refused": "there are only 70"},
            3: {"closed with": 70},
        },
    ),
    Case("versions", "before", "Ann", "Ann was welcomed"),
    Case("versions", "after", "Bob", "Bob was welcomed with letter 2"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_example_comes_to_its_end_whatever_goes_wrong(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    # O-01
    module = import_module(case.example)
    if case.example == "polling":  # real time stands still: each look is a second
        seconds = count()
        monkeypatch.setattr(module, "time", SimpleNamespace(time=seconds.__next__))
    workflow = getattr(module, case.workflow)

    report = await crash_matrix(
        app_of(module, workflow),
        workflow,
        case.input,
        messages=case.messages,
        sample=50,
    )

    end = report.end
    if isinstance(case.output, str):
        assert str(end.output).startswith(case.output)
    else:
        assert end.output == case.output
    assert end.answers == {n: [answer] for n, answer in case.answers.items()}
    assert {status for status, _, _ in end.others.values()} <= {"completed", "failed"}


@pytest.mark.parametrize("last", ["Turin - Milan", "Milan - Atlantis"])
async def test_the_journey_is_booked_or_given_back_whatever_goes_wrong(
    last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # saga; O-01, G8
    saga: Any = import_module("saga")
    capsys.readouterr()

    def with_booked(end: End) -> object:
        printed = capsys.readouterr().out
        booked = set(re.findall(r"^reserved (.*)$", printed, re.MULTILINE))
        given_back = set(re.findall(r"^gave back (.*)$", printed, re.MULTILINE))
        return end, booked, given_back

    report = await crash_matrix(
        saga.app, saga.book, [*LEGS, last], ends=None, same=with_booked, sample=40
    )

    if last == "Turin - Milan":
        assert report.end.output == "booked 3 legs"
    else:
        assert "there is no train Milan - Atlantis" in report.end.error["message"]


async def test_each_word_is_counted_whatever_goes_wrong(tmp_path: Path) -> None:
    # fan_out; O-01
    fan_out: Any = import_module("fan_out")
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text("a word " * number, "utf-8")
    (folder / "picture").write_bytes(b"\xff\xfe\xfd")

    report = await crash_matrix(fan_out.app, fan_out.survey, str(folder), sample=20)

    assert report.end.output.strip() == "6 in 4 files; no text: picture"


async def test_each_event_is_written_once_whatever_goes_wrong() -> None:
    # batch_drain; O-01, G11
    slow = {"slow", "late", "time_out"}  # longer than the second that it waits
    drain: Any = import_module("batch_drain")

    def written(end: End) -> object:
        files = sorted(drain.FOLDER.iterdir())
        return end, [(file.name, file.read_text("utf-8")) for file in files]

    report = await crash_matrix(
        drain.app,
        drain.drain,
        messages=[("event", f"event {number}") for number in range(3)],
        faults=[kind for kind in KINDS if kind not in slow],
        sample=50,
        same=written,
        reset=lambda: shutil.rmtree(drain.FOLDER, ignore_errors=True),
    )

    assert report.end.output == 3
    files = [file.read_text("utf-8") for file in drain.FOLDER.iterdir()]
    assert sorted(files) == [f"event {number}\n" for number in range(3)]


PAYMENTS = """\
payment,time,shop,card,amount,currency
P-1,2025-03-03T07:08,Kiosk 24,visa 1,19.45,EUR
P-2,2025-03-03T07:09,Green Grocer,visa 2,10.00,USD
P-3,2025-03-03T07:10,Kiosk 24,visa 3,-1.00,EUR
P-4,2025-03-03T07:11,Kiosk 24,visa 4,1.00,XAU
"""


@asynccontextmanager
async def branch() -> AsyncGenerator[Any]:
    """Be a bank without a server, that refuses every third request as well."""
    bank: Any = import_module("bank")
    requests = count(1)

    def post(path: str, body: list[Any]) -> Any:
        if next(requests) % 3 == 0:
            raise ConnectionError("the bank says 503")
        return getattr(bank, path[1:])(*body)

    client = bank.Bank(("nowhere", 0))
    client._post = post  # noqa: SLF001  no server, but all else is the bank's
    yield client


@pytest.mark.parametrize("parked", [False, True], ids=["by replay", "parked"])
async def test_each_shop_is_paid_once_whatever_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, parked: bool
) -> None:
    # settle, bank; O-01, G7
    bank: Any = import_module("bank")
    settle: Any = import_module("settle")
    monkeypatch.setattr(settle, "CHUNK", 2)
    file = tmp_path / "payments.csv"
    file.write_text(PAYMENTS, "utf-8")

    def paid() -> list[tuple[str, int]]:
        with closing(sqlite3.connect(bank.FILE)) as db:
            return db.execute("SELECT shop, cents FROM transfers ORDER BY 1").fetchall()

    def report_written() -> str:
        return Path(settle.REPORT).read_text("utf-8")

    def clear() -> None:
        Path(bank.FILE).unlink(missing_ok=True)
        Path(settle.REPORT).unlink(missing_ok=True)

    report = await crash_matrix(
        App("memory:", workflows=settle.app.workflows, lifespan=branch),
        settle.settle,
        settle.Job(str(file), 4, pace=60.0),
        messages=[("approval", {"by": "Ada"})],
        same=lambda end: (end, paid(), end.output == report_written()),
        reset=clear,
        sample=25,
        parked=parked,
    )

    assert paid() == [("Green Grocer", 920), ("Kiosk 24", 1845)]
    assert "set aside: P-4 in XAU\n" in report.end.output


def test_every_example_goes_through_the_matrix() -> None:
    text = Path(__file__).read_text("utf-8")
    for file in FOLDER.glob("*.py"):
        names = {case.example for case in CASES}
        named = file.stem in names or f'import_module("{file.stem}")' in text
        assert named, f"{file.name} is missing here"
