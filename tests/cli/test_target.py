"""What a TARGET may be, and what is said if it is nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Command: TypeAlias = Callable[..., Any]

NAMES = "fulfil, nap, approval, fails, breaks_rules"
OFFER = f"it has the workflows {NAMES} and the App app"

ONE = """
from edgeflow import App, Context
app = App()
@app.workflow(name="by-name")
async def body(ctx: Context) -> str:
    return app.workflows[0].name
helper = 1
"""

BARE = """
from edgeflow import Context, workflow
@workflow
async def bare(ctx: Context) -> str:
    return "bare"
"""

HANDLED = """
from edgeflow import App, Context
shop = App()
@shop.handler(id="order_id", name="by-name")
async def checkout(ctx: Context) -> str:
    return shop.workflows[0].name
"""

ELSEWHERE = "from one import body as borrowed\n"


@pytest.fixture(autouse=True)
def modules(project: Path) -> None:
    texts = {"one": ONE, "bare": BARE, "handled": HANDLED, "elsewhere": ELSEWHERE}
    for name, text in texts.items():
        (project / f"{name}.py").write_text(text, "utf-8")
    (project / "sub").mkdir()
    (project / "sub" / "one.py").write_text(ONE, "utf-8")


@pytest.mark.parametrize(
    "target",
    [
        "one:body",
        "one:app",
        "one:by-name",
        "one",
        "one.py",
        "one.py:body",
        "./one.py:app",
        "sub/one.py",
        "elsewhere:borrowed",
        "bare:bare",
        "bare.py",
        "handled:checkout",
        "handled.py:checkout",
        "handled.py:by-name",
        "handled:shop",
        "handled",
    ],
)
def test_a_target_is_a_module_or_a_file_and_a_workflow_or_an_app(
    edgeflow: Command, target: str
) -> None:
    done = edgeflow("run", target)

    assert done.code == 0, done.err
    assert done.value == ("bare" if "bare" in target else "by-name")


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("nothing:x", "there is no module 'nothing'"),
        ("nothing.at.all:x", "there is no module 'nothing'"),
        ("no/such.py:x", "there is no file no/such.py"),
        ("a-b:x", "'a-b' names no module: write module:attr or path/to/file.py:attr"),
        ("jobs.py:napp", f"jobs has no 'napp'; {OFFER}"),
        ("jobs:", f"say which workflow, as jobs:attr; {OFFER}"),
        ("jobs.py", f"say which workflow, as jobs.py:attr; {OFFER}"),
        (
            "jobs.py:app",
            f"say which workflow of the App jobs.py:app: it has {NAMES}",
        ),
        ("jobs:helper", f"jobs:helper (function) is no workflow; {OFFER}"),
        (
            "os:path",
            "os:path (module) is no workflow; it has neither a workflow nor an App",
        ),
    ],
)
def test_a_target_that_is_nothing_is_one_line_with_what_there_is(
    edgeflow: Command, target: str, error: str
) -> None:
    done = edgeflow("run", target)

    assert (done.code, done.error) == (2, error)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import gone", "ModuleNotFoundError: No module named 'gone' ("),
        ("1 / 0", "ZeroDivisionError: division by zero ("),
        ("def", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("raise SystemExit('bye')", "SystemExit: bye ("),
    ],
)
@pytest.mark.parametrize("target", ["broken:x", "broken.py:x"])
def test_a_module_that_fails_is_one_line_with_the_place(
    edgeflow: Command, project: Path, target: str, code: str, error: str
) -> None:
    (project / "broken.py").write_text(code, "utf-8")
    done = edgeflow("run", target)
    place = target.removesuffix(":x")

    assert done.code == 2
    assert done.error.startswith(f"{place} cannot be imported: {error}")
    assert "line 1)" in done.error


def test_a_file_finds_the_modules_beside_it(edgeflow: Command, project: Path) -> None:
    (project / "sub" / "beside.py").write_text("NAME = 'beside'\n", "utf-8")
    (project / "sub" / "user.py").write_text(
        "import beside\n" + BARE.replace('"bare"', "beside.NAME"), "utf-8"
    )

    assert edgeflow("run", "sub/user.py").out == '"beside"\n'


def test_a_file_may_have_the_name_of_a_module_that_is_imported(
    edgeflow: Command, project: Path
) -> None:
    (project / "asyncio.py").write_text(BARE, "utf-8")

    assert edgeflow("run", "asyncio.py").out == '"bare"\n'


def test_an_app_for_a_worker_is_found_in_the_same_way(edgeflow: Command) -> None:
    codes = [
        edgeflow("run-due", "--app", target).code
        for target in ("one", "one.py:app", "one:body", "bare.py", "elsewhere:borrowed")
    ]
    wrong = edgeflow("run-due", "--app", "one:helper")
    none = edgeflow("run-due", "--app", "os")

    assert codes == [0] * 5
    assert wrong.error == (
        "one:helper (int) is no App; it has the workflow body and the App app"
    )
    assert none.error == "os has no App; it has neither a workflow nor an App"


def loaded_by(code: str) -> set[str]:
    # -S: a .pth file, of coverage or an editor, would load modules of its own.
    script = f"import sys\nsys.path[:] = {sys.path!r}\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["nonsense"], []])
def test_help_and_mistakes_load_nothing_costly(words: list[str]) -> None:
    loaded = loaded_by(f"from edgeflow.cli import main\nmain({words!r})")

    assert "edgeflow.cli" in loaded
    assert loaded.isdisjoint({"asyncio", "sqlite3", "orjson", "structlog", "anyio"})
    assert "edgeflow.app" not in loaded
