"""What type checkers infer; mypy and basedpyright read this, pytest runs it too."""

# pyright: reportUnnecessaryTypeIgnoreComment=true
# So that both checkers see that what is ignored here is an error to them.

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, assert_type
from uuid import UUID

from edgeflow import (
    App,
    Context,
    EntryInfo,
    Handle,
    Info,
    Message,
    Outcome,
    Retry,
    Step,
    Workflow,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import MutableMapping


@dataclass
class Order:
    items: list[str]


@dataclass
class Payment:
    amount: int


@dataclass
class Approval:
    by: str


@step
async def charge(order: Order, *, tip: int = 0) -> Payment:
    return Payment(len(order.items) + tip)


@charge.undo
async def refund(payment: Payment) -> int:
    return payment.amount


@charge.undo(retry=Retry(attempts=1), timeout=3)
def refund_at_once(payment: Payment | None) -> None: ...


@step(retry=Retry(attempts=2), timeout=timedelta(seconds=20))
def label(item: str) -> bytes:
    return item.encode()


async def peel(label: bytes) -> None: ...


@step(name="nothing", durability="suspend", at_most_once=True, raises=(KeyError,))
async def nothing() -> None:
    this = current_step()
    assert_type(this.attempt, int)
    assert_type(this.key, str)
    assert_type(this.deadline, float | None)
    state: MutableMapping[str, Any] = this.state
    state["charged"] = True


def plain(number: int = 1) -> int:
    return number


async def slow(text: str = "") -> str:
    return text


@step
def noted(text: str) -> None: ...


@workflow
async def short(ctx: Context) -> int:
    assert_type(ctx.id, str)
    assert_type(ctx.workflow, str)
    assert_type(ctx.replaying, bool)
    assert_type(ctx.now(), datetime)
    assert_type(ctx.uuid(), UUID)
    assert_type(ctx.random, Random)
    return 1


@workflow(name="optional input")
async def optional(_ctx: Context, order: Order | None) -> int | None:
    return None if order is None else len(order.items)


app = App(MemoryStore(), workflows=[short, optional], clock=VirtualClock())


@app.workflow
async def fulfil(ctx: Context, order: Order) -> str:
    assert_type(await charge(order), Payment)
    assert_type(await charge(order=order, tip=2), Payment)
    assert_type(await charge.using(name="again", timeout=3)(order), Payment)
    assert_type(await label("a"), bytes)
    assert_type(await nothing(), None)

    assert_type(await ctx.step("plain", plain), int)
    assert_type(await ctx.step("slow", slow, retry=Retry(attempts=2)), str)
    assert_type(await ctx.step("lambda", lambda: order.items), list[str])
    assert_type(await ctx.step("async partial", partial(slow, "b")), str)
    assert_type(await ctx.step("partial", partial(plain, 2), timeout=1), int)

    assert_type(refund, Step[[Payment], int])
    assert_type(refund_at_once, Step[[Payment], None])
    assert_type(await refund(Payment(1)), int)
    assert_type(await label.using(undo=peel)("d"), bytes)
    assert_type(await ctx.step("undone", plain, undo=print), int)
    assert_type(await ctx.step("undone", slow, undo=noted), str)
    await ctx.checkpoint("paid")

    await ctx.sleep(1)
    await ctx.sleep(timedelta(seconds=0.5))
    await ctx.sleep_until(ctx.now() + timedelta(seconds=1))
    await ctx.status({"done": 1})
    assert_type(await ctx.version("gate", 2), int)
    await ctx.removed("gone")
    await ctx.send("another", "hello", Approval("me"), delay=timedelta(days=1))

    async with ctx.scope("messages"):
        raw = await ctx.receive("raw", "other")
        assert_type(raw, Message[Any])
        approval = await ctx.receive("approval", type=Approval, timeout=5)
        assert_type(approval, Message[Approval])
        assert_type(approval.body, Approval)
        assert_type(approval.name, str)
        many = await ctx.receive_many("approval", type=Approval, limit=2, timeout=0)
        assert_type(many, list[Message[Approval]])
        await raw.reply(approval.body.by)

    assert_type(await ctx.call(short), int)
    assert_type(await ctx.call(optional, order, id="c", name="d"), int | None)
    assert_type(await ctx.call("short"), Any)
    assert_type(await ctx.start(optional, None), str)
    assert_type(await ctx.start("short", id="s"), str)

    two = await asyncio.gather(charge(order), label("b"))
    assert_type(two, tuple[Payment, bytes])
    assert_type(await asyncio.gather(*map(label, order.items)), list[bytes])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(charge(order))
        assert_type(task, asyncio.Task[Payment])
    assert_type(await asyncio.wait_for(label("c"), 5), bytes)
    return f"{task.result().amount} paid"


@app.workflow(name="of no input", durability="behind")
async def empty(ctx: Context) -> list[Payment]:
    await ctx.sleep(1)
    return [Payment(1)]


async def test_what_a_workflow_gives_has_the_type_of_its_function() -> None:
    assert_type(fulfil, Workflow[Order, str])
    assert_type(empty, Workflow[None, list[Payment]])
    assert_type(short, Workflow[None, int])
    assert_type(optional, Workflow[Order | None, int | None])

    assert_type(await app.run(short), int)
    assert_type(await app.run("short"), Any)
    assert_type(await app.run(empty, id="e"), list[Payment])
    assert_type(await app.run(optional, None), int | None)
    assert_type(await app.run(optional, Order(["a"])), int | None)

    handle = await app.start(fulfil, Order(["a", "b"]), id="i", on_conflict="fail")
    assert_type(handle, Handle[str])
    assert_type(await app.drive("i"), Outcome[Any])
    assert_type(await handle.send("approval", {"by": "me"}), bool)
    answer = asyncio.create_task(handle.ask("raw", timeout=60))
    assert_type(answer, asyncio.Task[Any])
    assert_type(await app.run(fulfil, Order([]), id="i"), str)
    assert await answer == "me"
    result = await handle.result(timeout=1)
    assert_type(result, str)
    assert result == "2 paid"

    assert_type(await handle.info(), Info)
    assert_type(await handle.history(), list[EntryInfo])
    assert_type(await handle.state(), dict[str, Any])
    assert_type(await handle.cancel(), bool)
    assert_type(app.handle("i"), Handle[Any])
    assert_type(await app.run_due(), list[Outcome[Any]])
    async for found in app.find(workflow=fulfil, status="completed"):
        assert_type(found, Info)


async def test_outside_of_a_body_a_step_has_the_type_of_its_function() -> None:
    assert_type(await charge(Order([])), Payment)


async def refused(ctx: Context) -> None:
    """Stands here to be read by the checkers: each line is an error to both."""
    await charge("order")  # type: ignore[arg-type]
    await charge()  # type: ignore[call-arg]
    await charge(Order([]), tips=1)  # type: ignore[call-arg]
    wrong: str = await charge(Order([]))  # type: ignore[assignment]
    charge.using(tries=3)  # type: ignore[call-arg]
    charge.undo(peel)  # type: ignore[arg-type]
    charge.using(undo=peel)  # type: ignore[arg-type]
    charge.undo(attempts=3)  # type: ignore[call-overload]
    await ctx.step("wrong undo", slow, undo=refund)  # type: ignore[misc]
    step(attempts=3)  # type: ignore[call-overload]
    workflow(plain)  # type: ignore[arg-type]
    await ctx.step("arguments", label)  # type: ignore[arg-type]
    await ctx.sleep("soon")  # type: ignore[arg-type]
    await ctx.sleep_until(3)  # type: ignore[arg-type]
    await ctx.call(fulfil, wrong)  # type: ignore[misc]
    await ctx.call(fulfil)  # type: ignore[arg-type]
    await ctx.start(short, wrong)  # type: ignore[misc]
    await app.run(fulfil, wrong)  # type: ignore[misc]
    await app.run(fulfil)  # type: ignore[arg-type]
    await app.run(short, wrong)  # type: ignore[misc]
    await app.start(fulfil, Order([]), on_conflict="replace")  # type: ignore[call-overload]
    await app.handle("i").ask("name")  # type: ignore[call-arg]
    Retry(attempts="3")  # type: ignore[arg-type]
