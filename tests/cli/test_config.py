"""`edgeflow config`: what is in force, where it comes from, what is not printed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from edgeflow.config import KEYS

if TYPE_CHECKING:
    from pathlib import Path

    class Command(Protocol):
        def __call__(self, *words: str) -> Any: ...


SHOP = """
from edgeflow import App
from edgeflow_memory import MemoryStore

app = App(MemoryStore(), grace=5, version="v1")
"""


@pytest.fixture(autouse=True)
def no_variables(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory at which the search ends, and nothing set."""
    (project / ".git").mkdir()
    for name in os.environ:
        if name.startswith("EDGEFLOW_"):
            monkeypatch.delenv(name)


def rows_of(text: str) -> dict[str, list[str]]:
    rows = (re.split(" {2,}", line) for line in text.splitlines() if line)
    return {row[0]: row[1:] for row in rows}


def test_config_without_a_file_is_a_table_of_defaults(edgeflow: Command) -> None:
    done = edgeflow("config")
    lines = done.out.splitlines()
    rows = rows_of(done.out)

    assert (done.code, done.err) == (0, "")
    assert rows["file"] == ["no file"]
    assert rows["platform"] == ["process (nothing else was detected)"]
    assert [line.split()[0] for line in lines if line] == [
        "file",
        "platform",
        *(key for key in KEYS if key != "platform"),
    ]
    assert rows["store"] == ["sqlite:///edgeflow.db", "default"]
    assert rows["max_dirty_bytes"] == ["256KiB", "default"]
    assert rows["version"] == ["none", "default"]
    assert len({line.index("default") for line in lines[3:]}) == 1


def test_config_says_where_each_value_comes_from(
    edgeflow: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project / "pyproject.toml"
    file.write_text(
        "[tool.edgeflow]\nlinger = '500ms'\npoll = 5\n"
        "[tool.edgeflow.platform.process]\npoll = 7\n",
        "utf-8",
    )
    monkeypatch.setenv("EDGEFLOW_LEASE", "1d")
    rows = rows_of(edgeflow("config", "--store", "memory:").out)

    assert rows["file"] == [str(file)]
    assert rows["linger"] == ["0.5s", "[tool.edgeflow]"]
    assert rows["poll"] == ["7s", "[tool.edgeflow.platform.process]"]
    assert rows["lease"] == ["1d", "EDGEFLOW_LEASE"]
    assert rows["store"] == ["memory:", "argument"]


def test_config_as_if_on_another_platform(edgeflow: Command, project: Path) -> None:
    (project / "edgeflow.toml").write_text(
        "poll = 5\n[platform.asgi]\npoll = 7\n", "utf-8"
    )
    here = rows_of(edgeflow("config").out)
    there = rows_of(edgeflow("config", "--platform", "asgi").out)

    assert here["poll"] == ["5s", "edgeflow.toml"]
    assert there["platform"] == ["asgi (argument)"]
    assert there["poll"] == ["7s", "[platform.asgi]"]


def test_config_of_an_app_counts_its_arguments(
    edgeflow: Command, project: Path
) -> None:
    (project / "shop.py").write_text(SHOP, "utf-8")
    (project / "edgeflow.toml").write_text("grace = 1\nmargin = 2", "utf-8")
    rows = rows_of(edgeflow("config", "--app", "shop.py").out)

    assert rows["grace"] == ["5s", "argument"]
    assert rows["margin"] == ["2s", "edgeflow.toml"]
    assert rows["version"] == ["v1", "argument"]
    assert rows["store"] == ["(MemoryStore)", "argument"]

    words = ("--store", "sqlite:///x.db", "--platform", "asgi")
    there = rows_of(edgeflow("config", "--app", "shop.py", *words).out)
    assert there["platform"] == ["asgi (argument)"]
    assert there["grace"] == ["5s", "argument"]
    assert there["store"] == ["sqlite:///x.db", "argument"]


def test_config_json_is_plain_values_with_their_origins(
    edgeflow: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFLOW_GRACE", "500ms")
    monkeypatch.setenv("EDGEFLOW_SERVICE_HOST", "10.0.0.1")
    without = edgeflow("config", "--json")
    file = project / "edgeflow.toml"
    file.write_text("", "utf-8")
    found = without.value

    assert without.err == ""
    assert found["settings"]["grace"] == {"value": 0.5, "origin": "EDGEFLOW_GRACE"}
    assert found["settings"]["version"] == {"value": None, "origin": "default"}
    assert found["settings"].keys() >= KEYS.keys()
    assert found["strangers"] == ["EDGEFLOW_SERVICE_HOST"]
    assert (found["platform"], found["file"]) == ("process", None)
    assert found["why"] == "nothing else was detected"
    assert edgeflow("config", "--json").value["file"] == str(file)


def test_config_never_prints_a_secret(
    edgeflow: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "edgeflow.toml").write_text("secret = 'hush-1'", "utf-8")
    monkeypatch.setenv("EDGEFLOW_STORE", "memory://ann:hush-2@host")
    table, json = edgeflow("config"), edgeflow("config", "--json")

    assert rows_of(table.out)["secret"] == ["(set)", "edgeflow.toml"]
    assert rows_of(table.out)["store"] == ["memory://ann:***@host", "EDGEFLOW_STORE"]
    assert json.value["settings"]["secret"]["value"] == "(set)"
    assert "hush" not in table.out + table.err + json.out + json.err


def test_config_warns_of_variables_that_no_setting_explains(
    edgeflow: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFLOW_GRASE", "1")
    done = edgeflow("config")

    assert done.code == 0
    assert done.err == "EDGEFLOW_GRASE is set, but there is no such setting here\n"


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        ((), "grase = 1", "grase is no setting (did you mean grace"),
        ((), "grace = 'soon'", "grace = 'soon' is not allowed: it has to be seconds"),
        ((), "grace = ", "is no TOML"),
        (("--app", "shop.py"), "grase = 1", "grase is no setting"),
        (("--platform", "moon"), "", "moon"),
    ],
)
def test_config_refuses_what_is_not_allowed_as_a_mistake(
    edgeflow: Command, project: Path, words: tuple[str, ...], text: str, message: str
) -> None:
    (project / "shop.py").write_text(SHOP, "utf-8")
    (project / "edgeflow.toml").write_text(text, "utf-8")
    done = edgeflow("config", *words)

    assert done.code == 2
    assert message in done.error


def test_config_fits_a_terminal_of_80_columns(
    edgeflow: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "sqlite:////var/lib/a-service-with-a-long-name/durable/instances.db"
    (project / "pyproject.toml").write_text(
        f"[tool.edgeflow.platform.process]\nstore = '{url}'\ngrace = 4\n", "utf-8"
    )
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    shown = edgeflow("config").out
    lines = re.sub(r"\x1b\[\d*m", "", shown).splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("store "))

    assert all(len(line) <= 80 for line in lines[place + 1 :])
    # A long value is there in full, and its origin stands below it, in its column.
    assert lines[place].split() == ["store", url]
    origin = "[tool.edgeflow.platform.process]"
    assert lines[place + 1].split() == [origin]
    [grace] = (line for line in lines if line.startswith("grace "))
    assert grace.index(origin) == lines[place + 1].index(origin)
    assert "\x1b[2mdefault\x1b[0m" in shown
    assert f"\x1b[2m{origin}" not in shown
