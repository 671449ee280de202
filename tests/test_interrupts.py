"""What ends a process is nothing that a workflow did: SystemExit, KeyboardInterrupt."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from edgeflow import App, Context, step
from edgeflow_memory import MemoryStore

UNDONE: list[str] = []


@step
async def reserve() -> str:
    return "seat"


@reserve.undo
async def release(seat: str) -> None:
    UNDONE.append(seat)


def in_thread(work: object) -> None:
    """Run it where a KeyboardInterrupt is nobody's but ours."""
    thread = threading.Thread(target=work)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    thread.start()
    thread.join()


@pytest.mark.parametrize("where", ["body", "step"])
def test_an_interrupt_suspends_the_instance_and_another_process_goes_on(
    where: str,
) -> None:
    # G1 G12: ^C is felt wherever the main thread is.
    store, calls = MemoryStore(), list[str]()
    raised = iter([KeyboardInterrupt])

    @step
    async def charge() -> str:
        calls.append("charge")
        if where == "step":
            for error in raised:
                raise error
        return "paid"

    def make() -> App:
        app = App(store)

        @app.workflow
        async def shop(ctx: Context) -> str:
            paid = await charge()
            if where == "body":
                for error in raised:
                    raise error
            return paid

        return app

    def run() -> None:
        with suppress(KeyboardInterrupt):
            asyncio.run(make().run("shop", id="o1"))

    in_thread(run)
    after = asyncio.run(make().handle("o1").info())
    output = asyncio.run(make().run("shop", id="o1"))

    assert after.status == "suspended"
    assert after.error is None
    assert output == "paid"
    assert calls == ["charge"] * (1 if where == "body" else 2)


def test_a_body_that_exits_is_blocked_and_nothing_is_undone() -> None:
    # G13
    UNDONE.clear()
    app = App(MemoryStore())

    @app.workflow
    async def leaves(ctx: Context) -> None:
        await reserve()
        raise SystemExit(3)

    def run() -> None:
        with suppress(SystemExit):
            asyncio.run(app.run(leaves, id="o1"))

    in_thread(run)
    info = asyncio.run(app.handle("o1").info())

    assert info.status == "blocked"
    assert info.error is not None
    assert "SystemExit" in info.error.message
    assert UNDONE == []
