"""An answer comes before the deadline, with everything durable; what is left waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, Retry, current_step, step
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.ingress.place import (
    Alarms,
    Place,
    anyone,
    endpoint_of,
    error_type,
    event,
    http,
)

if TYPE_CHECKING:
    from edgeflow.platform import Answer, Request


class Shop:
    """A workflow with a durable step, one of a minute, and a message to receive."""

    def __init__(self, **config: Any) -> None:
        self.clock = VirtualClock()
        self.began = self.clock.now()
        self.store = RecordingStore(MemoryStore())
        self.alarms = Alarms()
        self.config = config
        self.app, self.handler = self.process()
        self.happened: list[tuple[str, float]] = []
        """What happened in steps, and how many seconds after the beginning."""
        self.attempts: list[int] = []
        self.shipping = asyncio.Event()

    def process(self) -> tuple[App, Any]:
        app = App(
            self.store,
            platform=Place(waker=self.alarms),
            clock=self.clock,
            config=self.config,
        )

        @step
        async def reserve() -> str:
            self.note("reserve")
            return "reserved"

        @step(retry=Retry(attempts=1))
        async def ship(seconds: float, manner: str) -> str:
            self.attempts.append(current_step().attempt)
            self.note("ship")
            self.shipping.set()
            return await self._ship(seconds, manner)

        async def buy(ctx: Context, event: dict[str, Any]) -> Any:
            await reserve()
            shipped = await ship(event["seconds"], event.get("manner", "deaf"))
            return [shipped, (await ctx.receive("paid")).body]

        return app, app.handler(id="id", authorize=anyone)(buy)

    async def _ship(self, seconds: float, manner: str) -> str:
        sleeping = asyncio.ensure_future(self.clock.sleep(seconds))
        stopping = asyncio.ensure_future(self._told())
        try:
            while not sleeping.done():
                await asyncio.wait(
                    {sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED
                )
                if manner == "heeds" and stopping.done():
                    return "half of it"
                if stopping.done():
                    await asyncio.wait({sleeping})
        except asyncio.CancelledError:
            self.note("cancelled")
            if manner != "swallows":
                raise
            await sleeping
        finally:
            stopping.cancel()
            if manner != "swallows":
                sleeping.cancel()
        return "all of it"

    async def _told(self) -> None:
        await current_step().stopping
        self.note("stopping")

    def note(self, what: str) -> None:
        self.happened.append((what, round(self.clock.now() - self.began, 6)))

    async def asked(self, request: Request) -> tuple[Answer, float]:
        """Give an answer, and how many seconds it took."""
        began = self.clock.now()
        answer: Answer = await self.handler(request)
        return answer, round(self.clock.now() - began, 6)

    @property
    def steps(self) -> list[str]:
        return [what for what, _ in self.happened if what in {"reserve", "ship"}]


def order(seconds: float = 60, left: float | None = 3, **more: Any) -> Request:
    return event({"id": "i", "seconds": seconds, **more}, seconds_left=left)


# P-04  S10 G1
async def test_three_seconds_left_are_used_but_for_the_margin() -> None:
    shop = Shop()

    answer, took = await shop.asked(order())

    assert (answer.status, answer.value["status"]) == (202, "suspended")
    assert took == 2.0
    grace = 3 / 5
    assert shop.happened == [
        ("reserve", 0),
        ("ship", 0),
        ("stopping", 2 - grace),
        ("cancelled", 2),
    ]
    last = shop.store.commits[-1]
    assert (last.status, last.lease) == ("suspended", 0.0)
    assert last.due == pytest.approx(shop.began + 2 - grace)
    entries = await shop.app.handle("i").history()
    assert (entries[0].name, entries[0].status) == ("reserve", "completed")
    assert not any(entry.error for entry in entries)
    assert {alarm.instance for alarm in shop.alarms.diary} == {"i"}
    assert shop.alarms.diary[-1].when == last.due


# P-04  S10
@pytest.mark.parametrize(
    ("grace", "left", "told", "cut"),
    [(8.0, 3.0, 1.4, 2.0), (8.0, 30.0, 23.0, 29.0), (2.0, 30.0, 27.0, 29.0)],
)
async def test_steps_are_told_by_the_grace_or_a_fifth_before_they_are_cut(
    grace: float, left: float, told: float, cut: float
) -> None:
    shop = Shop(grace=grace)

    _, took = await shop.asked(order(left=left))

    assert shop.happened[2:] == [("stopping", told), ("cancelled", cut)]
    assert took == cut


# P-04  S10 G7
async def test_a_step_that_was_cut_off_has_not_failed_and_a_wake_starts_it_again() -> (
    None
):
    shop = Shop()
    await shop.asked(order(seconds=5))

    answer, took = await shop.asked(event({"edgeflow": {"wake": "i"}}, seconds_left=10))

    assert (answer.status, answer.value["status"]) == (200, "suspended")
    assert answer.value["awaiting"] == ["paid"]
    assert took >= 5
    assert shop.attempts == [1, 1]
    assert shop.steps == ["reserve", "ship", "ship"]


# P-04  G10 G11
@pytest.mark.parametrize("by", ["event", "http"])
async def test_the_same_entry_point_takes_the_alarm_and_the_message_in_new_processes(
    by: str,
) -> None:
    shop = Shop()
    await shop.asked(order(seconds=5))

    _, shop.handler = shop.process()
    await shop.asked(event({"edgeflow": {"wake": "i"}}, seconds_left=10))
    _, shop.handler = shop.process()
    send = {"to": "i", "name": "paid", "body": "in cash"}
    paid = {
        "event": event({"edgeflow": {"send": send}}, seconds_left=10),
        "http": http("/edgeflow/instances/i/messages/paid", "in cash"),
    }[by]
    sent, _ = await shop.asked(paid)
    again, _ = await shop.asked(order())

    assert (sent.status, sent.value["status"]) == (200, "completed")
    assert (again.status, again.value) == (200, ["all of it", "in cash"])
    assert shop.steps == ["reserve", "ship", "ship"]


# P-04  S10
async def test_what_a_step_makes_of_being_told_is_recorded() -> None:
    shop = Shop()

    answer, took = await shop.asked(order(manner="heeds"))

    assert (answer.value["status"], took) == ("suspended", 1.4)
    entries = await shop.app.handle("i").history()
    assert [e.value for e in entries if e.name == "ship"] == ["half of it"]

    await shop.asked(event({"edgeflow": {"wake": "i"}}, seconds_left=10))
    assert shop.attempts == [1]


# P-04
async def test_a_step_that_swallows_its_end_does_not_hold_up_the_answer() -> None:
    shop = Shop()

    answer, took = await shop.asked(order(manner="swallows"))

    assert answer.value["status"] == "suspended"
    assert 2.0 <= took < 3.0
    await shop.clock.sleep(60)
    assert not any(e.error for e in await shop.app.handle("i").history())


# P-04
@pytest.mark.parametrize("left", [1.0, 0.5, 0.0, -5.0])
async def test_with_no_more_than_the_margin_left_nothing_is_begun(
    left: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it would be cut off at once, and ten times of that is a crash loop."""
    shop = Shop()
    requests = [
        order(left=left),
        event({"edgeflow": {"wake": "i"}}, seconds_left=left),
        event({"edgeflow": {"send": {"to": "i", "name": "paid"}}}, seconds_left=left),
    ]

    for request in requests * 5:
        answer, took = await shop.asked(request)

        assert (answer.status, error_type(answer)) == (503, "NoTime")
        assert not answer.is_decided
        assert took == 0
    assert shop.store.commits == []
    assert "send" not in shop.store.calls
    assert "give it more time, or set a smaller margin" in caplog.text
    look = event({"edgeflow": {"look": "i"}}, seconds_left=left)
    assert (await shop.asked(look))[0].status == 404
    assert (await shop.asked(order(left=3)))[0].status == 202


# P-04
async def test_max_run_holds_where_the_platform_gives_no_deadline() -> None:
    shop = Shop(max_run=3)

    bounded, took = await shop.asked(order(left=None))
    longer, took_longer = await shop.asked(order(left=11))

    assert (bounded.status, took) == (202, 2.0)
    assert (longer.status, took_longer) == (202, 10.0)


# P-04
async def test_without_any_deadline_a_run_takes_what_it_takes() -> None:
    shop = Shop()

    answer, took = await shop.asked(order(left=None))

    assert answer.value["awaiting"] == ["paid"]
    assert took >= 60


# P-04  C-09
async def test_what_is_run_because_it_is_due_is_suspended_in_time_as_well() -> None:
    shop = Shop()
    for name in ("a", "b"):
        given = {"id": name, "seconds": 60}
        await shop.asked(event(given, seconds_left=3))

    shop.happened.clear()
    shop.began = shop.clock.now()
    run_due = event({"edgeflow": {"run_due": None}}, seconds_left=5)
    answer, took = await shop.asked(run_due)

    assert (answer.status, answer.value) == (200, {"ran": 2})
    assert took <= 4.0
    assert [what for what, _ in shop.happened].count("cancelled") == 2
    for name in ("a", "b"):
        info = await shop.app.handle(name).info()
        assert info.status == "suspended"


# P-04  C-09
@pytest.mark.parametrize(("left", "ran"), [(0.5, 0), (1.0, 0), (1.1, 1), (1.9, 1)])
async def test_what_is_due_is_left_alone_if_no_more_than_the_margin_is_left(
    left: float, ran: int
) -> None:
    shop = Shop()
    await shop.asked(order())
    written = len(shop.store.commits)

    run_due = event({"edgeflow": {"run_due": None}}, seconds_left=left)
    answer, took = await shop.asked(run_due)

    assert (answer.status, answer.value) == (200, {"ran": ran})
    assert (len(shop.store.commits) > written) is bool(ran)
    assert took < left


# P-04
async def test_a_request_that_the_server_gives_up_is_suspended_and_not_lost() -> None:
    shop = Shop()

    async with endpoint_of(shop.handler).lifespan():
        asking = asyncio.create_task(shop.handler(order(left=None)))
        await shop.shipping.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

        assert (await shop.app.handle("i").info()).status == "suspended"
        last = shop.store.commits[-1]
        assert (last.status, last.lease) == ("suspended", 0.0)
        assert not any(e.error for e in await shop.app.handle("i").history())
