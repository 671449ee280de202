"""`edgeflow copy`: what it copies, says and refuses; how it goes on after a kill."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

Command: TypeAlias = Callable[..., Any]
Start: TypeAlias = Callable[..., "subprocess.Popen[str]"]

HERE = "sqlite:///edgeflow.db"
THERE = "sqlite:///there.db"
COPY = ("copy", HERE, THERE)


SECRET = """
from edgeflow import App, Context


class Backwards:
    def encode(self, data: bytes) -> bytes:
        return data[::-1]

    decode = encode


app = App(codec=Backwards())


@app.workflow
async def approval(ctx: Context) -> object:
    message = await ctx.receive("yes", "no")
    return {message.name: message.body}
"""


def results(done: Any) -> dict[str, str]:
    found = [json.loads(line) for line in done.out.splitlines()]
    return {each["id"]: each["result"] for each in found}


def ids(edgeflow: Command, store: str = THERE, *words: str) -> list[str]:
    out = edgeflow("ls", "--json", "--store", store, *words).out
    return [json.loads(line)["id"] for line in out.splitlines()]


@pytest.fixture
def three(edgeflow: Command) -> None:
    """A finished instance, one that waits for a message, one that failed."""
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    edgeflow("run", "jobs.py:approval", "--id", "a1", "--once")
    edgeflow("run", "jobs.py:fails", "--id", "f1")


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("there", [THERE, "files:///there"])
def test_all_instances_are_copied_and_go_on_there(
    edgeflow: Command, there: str
) -> None:
    # G8 G10
    done = edgeflow("copy", HERE, there)

    assert (done.code, done.out, done.err) == (0, "", "3 copied\n")
    assert edgeflow("ls", "--store", there).out == edgeflow("ls").out
    assert edgeflow("send", "a1", "yes", "3", "--store", there).code == 0
    went = edgeflow("run", "jobs.py:approval", "--id", "a1", "--store", there)
    assert went.value == {"yes": 3}
    assert edgeflow("run", "jobs.py:nap", "--id", "n1", "--store", there).code == 0


@pytest.mark.usefixtures("three")
def test_what_is_there_already_is_passed_over(edgeflow: Command) -> None:
    edgeflow(*COPY, "--id", "n1")
    done = edgeflow(*COPY, "--json")

    assert results(done) == {"a1": "copied", "f1": "copied", "n1": "same"}
    assert edgeflow(*COPY).err == "3 there already\n"


@pytest.mark.usefixtures("three")
def test_some_are_chosen_by_workflow_status_or_id(edgeflow: Command) -> None:
    assert list(results(edgeflow(*COPY, "--json", "--status", "failed"))) == ["f1"]
    assert list(results(edgeflow(*COPY, "--json", "--workflow", "nap"))) == ["n1"]
    assert list(results(edgeflow(*COPY, "--json", "--id", "a1", "--id", "a1"))) == [
        "a1"
    ]
    assert ids(edgeflow) == ["a1", "f1", "n1"]


@pytest.mark.usefixtures("three")
def test_what_is_moved_is_only_there(edgeflow: Command) -> None:
    done = edgeflow(*COPY, "--move")

    assert (done.code, done.err) == (0, "3 moved\n")
    assert ids(edgeflow, HERE) == []
    assert ids(edgeflow) == ["a1", "f1", "n1"]
    again = edgeflow(*COPY, "--move", "--id", "a1", "--json")
    assert again.value == {
        "id": "a1",
        "result": "same",
        "text": "only the other store has it: it was moved",
    }


@pytest.mark.usefixtures("three")
def test_what_is_left_alone_is_named_and_fails_the_command(edgeflow: Command) -> None:
    edgeflow(*COPY)
    edgeflow("cancel", "a1", "--store", THERE)
    done = edgeflow(*COPY, "--id", "a1", "--id", "n1", "--id", "nobody")

    assert done.code == 1
    assert done.err.splitlines() == [
        "✗ a1  differs",
        (
            "  here it is suspended at frame 3, in the other store suspended at frame "
            "4: --replace takes the one from here"
        ),
        "✗ nobody  refused",
        "  there is no such instance",
        "1 there already, 2 left alone",
    ]
    assert edgeflow(*COPY, "--replace").err == "1 copied, 2 there already\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("copy", HERE, HERE), "both are one and the same store: name two"),
        (("copy", HERE, "sqlite:///./edgeflow.db"), "both are one and the same store"),
        ((*COPY, "--store", THERE), "copy names its two stores by themselves"),
        ((*COPY, "--id", "a", "--workflow", "w"), "name instances by --id, or choose"),
        (("copy", HERE, "nowhere:"), "no installed store is called 'nowhere'"),
    ],
)
@pytest.mark.usefixtures("three")
def test_a_mistake_in_the_command_is_said_in_one_line(
    edgeflow: Command, words: tuple[str, ...], told: str
) -> None:
    done = edgeflow(*words)

    assert done.code == 2
    assert done.error.startswith(told)


def test_a_store_to_copy_from_is_not_made(edgeflow: Command, project: Path) -> None:
    before = set(project.iterdir())
    done = edgeflow(*COPY)

    assert done.code == 1
    assert done.error == "there is no such store: there is no file edgeflow.db"
    assert set(project.iterdir()) == before


def test_a_directory_to_copy_from_is_not_made(edgeflow: Command, project: Path) -> None:
    before = set(project.iterdir())
    done = edgeflow("copy", "files:///data", "sqlite:///new.db")

    assert done.code == 1
    told = "there is no such store: there is no store in the directory data"
    assert done.error == told
    assert set(project.iterdir()) == before


def test_an_empty_store_has_no_instances(edgeflow: Command) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    edgeflow("rm", "n1")
    done = edgeflow(*COPY)

    assert (done.code, done.err) == (0, "no instances\n")


def test_the_codec_of_an_app_is_used(edgeflow: Command, project: Path) -> None:
    (project / "secret.py").write_text(SECRET, "utf-8")
    edgeflow("run", "secret.py:approval", "--id", "a1", "--once")

    refused = edgeflow(*COPY, "--json")
    done = edgeflow(*COPY, "--json", "--app", "secret.py")

    assert refused.code == 1
    assert refused.value["text"].endswith("name the App by --app")
    assert results(done) == {"a1": "copied"}
    edgeflow("send", "a1", "no", "--store", THERE, "--app", "secret.py")
    went = edgeflow("run", "secret.py:approval", "--id", "a1", "--store", THERE)
    assert went.value == {"no": None}


MANY = 150


def many(edgeflow: Command, project: Path) -> None:
    """Instances enough to kill a copy of them in the middle."""
    edgeflow("run", "jobs.py:approval", "--id", "a", "--once")
    edgeflow("send", "a", "maybe", "--id", "m")
    with closing(sqlite3.connect(project / "edgeflow.db")) as db:
        for number in range(MANY):
            for table in ("ef_head", "ef_frame", "ef_inbox"):
                names = [row[1] for row in db.execute(f"pragma table_info({table})")]
                if table == "ef_inbox":
                    names.remove("n")
                own = "id" if table == "ef_head" else "instance"
                picked = ", ".join(f"'a{number}'" if n == own else n for n in names)
                db.execute(
                    f"insert into {table}({', '.join(names)}) "
                    f"select {picked} from {table} where {own} = 'a'"
                )
        db.commit()


def count(project: Path) -> int:
    """How many instances have arrived by now."""
    if not (project / "there.db").exists():
        return 0
    try:
        with closing(sqlite3.connect(project / "there.db")) as db:
            [(found,)] = db.execute("select count(*) from ef_head")
    except sqlite3.OperationalError:  # it is just being made
        return 0
    return int(found)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", [(), ("--move",)])
def test_killed_at_any_moment_the_same_command_brings_the_rest(
    edgeflow: Command, start: Start, project: Path, how: tuple[str, ...]
) -> None:
    # G3 G5 G11
    many(edgeflow, project)
    everything = set(ids(edgeflow, HERE))
    shown = [edgeflow("show", "a7", "--json").value["history"]]
    for wanted in (1, 40, 90):
        process = start(*COPY, *how)
        end = time.monotonic() + 20
        while count(project) < wanted and process.poll() is None:
            assert time.monotonic() < end, "it took too long"
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert everything == {*ids(edgeflow, HERE), *ids(edgeflow, THERE)}

    done = edgeflow(*COPY, *how, "--json")

    assert done.code == 0
    assert set(ids(edgeflow)) == everything
    assert ids(edgeflow, HERE) == ([] if how else sorted(everything))
    there = edgeflow("show", "a7", "--json", "--store", THERE).value
    assert [there["history"]] == shown
    assert [message["id"] for message in there["inbox"]] == ["m"]
