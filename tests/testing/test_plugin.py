"""The pytest plugin, as a project meets it that has edgeflow installed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

OPTIONS = (
    *("-W", "error"),
    *("-p", "no:randomly"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
)

FOUR_WAYS = """
import asyncio

import pytest

from edgeflow import App, Context, workflow
from edgeflow.testing import Flow

YEAR = 365 * 86_400


@workflow
async def nap(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "awake"


@pytest.mark.asyncio
async def test_with_pytest_asyncio(flow):
    assert await flow.run(nap, YEAR) == "awake"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_with_anyio(flow, anyio_backend):
    assert await flow.run(nap, YEAR) == "awake"


def test_without_either(flow):
    assert asyncio.run(flow.run(nap, YEAR)) == "awake"


class TestOfOnesOwn:
    @pytest.fixture
    def flow(self):
        return Flow(App("memory:", workflows=[nap]))

    @pytest.mark.asyncio
    async def test_with_a_fixture_of_this_name(self, flow):
        assert flow.app.workflows == (nap,)
        assert await flow.run(nap, YEAR) == "awake"
"""

BAD_STORE = """
import pytest

from edgeflow.testing import StoreSuite
from edgeflow_memory import MemoryStore


class Forgetful(MemoryStore):
    async def unread(self, instance):
        return (await super().unread(instance))[:0]


class TestForgetful(StoreSuite):
    @pytest.fixture
    async def store(self):
        return Forgetful()
"""


def pytest_in(folder: Path, program: str, *options: str) -> str:
    (folder / "test_it.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_pytest_finds_the_plugin_by_itself() -> None:
    (found,) = [e for e in entry_points(group="pytest11") if e.name == "edgeflow"]

    assert found.value == "edgeflow.testing.plugin"


def test_a_flow_asks_for_no_certain_plugin_and_for_no_loop(tmp_path: Path) -> None:
    shown = pytest_in(tmp_path, FOUR_WAYS)

    assert re.search(r"\b4 passed in", shown), shown


def test_an_assert_of_the_store_suite_explains_itself(tmp_path: Path) -> None:
    options = ("-o", "asyncio_mode=auto", "-k", "read_in_order_of_arrival")
    shown = pytest_in(tmp_path, BAD_STORE, *options)

    assert "assert [] == ['z'" in shown, shown


def test_the_plugin_loads_nothing_of_edgeflow_until_it_is_asked() -> None:
    program = (
        "import sys, pytest, edgeflow.testing.plugin\n"
        "print(*sorted(name for name in sys.modules if name.startswith('edgeflow')))\n"
        "print('asyncio' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == [
        "edgeflow edgeflow.testing edgeflow.testing.plugin",
        "False",
    ]
