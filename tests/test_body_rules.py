"""What a body must not do, and how it is told (CONFORMANCE A-07, A-09 to A-11)."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from edgeflow import (
    App,
    BodyError,
    Context,
    WorkflowBlocked,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edgeflow import Handle, Workflow

R = TypeVar("R")


@dataclass
class World:
    """A store, a clock, and an App with nothing in memory for each call."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)

    async def run(self, code: Workflow[None, R]) -> R:
        return await App(self.store, workflows=[code], clock=self.clock).run(
            code, id="i"
        )

    def handle(self) -> Handle[Any]:
        return App(self.store, clock=self.clock).handle("i")


@pytest.fixture
def world() -> World:
    return World()


# A-07  G13
async def test_strict_names_refuse_a_second_use_before_the_step_begins() -> None:
    calls: list[int] = []

    @step
    async def charge(amount: int) -> None:
        calls.append(amount)

    @workflow
    async def code(ctx: Context) -> None:
        await charge(1)
        async with ctx.scope("again"):
            await charge(2)  # the same name in another scope is fine
            await charge(3)

    app = App(workflows=[code], store=MemoryStore(), strict_names=True)
    with pytest.raises(WorkflowBlocked, match=r"'charge'.*again"):
        await app.run(code, id="i")

    assert calls == [1, 2]
    assert (await app.handle("i").info()).status == "blocked"


# A-09 (i)  G13
async def test_a_body_that_returns_while_a_step_runs_is_blocked(world: World) -> None:
    @step
    async def slow() -> None:
        await world.clock.sleep(60)

    @workflow
    async def code(ctx: Context) -> None:
        async with ctx.scope("pay"):
            task = asyncio.ensure_future(slow())
            await asyncio.sleep(0)
        assert not task.done()

    with pytest.raises(WorkflowBlocked, match=r"pay\[0\] > slow\[0\].*await"):
        await world.run(code)

    assert (await world.handle().info()).status == "blocked"


# A-09 (ii)  G13
@pytest.mark.parametrize("forgotten", ["charge", "sleep"])
async def test_an_operation_that_nobody_awaits_blocks_the_instance(
    world: World, forgotten: str
) -> None:
    calls: list[int] = []

    @step
    async def charge() -> None:
        calls.append(1)

    @workflow
    async def code(ctx: Context) -> None:
        lost = charge() if forgotten == "charge" else ctx.sleep(5)
        assert lost is not None

    with pytest.raises(WorkflowBlocked, match=f"without awaiting.*{forgotten}"):
        await world.run(code)

    assert calls == []


# A-09 (iii)
async def test_a_second_step_may_start_while_the_first_runs(world: World) -> None:
    order: list[str] = []

    @step
    async def work(name: str, seconds: int) -> str:
        order.append(f"{name} begins")
        await world.clock.sleep(seconds)
        order.append(f"{name} ends")
        return name

    @workflow
    async def code(_ctx: Context) -> list[str]:
        first = asyncio.ensure_future(work("long", 20))
        await asyncio.sleep(0)
        second = await work("short", 10)
        return [await first, second]

    assert await world.run(code) == ["long", "short"]
    assert order == ["long begins", "short begins", "short ends", "long ends"]


async def open_a_socket(_mark: Path) -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def start_a_thread(mark: Path) -> None:
    await asyncio.to_thread(mark.touch)


async def use_an_executor(mark: Path) -> None:
    await asyncio.get_running_loop().run_in_executor(None, mark.touch)


async def spawn_a_subprocess(mark: Path) -> None:
    program = f"open({str(mark)!r}, 'w')"
    await asyncio.create_subprocess_exec(sys.executable, "-c", program)


async def handle_a_signal(mark: Path) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, mark.touch)


# A-10  G13
@pytest.mark.parametrize(
    ("forbidden", "call"),
    [
        (open_a_socket, "loop.create_connection()"),
        (start_a_thread, "loop.run_in_executor()"),
        (use_an_executor, "loop.run_in_executor()"),
        (spawn_a_subprocess, "loop.subprocess_exec()"),
        (handle_a_signal, "loop.add_signal_handler()"),
    ],
)
async def test_a_body_cannot_do_real_io(
    tmp_path: Path, forbidden: Callable[[Path], Awaitable[None]], call: str
) -> None:
    world, mark = World(), tmp_path / "mark"
    handler = signal.getsignal(signal.SIGUSR1)
    seen: list[str] = []

    @workflow
    async def code(_ctx: Context) -> None:
        try:
            await forbidden(mark)
        except BodyError as error:
            seen.append(str(error))
            raise

    with pytest.raises(WorkflowBlocked) as blocked:
        await world.run(code)

    assert call in seen[0]
    assert "Do this in a step" in seen[0]
    assert blocked.value.reason == seen[0]
    assert not mark.exists()
    assert signal.getsignal(signal.SIGUSR1) == handler


#
async def test_current_step_has_no_meaning_in_a_body(world: World) -> None:
    @workflow
    async def code(_ctx: Context) -> str:
        try:
            return current_step().key
        except BodyError:
            return "swallowed"

    with pytest.raises(WorkflowBlocked, match=r"current_step\(\)"):
        await world.run(code)


# A-11, S38
async def test_an_operation_of_the_context_is_refused_in_a_step(world: World) -> None:
    seen: list[str] = []

    @workflow
    async def code(ctx: Context) -> None:
        async def nested() -> None:
            try:
                await ctx.sleep(1, name="nap")
            except BodyError as error:
                seen.append(str(error))

        await ctx.step("nested", nested)

    await world.run(code)

    assert len(seen) == 1
    assert "'nap'" in seen[0]
    assert [entry.name for entry in await world.handle().history()] == ["nested"]
