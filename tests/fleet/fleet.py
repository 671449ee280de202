"""A fleet on one store, from the first start of an instance to the last end."""

from __future__ import annotations

import asyncio
import resource
import signal
import time
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from edgeflow import App
from edgeflow.store import Query
from edgeflow.stores import store_from_url
from tests.fleet.figures import latencies
from tests.fleet.judge import End, Message, Verdict, Wanted, judge
from tests.fleet.processes import Fleet
from tests.fleet.program import id_of, member, task_of

if TYPE_CHECKING:
    from pathlib import Path

    from edgeflow.store import Store

PLACES = 4
TURN = 0.02
"""Seconds between looks at the processes."""
LOOK = 1.0
"""Seconds between looks into the store, once the processes have told of most ends."""
AT_ONCE = 50
"""How many instances are started at a time."""
FAR = 1e6
"""Seconds after which nobody's lease and nobody's sleep lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voyage:
    """What is to happen."""

    url: str
    """Of the store; there is nothing in it."""
    folder: Path
    """Where the processes tell what they do."""
    members: int
    """How many instances; a multiple of four."""
    ends: int
    """How many processes end before their time."""
    lease: float
    """Seconds after which what a killed process ran is taken over."""
    seed: int
    """Of when and how they do."""
    limit: float
    """Seconds after which it is given up."""


@dataclass(frozen=True, slots=True)
class Landfall:
    """What has happened."""

    complaints: list[str]
    figures: dict[str, Any]


async def sail(voyage: Voyage) -> Landfall:
    """Let the members run in a fleet until all have ended."""
    settings = {"EDGEFLOW_STORE": voyage.url, "EDGEFLOW_LEASE": f"{voyage.lease}s"}
    app = App(store_from_url(voyage.url), workflows=[member], config={})
    began, spent = time.monotonic(), _cpu()
    chance = Random(voyage.seed)
    with Fleet(voyage.folder, settings, PLACES, voyage.ends, chance) as fleet:
        async with app.session.using():
            errands = asyncio.ensure_future(_errands(app, voyage))
            await _until_over(fleet, app.store, voyage, began + voyage.limit)
            took = time.monotonic() - began
            fleet.stop()
            while not fleet.is_over():
                fleet.turn()
                await asyncio.sleep(TURN)
            fleet.turn()
            errands.cancel()
            answers = (await asyncio.gather(errands, return_exceptions=True))[0]
            ends = await _ends(app)
            due = await app.store.claim(time.time() + FAR, 10, 1.0, "the judge")
    lives = [served.as_life() for served in fleet.served]
    verdict = judge(lives, ends, _wanted(voyage.members))
    complaints = [*(c for served in fleet.served for c in served.complaints())]
    complaints += verdict.complaints
    if answers != _answers(voyage.members):
        complaints.append(f"answers to questions: {answers!r}")
    if due:
        complaints.append(f"still due: {due}")
    figures = _figures(voyage, fleet, verdict, took, _cpu() - spent)
    return Landfall(complaints, figures | {"latency": latencies(lives)})


# --- from outside -----------------------------------------------------------------


async def _errands(app: App, voyage: Voyage) -> list[Any]:
    """Start all, and ask some; give their answers."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Any:
        task = task_of(number)
        async with gate:
            handle = await app.start(member, task, id=id_of(number))
        if task.is_asked:
            return await handle.ask("question", number, timeout=voyage.limit)
        return None

    return await asyncio.gather(*map(one, range(voyage.members)))


def _answers(members: int) -> list[Any]:
    return [
        [id_of(number), number] if task_of(number).is_asked else None
        for number in range(members)
    ]


async def _until_over(
    fleet: Fleet, store: Store, voyage: Voyage, give_up: float
) -> None:
    """Let the fleet be until all have ended, or it is given up."""
    ended: set[str] = set()
    look_at = 0.0
    while time.monotonic() < give_up:
        for word, _, instance, *values in fleet.turn():
            if word == "wrote" and values[1] == "completed":
                ended.add(instance)
        if len(ended) == voyage.members:
            return
        # A process may be killed before it tells of an end.
        if len(ended) > voyage.members * 0.9 and time.monotonic() > look_at:
            query = Query(status="completed")
            ended |= {head.instance async for head in store.find(query)}
            look_at = time.monotonic() + LOOK
        await asyncio.sleep(TURN)


async def _ends(app: App) -> dict[str, End]:
    found: dict[str, End] = {}
    async for head in app.store.find(Query()):
        output = None
        if head.status == "completed":
            output = await app.handle(head.instance).result(timeout=1)
        unread = len(await app.store.unread(head.instance))
        found[head.instance] = End(head.status, output, unread)
    return found


def _wanted(members: int) -> dict[str, Wanted]:
    """Say what the outcome of each has to be."""
    left = {task_of(number).right: id_of(number) for number in range(members)}
    found: dict[str, Wanted] = {}
    for number in range(members):
        task, me = task_of(number), id_of(number)
        places = [(step, 1 + (step == 2 and task.fails)) for step in range(1, 7)]
        messages: list[Message] = [("hello", [left[me], part]) for part in range(2)]
        messages.append(("ticket", [left[me], "ticket"]))
        if task.is_asked:
            messages.append(("question", number))
        found[me] = Wanted(places, messages)
    return found


# --- figures ----------------------------------------------------------------------


def _cpu() -> float:
    """Give the seconds that processes which have ended spent on a processor."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _figures(
    voyage: Voyage, fleet: Fleet, verdict: Verdict, took: float, cpu: float
) -> dict[str, Any]:
    words = Counter(
        f"{word} {'open' if word == 'fenced' and values[0] else ''}".strip()
        for served in fleet.served
        for word, _, _, *values in served.lines
    )
    return {
        "members": voyage.members,
        "seconds": round(took, 2),
        "members/s": round(voyage.members / took, 1),
        "cpu ms/member": round(1000 * cpu / voyage.members, 1),
        "killed": fleet.count(signal.SIGKILL),
        "restarts": fleet.restarts,
        "opened": dict(verdict.counts),
        "in flight repeated": dict(verdict.repeated),
        "commits": words["opened"] + words["wrote"],
        "fenced": words["fenced"],
        "fenced at OPEN": words["fenced open"],
        "leases lost": words["lost"],
        "claims": words["claimed"],
    }
