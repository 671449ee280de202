"""The reference workflows of the crash matrix, W1 to W8 (CONFORMANCE O).

Each gets the length of its short waits, in seconds: 60 in virtual time, far less where
real processes are killed. Nothing that a fault may rightly change comes out of them: a
race is lost by what waits a thousand times as long.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow import (
    Context,
    ReceiveTimeout,
    Retry,
    StepError,
    Stop,
    current_step,
    step,
    workflow,
)
from edgeflow.testing.posts import Post

if TYPE_CHECKING:
    from edgeflow import Workflow
    from edgeflow.store import Status

LONG = 1000
"""How many short waits make a long one."""


class Trouble(Exception):
    """How the steps of a reference workflow fail."""


@dataclass(frozen=True)
class Reference:
    """A workflow, with all that it takes, and its end."""

    name: str
    workflows: tuple[Workflow[Any, Any], ...]
    """It, and its children after it."""
    output: Any = None
    messages: tuple[Post, ...] = ()
    state: Any = None
    """What is left as state in the end; None: nothing."""
    error: str = ""
    """The message of its failure; "": it completes."""
    answers: tuple[Any, ...] = ()
    """What those are told whose messages ask."""
    notes: tuple[Any, ...] = ()
    """What lies unread in the inbox of the ledger."""
    input: float = 60.0
    """Its short waits, in seconds."""

    @property
    def main(self) -> Workflow[Any, Any]:
        return self.workflows[0]

    @property
    def status(self) -> Status:
        return "failed" if self.error else "completed"

    def __str__(self) -> str:
        return self.name


@step
async def work(value: Any) -> Any:
    return value


@step
async def flaky(value: Any, fails: int = 1) -> Any:
    """Fail in the first attempts."""
    attempt = current_step().attempt
    if attempt <= fails:
        raise Trouble(f"{value}, attempt {attempt}")
    return value


def patient(wait: float, attempts: int = 4, jitter: float = 0.1) -> Retry:
    return Retry(attempts=attempts, first=wait, factor=1, cap=wait, jitter=jitter)


# --- W1: attempts -------------------------------------------------------------------


@step(at_most_once=True)
async def pay() -> str:
    return "paid"


@workflow(name="w1")
async def w1(ctx: Context, wait: float) -> list[Any]:
    found = [await flaky.using(retry=patient(wait, attempts=3))("third", fails=2)]
    try:
        await flaky.using(retry=patient(wait, attempts=2))("never", fails=2)
    except StepError as error:
        found.append([error.kind, error.attempts, error.error.message])
    with suppress(StepError):  # interrupted, if a process dies between its two commits
        await pay()
    return [*found, await work(ctx.workflow)]


# --- W2: waits ----------------------------------------------------------------------


@workflow(name="w2")
async def w2(ctx: Context, wait: float) -> list[Any]:
    await ctx.sleep(wait)
    order = await ctx.receive("order")
    found = [await work(order.body)]
    timely = await ctx.receive("approval", timeout=LONG * wait)
    found.append(timely.body)
    try:
        await ctx.receive("objection", timeout=wait)
    except ReceiveTimeout:
        found.append(await work("nobody objects"))
    return found


# --- W3: join, race, map ------------------------------------------------------------


@workflow(name="w3")
async def w3(ctx: Context, wait: float) -> list[Any]:
    async def after(length: int, value: str) -> Any:
        await ctx.sleep(length * wait)
        return await work(value)

    async def told() -> Any:
        return (await ctx.receive("word")).body

    async def each(item: int) -> int:
        await work(item)
        await ctx.sleep(wait)
        return 2 * item

    both = await ctx.join(slept=after(1, "slept"), told=told())
    winner = await ctx.race(slow=after(LONG, "slow"), quick=after(1, "quick"))
    return [both, winner.name, winner.value, await ctx.map(each, [1, 2, 3], limit=2)]


# --- W4: a loop over messages -------------------------------------------------------


@step
async def add(amount: int) -> int:
    state = current_step().state
    state["total"] = state.get("total", 0) + amount
    return amount


@workflow(name="w4")
async def w4(ctx: Context, wait: float) -> list[int]:
    async def turn(amounts: list[int]) -> list[int] | Stop[list[int]]:
        message = await ctx.receive("amount", "close")
        if message.name == "close":
            await ctx.sleep(wait)
            return Stop(amounts)
        return [*amounts, await add(message.body)]

    return await ctx.loop("amounts", turn, state=list[int](), keep=1, prune_every=2)


# --- W5: undo -----------------------------------------------------------------------


@step
async def reserve(seat: str) -> str:
    return seat


@reserve.undo
async def release(seat: str) -> None:
    if seat == "hotel" and current_step().attempt == 1:
        raise Trouble("the hotel does not answer")


@workflow(name="w5")
async def w5(ctx: Context, wait: float) -> None:
    async def leg(number: int) -> int | Stop[None]:
        await reserve(f"leg {number}")
        return number + 1 if number < 2 else Stop(None)

    await ctx.loop("legs", leg, state=0, prune_every=1)
    await ctx.join(hotel=reserve("hotel"), car=reserve("car"))
    await ctx.sleep(wait)
    raise Trouble("no visa")


# --- W6: state ----------------------------------------------------------------------


@step
async def count(name: str) -> int:
    state = current_step().state
    number: int = state.get("count", 0) + 1
    await asyncio.sleep(0)  # the other one reads meanwhile
    state["count"] = number
    state[name] = True
    return len(name)


@step
async def read() -> int:
    number: int = current_step().state["count"]
    return number


@workflow(name="w6")
async def w6(ctx: Context, wait: float) -> list[int]:
    retry = patient(wait)
    found = await asyncio.gather(
        count.using(retry=retry)("left"), count.using(retry=retry)("right")
    )
    await ctx.sleep(wait)
    return [*found, await read()]


# --- W7: messages and children ------------------------------------------------------


@workflow(name="w7 child")
async def child(ctx: Context, wait: float) -> Any:
    await ctx.sleep(wait)
    return await work("from the child")


@workflow(name="w7 errand")
async def errand(ctx: Context, to: str) -> None:
    await ctx.send(to, "note", await work("done"))


@workflow(name="w7")
async def w7(ctx: Context, wait: float) -> list[Any]:
    question = await ctx.receive("question")
    answer = await work(2 * question.body)
    await question.reply(answer)
    await ctx.send("ledger", "note", answer)
    await ctx.start(errand, "ledger")
    return [answer, await ctx.call(child, wait)]


# --- W8: everything in everything ---------------------------------------------------


@workflow(name="w8")
async def w8(ctx: Context, wait: float) -> list[Any]:
    async def each(item: str) -> Any:
        fails = int(item.endswith("a"))
        found = await flaky.using(retry=patient(wait, jitter=0))(item, fails)
        await ctx.sleep(wait)
        return found

    async def told() -> Any:
        return (await ctx.receive("go")).body

    async def turn(found: list[Any]) -> list[Any] | Stop[list[Any]]:
        items = [f"{len(found)}{letter}" for letter in "ab"]
        both = await ctx.join(
            first=ctx.race(quick=ctx.map(each, items), slow=ctx.sleep(LONG * wait)),
            told=told(),
        )
        found = [*found, [both["first"].value, both["told"]]]
        return Stop(found) if len(found) == 2 else found

    return await ctx.loop("turns", turn, state=list[Any](), keep=0, prune_every=1)


REFERENCES = (
    Reference("W1", (w1,), ["third", ["exhausted", 2, "never, attempt 2"], "w1"]),
    Reference(
        "W2",
        (w2,),
        ["tea", "granted", "nobody objects"],
        (Post("order", "tea"), Post("approval", "granted")),
    ),
    Reference(
        "W3",
        (w3,),
        [{"slept": "slept", "told": "hello"}, "quick", "quick", [2, 4, 6]],
        (Post("word", "hello"),),
    ),
    Reference(
        "W4",
        (w4,),
        [1, 2, 3],
        (*(Post("amount", amount) for amount in (1, 2, 3)), Post("close")),
        state={"total": 6},
    ),
    Reference("W5", (w5,), error="no visa"),
    Reference("W6", (w6,), [4, 5, 2], state={"count": 2, "left": True, "right": True}),
    Reference(
        "W7",
        (w7, child, errand),
        [42, "from the child"],
        (Post("question", 21, asks=True),),
        answers=(42,),
        notes=(42, "done"),
    ),
    Reference(
        "W8",
        (w8,),
        [[["0a", "0b"], "left"], [["1a", "1b"], "right"]],
        (Post("go", "left"), Post("go", "right")),
    ),
)
