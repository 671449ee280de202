"""A cold start imports what it needs, and nothing else: counted, not timed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# Whoever runs anything has imported asyncio: what that needs is not our cost.
SCRIPT = """
import sys
sys.path[:] = {path!r}
import asyncio
had = {{*sys.modules}}
{code}
print(*({{*sys.modules}} - had))
"""

NEEDED = "from edgeflow import App, Context, Stop, step, workflow"
RUN = """
import sys
from edgeflow import App, Context, step, workflow

@step
async def work(number: int) -> dict[str, int]:
    return {"number": number}

@workflow
async def one(ctx: Context, number: int) -> dict[str, int]:
    return await work(number)

async def main() -> None:
    async with App(sys.argv[1], workflows=[one]) as app:
        assert await app.run(one, 1, id="i") == {"number": 1}

asyncio.run(main())
"""
APP = "from edgeflow import App; App('memory:')"
HANDLER = """
from edgeflow import App, Context
app = App("memory:")

@app.handler
async def checkout(ctx: Context, order: dict[str, int]) -> None: ...
"""

# Modules of ours, and a few more: who adds one may raise it, knowing 0.2 ms each.
MOST_FOR_NAMES = 116
MOST_FOR_A_RUN = 118

NEVER = {
    "anyio",
    "concurrent.futures.process",
    "concurrent.futures.thread",
    "difflib",
    "email",
    "hmac",
    "http",
    "importlib.metadata",
    "importlib.resources",
    "multiprocessing",
    "shutil",
    "statistics",
    "structlog",
    "tempfile",
    "tomllib",
    "urllib.request",
    "zipfile",
}
"""Costly, and of no use to a run."""
if sys.version_info >= (3, 13):  # before, pathlib needs it
    NEVER.add("urllib.parse")
NOT_FOR_NAMES = NEVER | {"aiosqlite", "json", "orjson", "pathlib", "sqlite3", "uuid"}
OUR_ADAPTERS = {
    "edgeflow_asgi",
    "edgeflow_azure",
    "edgeflow_google",
    "edgeflow_kv",
    "edgeflow_lambda",
    "edgeflow_memory",
    "edgeflow_postgres",
    "edgeflow_process",
    "edgeflow_sqlite",
    "edgeflow_vercel",
}


def imported_by(code: str, directory: Path, *args: str, **environ: str) -> set[str]:
    """What `code` has imported at its end, besides asyncio and what that needs."""
    script = SCRIPT.format(path=sys.path, code=code)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env=environ,
    )
    assert not done.returncode, done.stderr
    return set(done.stdout.split())


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "edgeflow"}


def adapters(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} & OUR_ADAPTERS


def test_import_edgeflow_imports_next_to_nothing(tmp_path: Path) -> None:
    assert imported_by("import edgeflow", tmp_path) == {"__future__", "edgeflow"}


def test_the_names_of_a_program_are_bounded(tmp_path: Path) -> None:
    loaded = imported_by(NEEDED, tmp_path)

    assert loaded.isdisjoint(NOT_FOR_NAMES), loaded & NOT_FOR_NAMES
    assert adapters(loaded) == set()
    assert not {name for name in loaded if name.startswith("edgeflow.ingress")}
    assert not {name for name in loaded if name.startswith("edgeflow.testing")}
    assert "edgeflow.handlers" not in loaded
    assert len(ours(loaded)) <= MOST_FOR_NAMES


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_first_run_is_bounded(tmp_path: Path, store: str) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]", "utf-8")
    url = "memory:" if store == "memory" else f"sqlite:///{tmp_path}/a.db"

    loaded = imported_by(RUN, tmp_path, url)

    assert loaded.isdisjoint(NEVER), loaded & NEVER
    assert adapters(loaded) == {"edgeflow_process", f"edgeflow_{store}"}
    assert not {name for name in loaded if name.startswith("edgeflow.ingress")}
    assert "edgeflow_process._entry" not in loaded
    assert len(ours(loaded)) <= MOST_FOR_A_RUN
    if store == "memory":
        assert "pathlib" not in loaded


@pytest.mark.parametrize(
    ("variable", "value", "package"),
    [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1", "lambda"),
        ("FUNCTIONS_WORKER_RUNTIME", "python", "azure"),
        ("K_SERVICE", "shop", "google"),
        ("VERCEL", "1", "vercel"),
    ],
)
def test_of_all_platforms_only_the_one_that_is_seen_is_imported(
    tmp_path: Path, variable: str, value: str, package: str
) -> None:
    loaded = imported_by(APP, tmp_path, **{variable: value})

    found = adapters(loaded) - {"edgeflow_asgi"}  # some build on it
    assert found == {f"edgeflow_{package}", "edgeflow_memory"}
    assert "importlib.metadata" not in loaded


def test_a_handler_imports_what_lets_requests_in(tmp_path: Path) -> None:
    loaded = imported_by(HANDLER, tmp_path)

    assert {"edgeflow.handlers", "edgeflow.ingress.endpoint"} <= loaded
    assert adapters(loaded) == {"edgeflow_process", "edgeflow_memory"}
