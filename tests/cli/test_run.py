"""`edgeflow run`: results, exit codes, what is said where."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Command: TypeAlias = Callable[..., Any]

ORDER = '{"id": "7", "items": ["a", "b"]}'


REFUSED = r"ConnectionError: refused \x1b[31mred"
NO_WAY = (
    "edgeflow.errors.StepError: step 'doomed' failed (fatal) after 1 attempt: "
    "edgeflow.errors.FatalError: no way"
)


def lines_of(text: str) -> list[str]:
    return [re.sub(" +", " ", line) for line in text.splitlines()]


def test_the_result_is_the_only_thing_on_stdout(edgeflow: Command) -> None:
    done = edgeflow("run", "jobs.py:fulfil", "--id", "o1", "--input", ORDER)

    assert done.code == 0
    assert done.out == '["A", "B"]\n'
    assert "packing a\npacking b\n" in done.err  # what the steps print


def test_each_step_each_failure_and_each_wait_is_a_line(edgeflow: Command) -> None:
    done = edgeflow("run", "jobs.py:fulfil", "--id", "o1", "--input", ORDER)
    said = lines_of(done.err)

    assert said[:2] == [
        "▸ fulfil o1",
        f"↻ charge attempt 1 failed: {REFUSED}, next in 20 s",
    ]
    assert re.fullmatch(r"◷ waits: wakes in 20 s \(.*\)", said[2])
    assert said[3:] == [
        "✓ charge 0 ms 2 attempts",
        "packing a",
        "packing b",
        "✓ packing > pack 0 ms",
        "✓ packing > pack[1] 0 ms",
    ]


def test_it_stays_over_a_sleep(edgeflow: Command) -> None:
    done = edgeflow("run", "jobs.py:nap", "--id", "n1")

    assert (done.code, done.out) == (0, '"awake"\n')
    assert "◷ waits: wakes in 1 d (" in done.err


def test_once_exits_with_3_and_says_what_it_waits_for_and_until_when(
    edgeflow: Command,
) -> None:
    done = edgeflow("run", "jobs.py:approval", "--id", "a1", "--once")

    assert (done.code, done.out) == (3, "")
    assert re.fullmatch(
        r"▸ approval a1\n"
        r"◷ suspended, waits: message yes or no, or wakes in 2 d \([\d: -]+\)\n",
        done.err,
    )


def test_the_same_command_goes_on_with_the_instance(edgeflow: Command) -> None:
    first = edgeflow("run", "jobs.py:nap", "--id", "n1", "--once")
    second = edgeflow("run", "jobs.py:nap", "--id", "n1")
    third = edgeflow("run", "jobs.py:nap", "--id", "n1")

    assert (first.code, second.code, third.code) == (3, 0, 0)
    assert second.out == third.out == '"awake"\n'
    assert second.err.startswith("▸ nap n1 goes on\n")
    assert third.err == "✓ nap n1 has ended before: completed\n"


def test_an_instance_that_exists_needs_no_input(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:fulfil", "--id", "o1", "--input", ORDER, "--once")
    done = edgeflow("run", "jobs.py:fulfil", "--id", "o1")

    assert (done.code, done.out) == (0, '["A", "B"]\n')


def test_without_an_id_a_new_one_is_made_and_said(edgeflow: Command) -> None:
    first = edgeflow("run", "jobs.py:nap", "--once")
    second = edgeflow("run", "jobs.py:nap", "--once", "--json")
    found = re.match(r"▸ nap ([0-9a-f]{32})\n", first.err)

    assert found
    assert second.value["id"] != found[1]
    again = edgeflow("run", "jobs.py:nap", "--id", found[1])
    assert again.out == '"awake"\n'


def test_json_gives_one_object_whatever_became_of_it(edgeflow: Command) -> None:
    completed = edgeflow("run", "jobs.py:nap", "--id", "n1", "--json")
    suspended = edgeflow("run", "jobs.py:approval", "--id", "a1", "--once", "--json")
    failed = edgeflow("run", "jobs.py:fails", "--id", "f1", "--json")

    assert completed.value == {
        "id": "n1",
        "status": "completed",
        "output": "awake",
        "error": None,
        "undo_errors": [],
        "wake_at": None,
        "awaiting": [],
    }
    assert suspended.code == 3
    assert suspended.value["status"] == "suspended"
    assert suspended.value["wake_at"] > 1_700_000_000
    assert suspended.value["awaiting"] == ["yes", "no"]
    assert failed.code == 1
    assert failed.value["status"] == "failed"
    assert failed.value["error"]["type"] == "edgeflow.errors.StepError"
    assert "no way" in failed.value["error"]["message"]


def test_a_failure_exits_with_1_and_says_why_without_a_traceback(
    edgeflow: Command,
) -> None:
    done = edgeflow("run", "jobs.py:fails", "--id", "f1")

    assert (done.code, done.out) == (1, "")
    assert lines_of(done.err) == [
        "▸ fails f1",
        "✗ doomed attempt 1 failed: edgeflow.errors.FatalError: no way",
        f"edgeflow: instance 'f1' has failed: {NO_WAY}",
    ]


def test_a_blocked_instance_exits_with_1_and_says_why(edgeflow: Command) -> None:
    done = edgeflow("run", "jobs.py:breaks_rules", "--id", "b1")

    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 2
    assert (
        "edgeflow: instance 'b1' is blocked: the body waits for something" in done.err
    )


def test_verbose_shows_the_traceback_of_a_step(edgeflow: Command) -> None:
    done = edgeflow("run", "jobs.py:fails", "--id", "f1", "-v")

    assert done.code == 1
    assert 'raise FatalError("no way")' in done.err


# --- input --------------------------------------------------------------------------


def test_input_comes_from_text_a_file_or_stdin(
    edgeflow: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "order.json").write_text(f"\N{BOM}{ORDER}", "utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ORDER.encode())))
    outs = [
        edgeflow("run", "jobs.py:fulfil", "--input", given).out
        for given in (ORDER, "order.json", "-")
    ]

    assert outs == ['["A", "B"]\n'] * 3


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ('{"id"', "--input is no JSON: Expecting ':' delimiter at line 1 column 6"),
        ("[NaN]", "--input is no JSON: NaN is not a number in JSON"),
        (
            "order",
            "--input: 'order' is neither JSON nor a file",
        ),
        (
            '{"id": 7, "items": []}',
            "--input does not fit workflow 'fulfil': $.id: expected str, found int",
        ),
        ("bad.json", "bad.json is no JSON: Expecting value at line 1 column 1"),
        (
            "binary",
            "binary is no UTF-8 text: 'utf-8' codec can't decode byte 0xff",
        ),
        ("folder", "folder cannot be read: Is a directory"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_started(
    edgeflow: Command, project: Path, given: str, error: str
) -> None:
    (project / "bad.json").write_text("?", "utf-8")
    (project / "binary").write_bytes(b"\xff")
    (project / "folder").mkdir()
    done = edgeflow("run", "jobs.py:fulfil", "--input", given)

    assert done.code == 2
    assert done.error.startswith(error)
    assert not (project / "edgeflow.db").exists()


def test_missing_input_is_one_line(edgeflow: Command) -> None:
    done = edgeflow("run", "jobs.py:fulfil", "--id", "o1")

    assert done.code == 2
    assert (
        done.error == "workflow 'fulfil' needs an --input: expected Order, found None"
    )
    assert edgeflow("show", "o1").code == 2  # nothing was started


def test_input_for_a_workflow_that_takes_none_is_one_line(edgeflow: Command) -> None:
    done = edgeflow("run", "jobs.py:nap", "--input", "1")

    assert (done.code, done.error) == (2, "workflow 'nap' takes no input")


# --- ids and stores -------------------------------------------------------------------


def test_an_id_of_another_workflow_is_one_line(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    done = edgeflow("run", "jobs.py:fails", "--id", "n1")

    assert done.code == 2
    assert done.error == (
        "instance 'n1' belongs to workflow 'nap', not to 'fails': choose another --id"
    )


@pytest.mark.parametrize("bad", ["", "~reply", "x" * 256])
def test_an_id_that_cannot_be_is_one_line(edgeflow: Command, bad: str) -> None:
    done = edgeflow("run", "jobs.py:nap", f"--id={bad}")

    assert done.code == 2
    assert done.error


def test_store_is_used_instead_of_that_of_the_app(
    edgeflow: Command, project: Path
) -> None:
    done = edgeflow("run", "jobs.py:nap", "--id", "n1", "--store", "sqlite:///o.db")

    assert done.code == 0
    assert (project / "o.db").exists()
    assert not (project / "edgeflow.db").exists()


@pytest.mark.parametrize(
    ("url", "code", "error"),
    [
        ("oops", 2, "'oops' is no store URL: "),
        ("oops:x", 2, "no installed store is called 'oops'"),
        ("sqlite:///no/such/x.db", 1, "there is no directory no/such for x.db"),
        ("sqlite:///jobs.py", 1, "jobs.py is not a SQLite database"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line(
    edgeflow: Command, url: str, code: int, error: str
) -> None:
    done = edgeflow("run", "jobs.py:nap", "--id", "n1", "--store", url)

    assert done.code == code
    assert done.error.startswith(error)


def test_a_failing_lifespan_is_one_line(edgeflow: Command, project: Path) -> None:
    (project / "spans.py").write_text(
        "from contextlib import asynccontextmanager\n"
        "from edgeflow import App, Context\n"
        "@asynccontextmanager\n"
        "async def span():\n"
        "    raise OSError('no network')\n"
        "    yield\n"
        "app = App(lifespan=span)\n"
        "@app.workflow\n"
        "async def w(ctx: Context) -> None: ...\n",
        "utf-8",
    )
    done = edgeflow("run", "spans.py", "--id", "w1")

    assert (done.code, done.error) == (1, "OSError: no network (--verbose shows where)")
    with pytest.raises(OSError, match="no network"):
        edgeflow("run", "spans.py", "--id", "w1", "--verbose")


def test_control_characters_of_an_instance_never_reach_the_terminal(
    edgeflow: Command,
) -> None:
    done = edgeflow("run", "jobs.py:fulfil", "--id", "o1", "--input", ORDER)
    shown = edgeflow("show", "o1")
    listed = edgeflow("ls")

    for text in (done.err, shown.out, listed.out):
        assert "\x1b" not in text


def test_json_on_stdout_can_be_read_by_any_reader(edgeflow: Command) -> None:
    order = json.dumps({"id": "ü", "items": ["ß", "\u2028"]})
    done = edgeflow("run", "jobs.py:fulfil", "--input", order)

    assert done.value == ["SS", "\u2028"]
