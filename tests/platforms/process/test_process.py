"""Handlers as programs: events, answers, exit codes, and their example."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from edgeflow import App, Context
from edgeflow_memory import MemoryStore
from edgeflow_process import ProcessPlatform
from tests.platforms.serving import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[3] / "examples" / "platforms" / "process"


class Start(Protocol):
    def __call__(self, *words: str, stdin: str = "") -> subprocess.Popen[str]: ...


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str, stdin: str = "") -> subprocess.Popen[str]:
        (project / "stdin").write_text(stdin, "utf-8")
        with (project / "stdin").open() as given:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=project,
                text=True,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:
            process.kill()


def done(process: subprocess.Popen[str]) -> tuple[int, Any, str]:
    out, err = process.communicate()
    return process.returncode, json.loads(out) if out else None, err


EVENT = json.dumps({"day": "monday", "sources": ["mail", "news", "chat"]})


def test_the_example_rests_is_run_when_due_and_answers_again(start: Start) -> None:
    # P-01 P-02
    code, answer, _ = done(start("digest.py", EVENT))

    assert code == 3
    assert (answer["id"], answer["status"]) == ("monday", "suspended")
    wait_for(lambda: time.time() > answer["wake_at"])
    ran, _, err = done(start("-m", "edgeflow", "run-due", "--app", "digest.py"))
    assert ran == 0
    assert "sending the digest of monday: 3 lines" in err
    code, output, err = done(start("digest.py", "-", stdin=EVENT))
    assert (code, err) == (0, "")
    assert len(output) == 32


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_signal_suspends_it_and_the_same_event_goes_on(
    start: Start, project: Path, number: int, code: int
) -> None:
    # P-07 P-08
    process = start("digest.py", EVENT)
    wait_for((project / "digest.db-wal").exists)
    process.send_signal(number)
    _, err = process.communicate()

    assert process.returncode == code, err
    code, answer, _ = done(start("digest.py", EVENT))
    assert (code, answer["status"]) == (3, "suspended")


def test_an_event_without_an_id_is_a_mistake_and_nothing_is_kept(start: Start) -> None:
    # P-03
    code, answer, _ = done(start("digest.py", '{"sources": []}'))

    assert code == 2
    assert answer == {
        "error": {
            "type": "NoId",
            "message": "the event has no id of an instance at 'day'",
        }
    }
    _, out, _ = done(start("-m", "edgeflow", "ls", "--json"))
    assert not out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give one event: JSON, a file of it, or - for standard input"),
        (("{}", "{}"), "give one event: JSON, a file of it, or - for standard input"),
        (("none.json",), "none.json"),
        (('{"day"',), "the event is no JSON: "),
        (("-",), "standard input is no JSON: "),
    ],
)
def test_a_wrong_command_is_told_in_one_line(
    start: Start, words: tuple[str, ...], said: str
) -> None:
    code, _, err = done(start("digest.py", *words))

    assert code == 2
    assert err.startswith("digest: ")
    assert said in err
    assert err.count("\n") == 1


def test_an_event_may_be_a_file(start: Start, project: Path) -> None:
    (project / "event.json").write_text(EVENT, "utf-8")

    code, answer, _ = done(start("digest.py", "event.json"))

    assert (code, answer["id"]) == (3, "monday")


def test_called_like_another_platforms_handler_it_says_what_to_set() -> None:
    app = App(MemoryStore(), platform=ProcessPlatform())

    @app.handler(id="id")
    async def shop(ctx: Context, event: dict[str, Any]) -> None: ...

    with pytest.raises(TypeError, match="EDGEFLOW_PLATFORM"):
        shop({"id": "1"}, object())
