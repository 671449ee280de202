"""A handler of an app, asked as a server asks, within this process."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, step
from tests.platforms.asgi.connections import connect, http, part

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

SECRET = [(b"authorization", b"Bearer sesame")]


class Shop:
    """A handler, and what its steps wait for."""

    def __init__(self, platform: str = "asgi") -> None:
        self.packed = 0
        self.app = App(
            "memory:",
            platform=platform,
            durability="suspend",
            grace=0.0,
            max_dirty_age=1e6,
            config={"secret": "sesame", "max_body": 40},
        )
        self.packing = asyncio.Event()
        self.quick = asyncio.Event()

        @self.app.handler(id="order")
        async def checkout(ctx: Context, event: dict[str, Any]) -> list[str]:
            return [await charge(), await ctx.step("pack", self.pack)]

        self.checkout: Any = checkout

    async def pack(self) -> str:
        self.packed += 1
        self.packing.set()
        await self.quick.wait()
        return "packed"

    async def ask(
        self, method: str = "POST", path: str = "/", body: Any = None
    ) -> tuple[int, Any]:
        content = json.dumps(body).encode() if body is not None else b""
        scope = http(method, path, headers=SECRET)
        (start, sent), _ = await connect(self.checkout, scope, part(content))
        return start["status"], json.loads(sent["body"] or "null")

    async def done(self) -> list[str]:
        history = await self.app.handle("o-1").history()
        return [entry.name for entry in history if entry.status == "completed"]


@step
async def charge() -> str:
    return "charged"


ORDER = {"order": "o-1"}


@asynccontextmanager
async def opened(shop: Shop) -> AsyncGenerator[None]:
    """Be a framework that the handler is mounted in."""
    lifespan: Callable[[object], Any] = shop.checkout.lifespan
    async with lifespan("the framework's app"):
        yield


async def test_what_a_caller_may_get() -> None:
    # P-01, P-03
    shop = Shop()
    shop.quick.set()
    async with opened(shop):
        assert await shop.ask(body=ORDER) == (200, ["charged", "packed"])
        look = "/edgeflow/instances/o-1"
        assert (await shop.ask("GET", look))[1]["status"] == "completed"
        assert await shop.ask("HEAD", look) == (200, None)
        assert (await shop.ask("GET"))[0] == 405
        assert (await shop.ask(body={}))[0] == 400
        assert (await shop.ask(body={"order": "x" * 40}))[0] == 413
        assert (await shop.ask("GET", "/edgeflow/instances/o-2"))[0] == 404


async def cancelled(shop: Shop) -> None:
    """Order, and be a server that loses its patience."""
    asked = asyncio.create_task(shop.ask(body=ORDER))
    await shop.packing.wait()
    assert await shop.done() == []
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_a_request_that_its_server_cancels_when_it_ends_is_flushed() -> None:
    # P-07, G1
    shop = Shop()
    async with opened(shop):
        await cancelled(shop)
    assert await shop.done() == ["charge"]

    shop.quick.set()
    async with opened(shop):
        assert await shop.ask(body=ORDER) == (200, ["charged", "packed"])


async def test_a_request_that_is_cancelled_while_the_server_stays_goes_on() -> None:
    # G1: as if its client had gone away.
    shop = Shop()
    async with opened(shop):
        await cancelled(shop)
        shop.quick.set()
        assert await shop.ask(body=ORDER) == (200, ["charged", "packed"])
    assert shop.packed == 1


async def test_where_nothing_runs_after_an_answer_a_cancelled_request_is_flushed() -> (
    None
):
    # P-07, G1
    shop = Shop("vercel")
    await cancelled(shop)
    assert await shop.done() == ["charge"]

    shop.quick.set()
    assert await shop.ask(body=ORDER) == (200, ["charged", "packed"])
    await shop.app.session.part()


async def test_a_handler_that_is_mounted_opens_its_app_at_the_first_request() -> None:
    shop = Shop()
    shop.quick.set()

    assert await shop.ask(body=ORDER) == (200, ["charged", "packed"])
    assert shop.app.session.is_open
    await shop.app.session.part()


async def test_a_hundred_requests_leave_nothing_behind() -> None:
    # P-06, G15
    shop = Shop()
    shop.quick.set()

    async def orders(numbers: range) -> tuple[int, int]:
        for number in numbers:
            status, _ = await shop.ask(body={"order": f"o-{number}"})
            assert status == 200
        return len(asyncio.all_tasks()), threading.active_count()

    async with opened(shop):
        after_two = await orders(range(2))
        assert await orders(range(2, 100)) == after_two


def test_a_handler_has_the_shape_of_an_application() -> None:
    # uvicorn, hypercorn and Vercel's runtime look at `__call__` to tell.
    handler = Shop().checkout

    assert inspect.iscoroutinefunction(handler.__call__)
    assert handler.__name__ == "checkout"
