"""What a fleet serves: `edgeflow serve tests.fleet.program:app`.

Members form rings of four. Each takes six steps, sends messages to its right
neighbour, and waits for those of its left one.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeflow import App, Context, Retry, current_step, step
from edgeflow.errors import EdgeflowError
from edgeflow.stores import DEFAULT_URL, store_from_url
from tests.fleet.telling import NAMES, Telling

RING = 4
WORK = 0.005
"""Seconds that most steps take."""
RIDE = 0.3
"""Seconds that a step takes beside which a message is awaited."""

told = Telling(Path(os.environ.get("FLEET_TOLD", os.devnull)))


@dataclass(frozen=True)
class Task:
    """What is particular about a member."""

    right: str
    """The id of whom it sends to."""
    nap: float
    """Seconds that it sleeps, twice."""
    fails: bool
    """Whether its first attempt to book fails."""
    is_asked: bool
    """Whether it waits for a question from outside of the fleet."""


def id_of(number: int) -> str:
    return f"m{number:05}"


def task_of(number: int) -> Task:
    ring, place = divmod(number, RING)
    return Task(
        right=id_of(ring * RING + (place + 1) % RING),
        nap=(0.03, 0.4, 1.2)[number % 3],
        fails=number % 5 == 1,
        is_asked=number % 10 == 7,
    )


Done = list[Any]
"""Of a step: its place and its key, as `Telling` writes them."""


class Mishap(EdgeflowError):
    """The first attempt of some."""


def begins() -> Done:
    here = current_step()
    done: Done = [[NAMES.index(here.name) + 1, here.attempt], here.key]
    told.say("begins", here.instance, *done)
    return done


def ends(done: Done) -> Done:
    told.say("ends", current_step().instance, *done)
    return done


async def work(seconds: float = WORK) -> Done:
    done = begins()
    await asyncio.sleep(seconds)
    return ends(done)


@step
async def plan() -> Done:
    return await work()


@step(retry=Retry(attempts=3, first=0.25, jitter=0))
async def book(fails: bool) -> Done:  # noqa: FBT001  a step's arguments are stored
    done = await work()
    if fails and current_step().attempt == 1:
        raise Mishap("nobody answered")
    return done


@step
def pack() -> Done:
    done = begins()
    time.sleep(WORK)
    return ends(done)


@step
async def ride() -> Done:
    return await work(RIDE)


@step
async def rest() -> Done:
    return await work()


@step
async def arrive() -> Done:
    return await work()


def note(ctx: Context, word: str, *values: object) -> None:
    """Tell what the body does, unless it is replayed."""
    if not ctx.replaying:
        told.say(word, ctx.id, *values)


async def receive(ctx: Context, name: str) -> Any:
    note(ctx, "waits", name)
    message = await ctx.receive(name)
    note(ctx, "received", name, message.sent_at)
    return message


async def sleep(ctx: Context, seconds: float) -> None:
    until = ctx.now().timestamp() + seconds
    note(ctx, "sleeps", until)
    await ctx.sleep(seconds)
    note(ctx, "woke", until)


app = App(
    told.watch(store_from_url(os.environ.get("EDGEFLOW_STORE", DEFAULT_URL))),
    observers=[told.hear],
)


@app.workflow
async def member(ctx: Context, task: Task) -> dict[str, list[Any]]:
    """Give the places of its steps, and each message that it got."""
    done = [await plan()]
    for part in range(2):
        await ctx.send(task.right, "hello", [ctx.id, part])
    got = [await receive(ctx, "hello") for _ in range(2)]
    done.append(await book(task.fails))
    await sleep(ctx, task.nap)
    done.append(await pack())
    await ctx.send(task.right, "ticket", [ctx.id, "ticket"])
    both = await ctx.join(ride=ride(), ticket=receive(ctx, "ticket"))
    done.append(both["ride"])
    got.append(both["ticket"])
    if task.is_asked:
        got.append(await receive(ctx, "question"))
        await got[-1].reply([ctx.id, got[-1].body])
    await sleep(ctx, task.nap)
    done += [await rest(), await arrive()]
    return {"done": done, "got": [[m.id, m.name, m.body] for m in got]}
