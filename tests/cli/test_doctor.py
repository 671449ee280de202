"""`edgeflow doctor`: what was chosen, why, and whether it works."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    class Command(Protocol):
        def __call__(self, *words: str) -> Any: ...


@pytest.fixture(autouse=True)
def no_variables(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory at which the search for a file ends, and nothing set."""
    (project / ".git").mkdir()
    for name in os.environ:
        if name.startswith("EDGEFLOW_"):
            monkeypatch.delenv(name)


def checks(done: Any) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for each in done.value:
        found.setdefault(each["check"], []).append((each["verdict"], each["text"]))
    return found


def test_in_an_empty_directory_all_is_well_and_nothing_is_made(
    edgeflow: Command, project: Path
) -> None:
    before = set(project.iterdir())

    done = edgeflow("doctor", "--json")
    found = checks(done)

    assert done.code == 0
    assert found["platform"] == [("good", "process: nothing else was detected")]
    assert found["config"] == [("good", "no file; all settings are the defaults")]
    assert found["shutdown"] == [
        ("good", "hears SIGTERM and SIGINT; running steps get 8 s")
    ]
    assert found["store"][0] == (
        "good",
        (
            "sqlite:///edgeflow.db: there is no file edgeflow.db yet; "
            "the first run makes it"
        ),
    )
    assert set(project.iterdir()) == before


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001", "aws-lambda"),
        ("K_SERVICE", "shop", "google"),
        ("VERCEL", "1", "vercel"),
        ("FUNCTIONS_WORKER_RUNTIME", "python", "azure-functions"),
    ],
)
def test_it_says_which_platform_was_detected_and_by_what(
    edgeflow: Command,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    name: str,
) -> None:
    monkeypatch.setenv(variable, value)

    done = edgeflow("doctor", "--json")
    [(verdict, text)] = checks(done)["platform"]

    assert done.code == 0
    assert verdict == "good"
    assert text.startswith(f"{name}: {variable} is ")


def test_a_platform_that_was_asked_for_is_named_with_where(
    edgeflow: Command, project: Path
) -> None:
    (project / "edgeflow.toml").write_text('platform = "asgi"\ngrace = 3\n', "utf-8")

    found = checks(edgeflow("doctor", "--json"))

    assert found["platform"] == [("good", "asgi: edgeflow.toml")]
    assert found["wake-up"] == [
        ("good", "by this process, as long as it is up"),
    ]
    assert found["shutdown"][0][1].endswith("running steps get 3 s")


def test_what_is_misspelt_is_noted(
    edgeflow: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFLOW_STOER", "sqlite:///x.db")
    (project / "edgeflow.toml").write_text("[platform.aws-lamda]\ngrace = 3\n", "utf-8")

    done = edgeflow("doctor", "--json")
    notes = [text for verdict, text in checks(done)["config"] if verdict == "note"]

    assert done.code == 0
    assert notes[0] == "EDGEFLOW_STOER is set, but there is no such setting"
    assert notes[1].startswith(
        "there is a table for the platform 'aws-lamda', which is not installed: "
    )


def test_a_store_that_does_not_work_is_a_failure(
    edgeflow: Command, project: Path
) -> None:
    with closing(sqlite3.connect(project / "other.db")) as db:
        db.execute("create table theirs(x)")

    done = edgeflow("doctor", "--json", "--store", "sqlite:///other.db")

    assert done.code == 1
    assert checks(done)["store"] == [
        (
            "bad",
            (
                "sqlite:///other.db: other.db is the database of another program: "
                "name a new file"
            ),
        )
    ]


def test_a_wake_up_that_is_set_up_in_part_is_a_failure(
    edgeflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFLOW_PLATFORM", "google")
    monkeypatch.setenv("EDGEFLOW_URL", "https://shop.example")

    done = edgeflow("doctor", "--json")
    [(verdict, text)] = checks(done)["wake-up"]

    assert done.code == 1
    assert verdict == "bad"
    assert "queue" in text


def test_a_store_that_promises_less_says_so(edgeflow: Command) -> None:
    found = checks(edgeflow("doctor", "--json", "--store", "memory:"))
    normal = checks(
        edgeflow("doctor", "--json", "--store", "sqlite:///x.db?synchronous=normal")
    )

    assert ("note", "it lives and ends with this process: for tests") in found["store"]
    assert (
        "note",
        "what was acknowledged may be lost when its machine fails or loses power",
    ) in normal["store"]


def test_a_blocked_instance_is_noted(edgeflow: Command) -> None:
    assert edgeflow("run", "jobs.py:breaks_rules", "--id", "b").code == 1

    found = checks(edgeflow("doctor", "--json", "--app", "jobs.py"))

    blocked = "an instance is blocked, see edgeflow ls --status blocked"
    assert found["store"][1] == ("note", blocked)


def test_a_store_is_tried_out_and_left_as_it_was(edgeflow: Command) -> None:
    # N-02 N-03
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    before = edgeflow("ls").out

    done = edgeflow("doctor", "--json")
    found = checks(done)["store"]

    assert done.code == 0
    assert found[0][1].startswith("sqlite:///edgeflow.db: opened and read in ")
    assert found[1][1].startswith(f"SQLite {sqlite3.sqlite_version}")
    assert found[2] == ("good", "a write-ahead log, synced at each commit")
    assert found[-2][1].startswith("tried out: a second start, a taken number and ")
    assert found[-2][1].endswith(" ms")
    assert edgeflow("ls").out == before
    with closing(sqlite3.connect("edgeflow.db")) as db:
        for table in ("ef_head", "ef_frame", "ef_inbox"):
            rows = db.execute(f"select * from {table}").fetchall()
            assert "doctor" not in str(rows)


def test_who_must_not_write_has_it_read_only(edgeflow: Command, project: Path) -> None:
    edgeflow("run", "jobs.py:nap", "--id", "n1")
    with closing(sqlite3.connect(project / "edgeflow.db")) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    before = (project / "edgeflow.db").read_bytes()

    done = edgeflow("doctor", "--json", "--read-only")

    assert done.code == 0
    assert not any("tried out" in text for _, text in checks(done)["store"])
    assert (project / "edgeflow.db").read_bytes() == before
    assert not (project / "edgeflow.db-wal").exists()


def test_a_store_that_breaks_its_promises_is_a_failure(
    edgeflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # N-02
    async def forgets(self: MemoryStore, instance: str) -> None: ...

    monkeypatch.setattr(MemoryStore, "load", forgets)

    done = edgeflow("doctor", "--json", "--store", "memory:")

    assert done.code == 1
    assert any(
        verdict == "bad" and "an instance is not there after its start" in text
        for verdict, text in checks(done)["store"]
    )


def test_people_get_a_line_for_each_with_a_sign(edgeflow: Command) -> None:
    done = edgeflow("doctor")
    lines = done.out.splitlines()

    assert done.code == 0
    assert lines[0].startswith("✓ edgeflow    ")
    assert any(line.startswith("◷ wake-up     nobody wakes") for line in lines)
    assert len({line[14:] for line in lines}) == len(lines)


def test_a_bad_setting_is_a_mistake_in_the_command(
    edgeflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFLOW_GRACE", "soon")

    done = edgeflow("doctor")

    assert done.code == 2
    assert "EDGEFLOW_GRACE" in done.error
