"""`ls`, `show`, `send`, `wake`, `rm`, `run-due`: what they do, show and refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Command: TypeAlias = Callable[..., Any]

ORDER = '{"id": "7", "items": ["a", "b"]}'


def lines_of(text: str) -> list[str]:
    return [re.sub(" +", " ", line).rstrip() for line in text.splitlines()]


# --- ls ---------------------------------------------------------------------------


def test_ls_is_a_table_of_what_each_instance_waits_for(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    edgeflow("run", "jobs.py:approval", "--id", "a1", "--once")
    done = edgeflow("ls")
    rows = [re.split(" {2,}", line) for line in done.out.splitlines()]

    assert done.code == 0
    assert rows[0] == ["ID", "WORKFLOW", "STATUS", "UPDATED", "WAITS FOR"]
    assert [row[:3] for row in rows[1:]] == [
        ["a1", "approval", "suspended"],
        ["n1", "nap", "completed"],
    ]
    assert rows[1][3].endswith(" ago")
    assert rows[1][4].startswith("message yes or no, or due ")
    assert len(rows[2]) == 4


def test_ls_columns_stand_below_each_other(edgeflow: Command) -> None:
    for name in ("x", "日本語", "a-long-name"):
        edgeflow("run", "jobs.py:nap", "--id", name)
    titles, *rows = edgeflow("ls").out.splitlines()

    # Each of the three wide characters takes two columns.
    assert titles.index("WORKFLOW") == 13
    assert sorted(row.index("nap") for row in rows) == [10, 13, 13]


def test_ls_filters_by_workflow_and_status(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    edgeflow("run", "jobs.py:nap", "--id", "n2", "--once")
    edgeflow("run", "jobs.py:fails", "--id", "f1")

    def ids(*words: str) -> list[str]:
        out = edgeflow("ls", "--json", *words).out
        return [json.loads(line)["id"] for line in out.splitlines()]

    assert ids() == ["f1", "n1", "n2"]
    assert ids("--workflow", "nap") == ["n1", "n2"]
    assert ids("--status", "failed") == ["f1"]
    assert ids("--workflow", "nap", "--status", "suspended") == ["n2"]
    assert ids("--workflow", "other") == []


def test_ls_json_is_a_line_for_each_instance(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:approval", "--id", "a1", "--once")
    [line] = edgeflow("ls", "--json").out.splitlines()
    found = json.loads(line)

    assert found.pop("updated") < found.pop("wake_at")
    assert found == {
        "id": "a1",
        "workflow": "approval",
        "status": "suspended",
        "awaiting": ["yes", "no"],
    }


def test_ls_of_many_instances_shows_all_of_them(edgeflow: Command) -> None:
    for number in range(3):
        edgeflow("run", "jobs.py:nap", "--id", f"n{number}")
    edgeflow("rm", "n1")
    empty = edgeflow("ls", "--status", "blocked")

    assert len(edgeflow("ls").out.splitlines()) == 3
    assert (empty.code, empty.out, empty.err) == (0, "", "no instances\n")


def test_ls_refuses_a_status_that_does_not_exist(edgeflow: Command) -> None:
    done = edgeflow("ls", "--status", "asleep")

    assert done.code == 2
    assert "invalid choice: 'asleep'" in done.error


# --- show -------------------------------------------------------------------------


def test_show_is_the_journal_as_a_person_reads_it(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:fulfil", "--id", "o1", "--input", ORDER)
    done = edgeflow("show", "o1")
    lines = lines_of(done.out)

    assert done.code == 0
    assert lines[:2] == ["✓ o1 fulfil completed", ""]
    assert lines[2].startswith("started 2023-11-14 ")
    assert lines[3].startswith("ended 2023-11-14 ")
    assert lines[4:] == [
        'progress {"of": 2}',
        'input {"id": "7", "items": ["a", "b"]}',
        'output ["A", "B"]',
        "",
        '✓ charge 0 ms 2 attempts {"payment": "p_1"}',
        "✓ packing scope",
        "├─ ✓ status",
        '├─ ✓ pack[0] 0 ms "A"',
        '└─ ✓ pack[1] 0 ms "B"',
        "",
        "state",
        ' charged "7"',
    ]


def test_show_says_what_a_suspended_instance_waits_for_and_retries(
    edgeflow: Command,
) -> None:
    edgeflow("run", "jobs.py:fulfil", "--id", "o1", "--input", ORDER, "--once")
    lines = lines_of(edgeflow("show", "o1").out)

    assert lines[0] == "◷ o1 fulfil suspended"
    assert any(line.startswith("waits for due ") for line in lines)
    assert any(
        re.fullmatch(r"↻ charge 0 ms 1 attempt retry due .* ago \(2023.*\)", line)
        for line in lines
    )
    assert r" ConnectionError: refused \x1b[31mred" in lines


def test_show_says_why_an_instance_failed(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:fails", "--id", "f1")
    lines = lines_of(edgeflow("show", "f1").out)

    assert lines[0] == "✗ f1 fails failed"
    assert (
        "error edgeflow.errors.StepError: step 'doomed' failed (fatal) "
        "after 1 attempt: edgeflow.errors.FatalError: no way"
    ) in lines
    assert "✗ doomed 0 ms 1 attempt" in lines
    assert " edgeflow.errors.FatalError: no way" in lines


def test_show_names_the_unread_messages_and_those_received(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:approval", "--id", "a1", "--once")
    edgeflow("send", "a1", "later")
    edgeflow("send", "a1", "later")
    edgeflow("send", "a1", "yes", '{"by": "me"}')
    before = lines_of(edgeflow("show", "a1").out)
    edgeflow("run", "jobs.py:approval", "--id", "a1")
    after = lines_of(edgeflow("show", "a1").out)

    assert "inbox later (2), yes" in before
    assert '✓ receive [{"yes": {"by": "me"}}]' in after
    assert "inbox later (2)" in after


def test_show_json_is_everything(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:fulfil", "--id", "o1", "--input", ORDER)
    found = edgeflow("show", "o1", "--json").value

    assert set(found) == {"info", "history", "state", "inbox", "journal"}
    assert found["info"]["output"] == ["A", "B"]
    assert found["info"]["status"] == "completed"
    assert [entry["name"] for entry in found["history"]] == [
        "charge",
        "status",
        "pack",
        "pack",
        "packing",
    ]
    assert found["history"][3]["path"] == [["scope", "packing", 0], ["step", "pack", 1]]
    assert found["state"] == {"charged": "7"}


# --- send, wake, rm ----------------------------------------------------------------


def test_a_message_that_is_sent_is_received(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:approval", "--id", "a1", "--once")
    sent = edgeflow("send", "a1", "yes", '{"by": "me"}', "--id", "m1")
    woken = edgeflow("wake", "a1", "--app", "jobs.py")

    assert (sent.code, sent.out) == (0, "")
    assert sent.err == "sent 'yes' to 'a1' as message m1\n"
    assert (woken.code, woken.out) == (0, '{"yes": {"by": "me"}}\n')
    assert woken.err == "↓ message in receive\n"


def test_a_message_with_a_known_id_is_sent_once(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:approval", "--id", "a1", "--once")
    answers = [
        edgeflow("send", "a1", "later", "--id", "m1", "--json").value for _ in range(2)
    ]
    said = edgeflow("send", "a1", "later", "--id", "m1")

    assert answers == [
        {"to": "a1", "id": "m1", "sent": True},
        {"to": "a1", "id": "m1", "sent": False},
    ]
    assert (said.code, said.err) == (
        0,
        "message m1 was sent before; nothing changed\n",
    )
    assert len(edgeflow("show", "a1", "--json").value["inbox"]) == 1


def test_a_message_may_be_sent_early_on_demand(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap")
    refused = edgeflow("send", "a1", "yes", "1")
    early = edgeflow("send", "a1", "yes", "1", "--early")
    done = edgeflow("run", "jobs.py:approval", "--id", "a1")

    assert (refused.code, early.code) == (2, 0)
    assert done.out == '{"yes": 1}\n'


def test_a_message_to_an_instance_that_has_ended_is_one_line(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    done = edgeflow("send", "n1", "yes")

    assert done.code == 1
    assert done.error == "instance 'n1' has ended and takes no messages"


@pytest.mark.parametrize(
    "words",
    [
        ["send", "a1", "yes", "{bad"],
        ["send", "a1", "yes", "18446744073709551616"],
        ["send", "a1", ""],
        ["send", "a1", "yes", "--id", ""],
        ["send", "a1"],
        ["send"],
    ],
)
def test_a_message_that_cannot_be_sent_is_one_line(
    edgeflow: Command, words: list[str]
) -> None:
    edgeflow("run", "jobs.py:approval", "--id", "a1", "--once")
    done = edgeflow(*words)

    assert done.code == 2
    assert done.error
    assert edgeflow("show", "a1", "--json").value["inbox"] == []


def test_wake_of_an_instance_that_is_not_due_runs_nothing(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1", "--once")
    before = edgeflow("show", "n1", "--json").value["info"]["updated"]
    done = edgeflow("wake", "n1", "--app", "jobs.py", "--json")
    after = edgeflow("show", "n1", "--json").value["info"]["updated"]

    assert (done.code, done.value["status"]) == (3, "suspended")
    assert before == after


def test_wake_exits_as_the_instance_ended(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:fails", "--id", "f1")
    done = edgeflow("wake", "f1", "--app", "jobs.py")

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("edgeflow: instance 'f1' has failed: ")


def test_rm_forgets_an_instance_and_asks_nothing(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    edgeflow("run", "jobs.py:nap", "--id", "n2", "--once")
    done = edgeflow("rm", "n1", "n2")

    assert (done.code, done.err) == (0, "forgot 'n1'\nforgot 'n2'\n")
    assert edgeflow("ls").out == ""


def test_rm_of_an_unknown_instance_removes_nothing(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    done = edgeflow("rm", "n1", "n2")

    assert done.code == 2
    assert done.error == "no instance has the id 'n2' in this store"
    assert edgeflow("show", "n1").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["show", "nobody"],
        ["send", "nobody", "yes"],
        ["rm", "nobody"],
        ["wake", "nobody", "--app", "jobs.py"],
    ],
)
def test_an_unknown_id_is_one_line(edgeflow: Command, words: list[str]) -> None:
    edgeflow("run", "jobs.py:nap")
    done = edgeflow(*words)

    assert done.code == 2
    assert done.error == "no instance has the id 'nobody' in this store"


# --- stores -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["show", "n1"],
        ["send", "n1", "yes"],
        ["rm", "n1"],
        ["wake", "n1", "--app", "jobs.py"],
        ["ls", "--app", "jobs.py"],
    ],
)
def test_looking_into_a_store_that_does_not_exist_does_not_make_it(
    edgeflow: Command, project: Path, words: list[str]
) -> None:
    done = edgeflow(*words)

    assert done.code == 1
    assert done.error == "there is no such store: there is no file edgeflow.db"
    assert not (project / "edgeflow.db").exists()


def test_a_store_is_named_by_option_app_environment_or_default(
    edgeflow: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "own.py").write_text(
        "from edgeflow import App, Context\n"
        "from edgeflow_sqlite import SqliteStore\n"
        "app = App(SqliteStore('own.db'))\n"
        "@app.workflow\n"
        "async def w(ctx: Context) -> None: ...\n",
        "utf-8",
    )
    edgeflow("run", "own.py", "--id", "own")
    edgeflow("run", "own.py", "--id", "other", "--store", "sqlite:///other.db")
    edgeflow("run", "jobs.py:nap", "--id", "default")
    monkeypatch.setenv("EDGEFLOW_STORE", "sqlite:///environment.db")
    edgeflow("run", "jobs.py:nap", "--id", "environment")

    def ids(*words: str) -> list[str]:
        out = edgeflow("ls", "--json", *words).out
        return [json.loads(line)["id"] for line in out.splitlines()]

    assert ids() == ["environment"]
    assert ids("--app", "own.py") == ["own"]
    assert ids("--store", "sqlite:///other.db") == ["other"]
    assert ids("--app", "own.py", "--store", "sqlite:///other.db") == ["other"]
    monkeypatch.delenv("EDGEFLOW_STORE")
    assert ids() == ["default"]


# --- run-due ----------------------------------------------------------------------


def test_run_due_runs_what_is_due_and_says_what_became_of_it(
    edgeflow: Command,
) -> None:
    for name in ("a1", "a2", "a3"):
        edgeflow("run", "jobs.py:approval", "--id", name, "--once")
    edgeflow("send", "a1", "yes")
    edgeflow("send", "a2", "no")
    done = edgeflow("run-due", "--app", "jobs.py")

    assert (done.code, done.out) == (0, "")
    assert sorted(lines_of(done.err)) == [
        "ran 2 instances",
        "↓ a1 message in receive",
        "↓ a2 message in receive",
        "✓ a1 completed",
        "✓ a2 completed",
    ]


def test_run_due_takes_a_limit_and_gives_json_lines(edgeflow: Command) -> None:
    for name in ("a1", "a2"):
        edgeflow("run", "jobs.py:approval", "--id", name, "--once")
        edgeflow("send", name, "yes")
    first = edgeflow("run-due", "--app", "jobs.py", "--limit", "1", "--json")
    second = edgeflow("run-due", "--app", "jobs.py", "--json")

    found = [first.value, second.value]
    assert sorted(one["id"] for one in found) == ["a1", "a2"]
    assert {one["status"] for one in found} == {"completed"}
    assert edgeflow("run-due", "--app", "jobs.py").err == "ran 0 instances\n"


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_run_due_refuses_a_limit_that_is_none(edgeflow: Command, limit: str) -> None:
    done = edgeflow("run-due", "--app", "jobs.py", f"--limit={limit}")

    assert done.code == 2
    assert f"'{limit}' is not a number above 0" in done.error


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["run"], ["show"], ["run-due"], ["wake", "x"], ["rm"]]
)
def test_a_command_that_lacks_something_is_one_line(
    edgeflow: Command, words: list[str]
) -> None:
    done = edgeflow(*words)

    assert done.code == 2
    assert done.error.endswith("--help)")


def test_help_and_version_exit_with_0(edgeflow: Command) -> None:
    helped = edgeflow("run", "--help")
    version = edgeflow("--version")

    assert (helped.code, version.code) == (0, 0)
    assert "--input X" in helped.out
    assert re.fullmatch(r"edgeflow \d+\.\d+\.\d+\S*\n", version.out)
