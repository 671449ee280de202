"""Runs the tree of a generated program as the body of a workflow."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from edgeflow import ChildError, Context, Retry, StepError, Stop, current_step, workflow
from edgeflow.errors import BranchErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow import Workflow

    from . import programs as p
    from .lives import Life, Process
    from .world import World

Place: TypeAlias = tuple[str | int, ...]

SINK = "sink"


class Trouble(Exception):
    """How everything fails here; its argument says where."""


def fraction(*place: object) -> float:
    """Give a part of half a second that no other place has.

    So no two things happen in one instant unless one follows from the other. It is
    exact in binary, as are the sums of such times.
    """
    digest = sha256(repr(place).encode()).digest()
    return (int.from_bytes(digest[:4], "big") % 2**29 + 1) / 2**30


def label_of(place: Place) -> str:
    return "/".join(map(str, place))


def length(wait: int, *place: object) -> float:
    """Give a duration in s: so many half seconds and a little more."""
    return wait / 2 + fraction(*place)


def told(error: BaseException) -> Any:
    """Write an error as the body sees it."""
    name = type(error).__name__
    if isinstance(error, BranchErrors):
        return [name, {key: told(each) for key, each in error.errors.items()}]
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [name, [told(each) for each in group.exceptions]]
    if isinstance(error, StepError):
        why = [error.error.type, error.error.message, error.error.data]
        return [name, error.kind, error.step, error.attempts, why]
    if isinstance(error, ChildError):
        return [name, error.kind, error.error.type, error.error.message]
    return [name, str(error)]


async def take_back(value: dict[str, Any]) -> None:
    """Undo a step."""
    life: Life | Process = current_step().resources
    attempt = current_step().attempt
    life.began("undo", value["label"], attempt)
    await asyncio.sleep(0)
    if attempt <= value["undo_fails"]:
        raise Trouble(f"undo {value['label']} #{attempt}")
    life.ended("undo", value["label"])


UNDO_FAILS = {"": 0, "plain": 0, "flaky": 1, "broken": 99}


class Interpreter:
    """One entry of a body."""

    def __init__(self, ctx: Context, world: World) -> None:
        self.ctx = ctx
        self.world = world

    async def run(self, node: p.Node, place: Place) -> Any:
        """Do what a node says; `place` is where it stands, turns and items included."""
        work: Callable[[Any, Place], Coroutine[Any, Any, Any]]
        work = getattr(self, type(node).__name__.lower())
        return await work(node, place)

    def parts(
        self, found: tuple[p.Node, ...], place: Place
    ) -> list[Coroutine[Any, Any, Any]]:
        return [self.run(part, (*place, at)) for at, part in enumerate(found)]

    # --- leaves -------------------------------------------------------------------

    async def step(self, node: p.Step, place: Place) -> Any:
        policy = Retry(attempts=node.attempts, first=node.back_off, factor=1, jitter=0)
        began = asyncio.get_running_loop().time()

        async def call() -> Any:
            return await self.attempt(node, place, began)

        undo = take_back if node.undo else None
        found = await self.ctx.step(node.name, call, retry=policy, undo=undo)
        if self.world.mode == "step" and not self.world.is_written(
            f'"{found["label"]}"'
        ):
            self.world.complain(f"the body has {found} before it is durable")
        return found

    async def attempt(self, node: p.Step, place: Place, began: float) -> Any:
        """Be an attempt, which ends at its time however often it is begun."""
        step, label = current_step(), label_of(place)
        life: Life | Process = step.resources
        life.began("step", label, step.attempt)
        ends = began + (step.attempt - 1) * node.back_off
        ends += sum(length(node.wait, place, at) for at in range(step.attempt))
        await self.world.until(ends)
        step.state[label] = step.attempt
        if step.attempt <= node.fails:
            raise Trouble(f"step {label} #{step.attempt}")
        life.ended("step", label)
        return {"label": label, "undo_fails": UNDO_FAILS[node.undo]}

    async def sleep(self, node: p.Sleep, place: Place) -> None:
        sleep = asyncio.sleep if node.by_asyncio else self.ctx.sleep
        await sleep(length(node.wait, place))

    async def receive(self, node: p.Receive, place: Place) -> Any:
        wait = self.world.patience if node.wait is None else length(node.wait, place)
        if node.many:
            many = await self.ctx.receive_many(node.name, limit=2, timeout=wait)
            return [message.body for message in many]
        return (await self.ctx.receive(node.name, timeout=wait)).body

    async def send(self, node: p.Send, place: Place) -> None:
        await self.ctx.send(SINK, "note", label_of(place))

    async def status(self, node: p.Status, place: Place) -> None:
        await self.ctx.status(label_of(place))

    async def version(self, node: p.Version, place: Place) -> int:
        return await self.ctx.version(node.name, node.latest)

    async def checkpoint(self, node: p.Checkpoint, place: Place) -> None:
        await self.ctx.checkpoint("paid")

    async def now(self, node: p.Now, place: Place) -> str:
        return self.ctx.now().isoformat()

    async def raise_(self, node: p.Raise, place: Place) -> None:
        raise Trouble(label_of(place))

    async def call(self, node: p.Call, place: Place) -> Any:
        child = self.world.number_of(node.child)
        given = {"child": child, "place": list(place)}
        try:
            return await self.ctx.call(self.world.child, given)
        except asyncio.CancelledError:
            self.world.abandoned.add(label_of(place))
            raise

    async def start(self, node: p.Start, place: Place) -> str:
        child = self.world.number_of(node.child)
        given = {"child": child, "place": list(place)}
        self.world.started.add(label_of(place))
        return await self.ctx.start(self.world.child, given, id=label_of(place))

    # --- blocks -------------------------------------------------------------------

    async def series(self, node: p.Series, place: Place) -> list[Any]:
        items = enumerate(node.items)
        return [await self.run(item, (*place, at)) for at, item in items]

    async def join(self, node: p.Join, place: Place) -> dict[str, Any]:
        branches = zip("abc", self.parts(node.branches, place), strict=False)
        return await self.ctx.join(**dict(branches))

    async def race(self, node: p.Race, place: Place) -> list[Any]:
        branches = zip("abc", self.parts(node.branches, place), strict=False)
        winner = await self.ctx.race(**dict(branches))
        return [winner.name, winner.value]

    async def map(self, node: p.Map, place: Place) -> list[Any]:
        async def each(item: int) -> Any:
            return await self.run(node.each, (*place, item))

        return await self.ctx.map(
            each,
            range(node.items),
            limit=node.limit,
            key=(lambda item: f"item-{item}") if node.keyed else None,
            min_ok=node.min_ok,
            max_failed=node.max_failed,
        )

    async def loop(self, node: p.Loop, place: Place) -> list[Any]:
        async def turn(state: list[Any]) -> list[Any] | Stop[list[Any]]:
            at = len(state)
            state.append(await self.run(node.turn, (*place, at)))
            return Stop(state) if at + 1 == node.turns else state

        found: list[Any] = await self.ctx.loop(
            "loop", turn, state=[], keep=node.keep, prune_every=node.prune_every
        )
        return found

    async def scope(self, node: p.Scope, place: Place) -> Any:
        async with self.ctx.scope(node.name):
            return await self.run(node.body, (*place, "body"))

    async def try_(self, node: p.Try, place: Place) -> Any:
        try:
            return await self.run(node.body, (*place, "body"))
        except Exception as error:
            return [told(error), await self.run(node.otherwise, (*place, "except"))]

    async def finally_(self, node: p.Finally, place: Place) -> Any:
        try:
            return await self.run(node.body, (*place, "body"))
        finally:
            await self.run(node.after, (*place, "finally"))

    async def gather(self, node: p.Gather, place: Place) -> list[Any]:
        works = self.parts(node.branches, place)
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            found = await asyncio.gather(*tasks, return_exceptions=node.collect)
        finally:
            await asyncio.wait(tasks)
        return [told(x) if isinstance(x, BaseException) else x for x in found]

    async def group(self, node: p.Group, place: Place) -> list[Any]:
        async with asyncio.TaskGroup() as group:
            works = self.parts(node.branches, place)
            tasks = [group.create_task(work) for work in works]
        return [task.result() for task in tasks]

    async def first(self, node: p.First, place: Place) -> list[int]:
        works = self.parts(node.branches, place)
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return [at for at, task in enumerate(tasks) if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()

    async def timeout(self, node: p.Timeout, place: Place) -> Any:
        async with asyncio.timeout(length(node.wait, place)):
            return await self.run(node.body, (*place, "body"))


for _word in ("raise", "try", "finally"):
    setattr(Interpreter, _word, getattr(Interpreter, f"{_word}_"))


def workflows(world: World) -> tuple[Workflow[None, Any], Workflow[Any, Any]]:
    """Make the two workflows of a world: its program, and the children of it."""

    @workflow
    async def main(ctx: Context) -> Any:
        return await Interpreter(ctx, world).run(world.program.body, ("root",))

    @workflow
    async def child(ctx: Context, given: dict[str, Any]) -> Any:
        body = world.program.children[given["child"]]
        place = (*given["place"], "child")
        return await Interpreter(ctx, world).run(body, place)

    return main, child
