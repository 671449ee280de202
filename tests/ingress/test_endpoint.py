"""One handler's endpoint: how long the app under it stays open, and on which loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, step
from edgeflow.engine.shutdown import Guard
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore
from tests.ingress.place import Place, endpoint_of, error_type, event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeflow.platform import Action, Answer, Background, Endpoint, Request

LOOP = "edgeflow loop"
"""The name of the thread of the kept loop."""

LONG = 10.0
"""Seconds after which a thread is said to hang."""


class Shop:
    def __init__(self, background: Background = "none", **settings: Any) -> None:
        self.clock = VirtualClock()
        self.lives: list[str] = []
        self.gate = asyncio.Event()
        self.inside = asyncio.Event()
        self.app = App(
            MemoryStore(),
            platform=Place(background),
            clock=self.clock,
            lifespan=lambda: self,
            **settings,
        )

        @step
        async def work() -> str:
            self.inside.set()
            await self.gate.wait()
            return "worked"

        @self.app.handler(id="id")
        async def nap(ctx: Context, event: dict[str, Any]) -> str:
            """Sleep, or work."""
            if "work" in event:
                return await work()
            await ctx.sleep(60)
            return "awake"

        self.handler: Any = nap

    async def __aenter__(self) -> None:
        self.lives.append("open")

    async def __aexit__(self, *_: object) -> None:
        self.lives.append("closed")

    @property
    def endpoint(self) -> Endpoint:
        return endpoint_of(self.handler)

    async def status(self, instance: str = "i") -> str:
        return (await self.app.handle(instance).info()).status


def test_an_endpoint_is_its_workflow_and_its_settings() -> None:
    shop = Shop(margin=0.25)

    assert shop.endpoint.name == "nap"
    assert shop.endpoint.doc == "Sleep, or work."
    assert shop.endpoint.settings["margin"] == 0.25
    assert not shop.endpoint.is_ending


# G15
@pytest.mark.parametrize(
    ("background", "status"),
    [
        ("none", "suspended"),
        ("frozen", "suspended"),
        ("throttled", "suspended"),
        ("runs", "completed"),
    ],
)
async def test_where_the_background_runs_what_is_due_goes_on_by_itself(
    background: Background, status: str
) -> None:
    shop = Shop(background)

    async with shop.endpoint.lifespan():
        await shop.handler(event({"id": "i"}))
        await shop.clock.sleep(120)

        assert await shop.status() == status
    assert shop.lives == ["open", "closed"]


async def test_without_a_lifespan_the_first_request_opens_for_all_that_follow() -> None:
    shop = Shop("runs")

    for name in ("a", "b"):
        assert (await shop.handler(event({"id": name}))).status == 202
    assert shop.lives == ["open"]
    await shop.clock.sleep(120)
    assert await shop.status("a") == await shop.status("b") == "completed"

    await shop.app.session.part()
    assert shop.lives == ["open", "closed"]
    await shop.handler(event({"id": "c"}))
    assert shop.lives == ["open", "closed", "open"]
    await shop.app.session.part()


# --- the kept loop --------------------------------------------------------------------


@pytest.fixture
def plain() -> Iterator[Any]:
    """A handler for plain threads, on a clock that goes by itself."""
    before = threading.enumerate()
    app = App(MemoryStore(), platform=Place())

    @app.handler(id="id")
    async def where(ctx: Context, event: dict[str, Any]) -> str:
        return await note()

    @step
    async def note() -> str:
        return threading.current_thread().name

    yield endpoint_of(where)
    endpoint_of(where).release()
    new = {thread.name for thread in threading.enumerate() if thread not in before}
    assert LOOP not in new


def test_threads_share_one_loop_of_the_process(plain: Endpoint) -> None:
    with ThreadPoolExecutor(8) as threads:
        requests = [event({"id": f"i-{n}"}) for n in range(20)]
        answers: list[Answer] = list(threads.map(plain.answer_in_thread, requests))

    assert {answer.value for answer in answers} == {LOOP}


def test_what_was_released_is_opened_again_by_the_next_call(plain: Endpoint) -> None:
    first = plain.answer_in_thread(event({"id": "i"}))
    plain.release()
    plain.release()

    assert plain.answer_in_thread(event({"id": "i"})).content == first.content
    assert plain.answer_in_thread(event({"id": "j"})).status == 200


class Called(VirtualClock):
    """Knows how often it was read outside of the kept loop."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Semaphore(0)

    def now(self) -> float:
        now = super().now()
        if threading.current_thread().name != LOOP:
            self.reads.release()
        return now


# P-04
@pytest.mark.parametrize(("waited", "status"), [(10.0, 503), (1.0, 200)])
def test_the_time_that_is_left_runs_while_the_kept_loop_is_busy_with_others(
    waited: float, status: int
) -> None:
    """The platform counts from its call: it does not know of our loop."""
    clock, is_busy, goes_on = Called(), threading.Event(), threading.Event()

    def dawdle(request: Request, action: Action) -> bool:
        if action.id == "slow":
            is_busy.set()
            assert goes_on.wait(LONG)
        return True

    app = App(MemoryStore(), platform=Place(), clock=clock)

    @app.handler(id="id", authorize=dawdle)
    async def buy(ctx: Context, event: dict[str, Any]) -> str:
        return "bought"

    endpoint = endpoint_of(buy)
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(endpoint.answer_in_thread, event({"id": "slow"}))
        assert is_busy.wait(LONG)
        while clock.reads.acquire(blocking=False):
            pass  # those of the first
        given = event({"id": "i"}, seconds_left=3.0)
        second = threads.submit(endpoint.answer_in_thread, given)
        assert clock.reads.acquire(timeout=LONG)
        clock.advance(waited)
        goes_on.set()

        assert slow.result(LONG).status == 200
        assert second.result(LONG).status == status
    endpoint.release()


# --- the end of the process ---------------------------------------------------------


# P-07  S27
@pytest.mark.parametrize("ends", [False, True])
async def test_a_process_that_ends_answers_503_and_begins_nothing(
    *, ends: bool
) -> None:
    """Whether a server ends the process, or that is on us: no request ends it."""
    shop = Shop()
    guard = Guard(leave=lambda code: pytest.fail(f"left with {code}"))
    shop.app.session.guard = guard
    guard.ends = ends
    guard.hear(signal.SIGTERM)

    assert shop.endpoint.is_ending
    answer: Answer = await shop.handler(event({"id": "i"}))

    assert (answer.status, error_type(answer)) == (503, "ProcessEnding")
    assert answer.headers == {"Retry-After": "1"}
    assert shop.lives == []
    guard.forget()


# P-07  P-08
async def test_a_request_under_way_is_answered_202_when_the_process_ends() -> None:
    shop = Shop()
    guard = Guard(leave=lambda code: pytest.fail(f"left with {code}"))
    shop.app.session.guard = guard
    asking = asyncio.create_task(shop.handler(event({"id": "i", "work": True})))
    await shop.inside.wait()

    guard.hear(signal.SIGTERM)
    answer: Answer = await asking
    late: Answer = await shop.handler(event({"id": "j"}))

    assert (answer.status, answer.value["status"]) == (202, "suspended")
    assert (late.status, error_type(late)) == (503, "ProcessEnding")
    assert await shop.status() == "suspended"
    guard.forget()
