"""One event, delivered twice: one instance, one output, no durable step twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import Context, current_step, step
from edgeflow.engine import opening
from edgeflow.testing import Fault, FaultyStore
from tests.ingress.place import Place, asked, endpoint_of, event

if TYPE_CHECKING:
    from edgeflow import App, Store
    from edgeflow.platform import Answer, Request
    from tests.conftest import World

LEASE = 30.0


class Shop:
    """A handler in any number of processes; its second step waits for a gate."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.inside = asyncio.Event()

    def process(self, store: Store | None = None) -> tuple[App, Any]:
        @step
        async def reserve() -> str:
            self.calls["reserve"] += 1
            return current_step().key

        @step
        async def charge() -> str:
            self.calls["charge"] += 1
            self.inside.set()
            await self.gate.wait()
            return "paid"

        async def buy(ctx: Context, event: dict[str, Any]) -> list[str]:
            self.calls["body"] += 1
            return [await reserve(), await charge()]

        app = self.world.process(store=store, platform=Place(), lease=LEASE)
        return app, app.handler(id="id")(buy)


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


ORDER = event({"id": "i"})


# P-02  G14
async def test_a_second_delivery_gets_the_same_output_and_runs_nothing(
    shop: Shop,
) -> None:
    shop.gate.set()
    _, handler = shop.process()
    _, elsewhere = shop.process()

    first: Answer = await handler(ORDER)
    written = shop.world.commits
    again: list[Answer] = [await handler(ORDER), await elsewhere(ORDER)]

    assert first.status == 200
    assert [answer.content for answer in again] == [first.content] * 2
    assert shop.calls == {"body": 1, "reserve": 1, "charge": 1}
    assert shop.world.commits == written


# P-02  G4
async def test_a_delivery_meanwhile_in_another_process_is_told_that_it_runs(
    shop: Shop,
) -> None:
    _, handler = shop.process()
    _, elsewhere = shop.process()

    first = asyncio.create_task(handler(ORDER))
    await shop.inside.wait()
    meanwhile: Answer = await elsewhere(ORDER)
    shop.gate.set()

    assert (meanwhile.status, meanwhile.value["status"]) == (202, "running")
    assert (await first).status == 200
    assert (await elsewhere(ORDER)).value == (await first).value
    assert shop.calls == {"body": 1, "reserve": 1, "charge": 1}


# P-02  G4
async def test_of_two_at_the_very_same_time_one_runs_and_none_fails(
    shop: Shop,
) -> None:
    shop.gate.set()
    _, handler = shop.process()
    _, elsewhere = shop.process()

    answers = await asyncio.gather(asked(handler, ORDER), asked(elsewhere, ORDER))

    assert {answer.status for answer in answers} <= {200, 202}
    assert 200 in {answer.status for answer in answers}
    assert (await elsewhere(ORDER)).status == 200
    assert shop.calls["reserve"] == shop.calls["charge"] == 1


# P-02  G4
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_who_is_fenced_looks_again_at_what_the_other_has_left(
    shop: Shop, at: int
) -> None:
    """The first write opens the instance, two have a step each, the last the end."""
    shop.gate.set()
    app, _ = shop.process()
    await app.start("buy", {"id": "i"}, id="i")
    store = FaultyStore(shop.world.store, [Fault(at, "fence")])
    app, handler = shop.process(store)

    answer = await asked(handler, event({"edgeflow": {"wake": "i"}}))

    assert (answer.status, answer.value["status"]) == (200, "completed")
    assert store.struck
    assert (await asked(handler, ORDER)).status == 200
    assert not any(entry.error for entry in await app.handle("i").history())


# P-02
async def test_two_in_one_process_share_the_run(shop: Shop) -> None:
    _, handler = shop.process()

    both = asyncio.gather(asked(handler, ORDER), asked(handler, ORDER))
    await shop.inside.wait()
    shop.gate.set()
    answers = await both

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert shop.calls == {"body": 1, "reserve": 1, "charge": 1}


# P-02  G4
async def test_what_a_dead_process_left_is_taken_over_after_its_lease_only(
    shop: Shop,
) -> None:
    shop.gate.set()
    dead, _ = shop.process()
    await shop.world.store.open()
    order = {"id": "i"}
    await opening.start(
        dead.wiring, "i", "buy", order, token=b"a dead process!!", lease=LEASE
    )
    app, handler = shop.process()

    async with endpoint_of(handler).lifespan():
        early: Answer = await handler(ORDER)
        woken: Answer = await handler(event({"edgeflow": {"wake": "i"}}))
        app.clock.advance(LEASE)  # type: ignore[attr-defined]  # a virtual one
        late: Answer = await handler(ORDER)

    assert (early.status, early.value["status"]) == (202, "running")
    assert (woken.status, woken.value["status"]) == (200, "running")
    over = shop.world.clock.now()  # then it may be asked again
    assert early.value["wake_at"] == woken.value["wake_at"] == over
    assert late.status == 200
    assert shop.calls == {"body": 1, "reserve": 1, "charge": 1}


# P-02  P-08  G1
async def test_what_a_process_that_ends_lets_go_of_is_taken_over_at_once(
    shop: Shop,
) -> None:
    _, handler = shop.process()
    _, elsewhere = shop.process()

    async with endpoint_of(handler).lifespan():
        first = asyncio.create_task(handler(ORDER))
        await shop.inside.wait()
    shop.gate.set()
    now = shop.world.clock.now()
    second: Answer = await elsewhere(ORDER)

    assert ((await first).status, second.status) == (202, 200)
    assert shop.world.clock.now() == now
    assert shop.calls == {"body": 2, "reserve": 1, "charge": 2}


# P-04  G11
async def test_a_message_that_another_process_takes_meanwhile_is_not_left_lying(
    world: World,
) -> None:
    inside, gate = asyncio.Event(), asyncio.Event()

    def process() -> Any:
        @step
        async def prepare() -> None:
            inside.set()
            await gate.wait()

        async def approve(ctx: Context, event: dict[str, Any]) -> object:
            await ctx.receive("go")
            await prepare()
            return (await ctx.receive("approval")).body

        return world.process(platform=Place()).handler(id="id")(approve)

    def send(name: str) -> Request:
        return event({"edgeflow": {"send": {"to": "i", "name": name, "body": "yes"}}})

    await process()(ORDER)
    first = asyncio.create_task(process()(send("go")))  # it reads the inbox, and runs
    await inside.wait()
    second: Answer = await process()(send("approval"))
    gate.set()
    answer: Answer = await first

    assert second.value["status"] == "running"
    assert answer.value["status"] == "completed"
    assert (await process()(ORDER)).value == "yes"


# P-04  G11
async def test_a_message_without_an_id_is_delivered_once_by_the_id_of_its_delivery(
    world: World,
) -> None:
    async def count(ctx: Context, event: dict[str, Any]) -> list[object]:
        return [(await ctx.receive("item")).body for _ in range(2)]

    handler = world.process(platform=Place()).handler(id="id")(count)
    await handler(ORDER)
    send = {"edgeflow": {"send": {"to": "i", "name": "item", "body": 1}}}

    answers: list[Answer] = [
        await handler(replace(event(send), delivery=delivery))
        for delivery in ("d-1", "d-1", "d-2")
    ]

    assert [answer.value["sent"] for answer in answers] == [True, False, True]
    assert answers[-1].value["status"] == "completed"
