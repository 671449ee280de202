"""A warm process is after a hundred requests what it was after the second (G15)."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow import App, Context, step
from edgeflow.testing.clock import VirtualClock
from tests.ingress.place import Alarms, Place, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow import Event, Store
    from edgeflow.platform import Answer


class Counting(VirtualClock):
    """Knows which calls are still to come."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def call_at(
        self, when: float, callback: Callable[[], object], *, idle: bool = False
    ) -> Any:
        alarm = super().call_at(when, callback, idle=idle)
        self.asked.append(alarm)
        return alarm

    @property
    def to_come(self) -> int:
        self.asked = [alarm for alarm in self.asked if not alarm.cancelled]
        return len(self.asked)


POOL = "edgeflow step"
"""The name of the threads of plain steps and of wakers: idle ones end by themselves."""

AT_ONCE = 8
"""More of them are a leak: two requests at once need two."""


def open_files() -> int:
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.is_dir() else 0


class Shop:
    def __init__(self, store: Store) -> None:
        self.clock = Counting()
        self.alarms = Alarms()
        platform = Place(waker=self.alarms)
        self.app = App(store, platform=platform, clock=self.clock)

        @step
        def charge() -> str:
            return "paid"

        async def buy(ctx: Context, event: dict[str, Any]) -> Any:
            match event["do"]:
                case "sleep":
                    await ctx.sleep(600)
                case "receive":
                    return (await ctx.receive("go")).body
                case "fail":
                    raise ValueError("no apples")
                case _:
                    return await charge()
            return None

        self.handler: Any = self.app.handler(id="id")(buy)

    async def one_of_each(self, number: int) -> list[int]:
        """Have each sort of request answered, and give what they were told."""
        answers: list[Answer] = [
            await self.handler(event(given, seconds_left=30))
            for given in (
                {"id": f"step {number}", "do": "step"},
                {"id": f"sleep {number}", "do": "sleep"},
                {"id": f"receive {number}", "do": "receive"},
                {"id": f"fail {number}", "do": "fail"},
                {"id": f"sleep {number}", "do": "sleep"},
                {"edgeflow": {"wake": f"sleep {number}"}},
                {"edgeflow": {"send": {"to": f"receive {number}", "name": "go"}}},
                {"edgeflow": {"look": f"fail {number}"}},
                {"edgeflow": {"run_due": None}},
                {"no id": number},
            )
        ]
        return [answer.status for answer in answers]

    async def held(self) -> dict[str, int]:
        """Count what a process can hold on to."""
        gc.collect()
        worker = await self.app.session.stay(serves=False)  # it does already
        return {
            "tasks": len(asyncio.all_tasks()),
            "timers": self.clock.to_come,
            "files": open_files(),
            "runs": len(worker.runs),
        }


# P-06  G15
async def test_a_hundred_requests_leave_no_more_behind_than_two(store: Store) -> None:
    shop = Shop(store)
    told = await shop.one_of_each(0)
    await shop.one_of_each(1)
    after_two, threads = await shop.held(), threading.enumerate()

    for number in range(2, 10):
        assert await shop.one_of_each(number) == told
    await asyncio.gather(*(shop.one_of_each(number) for number in range(10, 12)))

    assert told == [200, 202, 202, 500, 202, 200, 200, 200, 200, 400]
    held = await shop.held()
    assert {k: n for k, n in held.items() if n > after_two[k]} == {}
    new = [each.name for each in threading.enumerate() if each not in threads]
    assert set(new) <= {POOL}
    assert len(new) < AT_ONCE
    assert after_two["runs"] == after_two["timers"] == 0
    await shop.app.session.part()
    assert not shop.app.session.is_open  # nobody else uses it


# P-06
async def test_nothing_of_ours_goes_on_after_an_answer(store: Store) -> None:
    """Where the background does not run, a frozen task would be thawed by chance."""
    shop = Shop(store)
    before = asyncio.all_tasks()

    await shop.one_of_each(0)

    assert asyncio.all_tasks() == before
    await shop.app.session.part()
    assert not shop.app.session.is_open


# P-06
async def test_observers_have_heard_it_all_before_the_answer(store: Store) -> None:
    shop = Shop(store)
    heard: list[str] = []

    async def listen(event: Event) -> None:
        await shop.clock.sleep(0.5)
        heard.append(event.kind)

    shop.app.observe(listen)
    await shop.handler(event({"id": "i", "do": "step"}))

    assert heard == ["step_completed", "completed"]
    await shop.app.session.part()
