"""Group F: what a loop keeps of its turns, and what it costs."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, Stop, step, workflow
from edgeflow.engine.run import Run
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.trial import Trial, calls, durable, paths, trial, work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from edgeflow import EntryInfo
    from edgeflow.store import Commit, Committed
    from tests.conftest import World

__all__ = ["trial"]  # a fixture

ENDLESS = 10**9


def turns(entries: list[EntryInfo], name: str = "n") -> list[int]:
    """Give the numbers of the turns of which anything is left."""
    found = [e.path[1][2] for e in entries if e.path[0][1] == name and len(e.path) > 1]
    return sorted({int(number) for number in found})


def counting(last: int, **words: int) -> Callable[[Context], Any]:
    """Give a loop with one step in each turn that ends in turn `last`."""

    async def turn(n: int) -> int | Stop[int]:
        await work(n)
        return Stop(n) if n == last else n + 1

    async def body(ctx: Context) -> int:
        return await ctx.loop("n", turn, state=0, **words)

    return body


def dropped(commits: list[Commit]) -> list[int]:
    """Tell which of some commits prune."""
    found = [n for n, c in enumerate(commits) if b'"prune"' in b"".join(c.frames)]
    assert all(b"".join(c.frames).count(b'"prune"') <= 1 for c in commits)
    return found


async def test_turns_are_dropped_in_groups_and_none_twice(trial: Trial) -> None:
    # F-05, S22 G15
    output, commits = await trial.run(counting(8, prune_every=3, keep=3))
    left = [turns(await trial.history(commits[: n + 1])) for n in range(len(commits))]

    assert output == 8
    # Commit 0 starts; commit n + 1 holds the step of turn n; then the return.
    assert left[6] == [0, 1, 2, 3, 4, 5]
    assert left[7] == [3, 4, 5, 6]
    assert left[9] == [3, 4, 5, 6, 7, 8]
    assert left[10] == [6, 7, 8]
    assert dropped(commits) == [7, 10]


@pytest.mark.parametrize(
    ("last", "words", "left"),
    [
        (4, {"prune_every": 2, "keep": 1}, [4]),
        (3, {"prune_every": 1}, [3]),
        (2, {"prune_every": 10, "keep": 10}, [0, 1, 2]),
        (4, {"prune_every": 2, "keep": 0}, []),
    ],
)
async def test_what_is_left_after_stop(
    trial: Trial, last: int, words: dict[str, int], left: list[int]
) -> None:
    # F-06, S22 G15
    _, commits = await trial.run(counting(last, **words))
    entries = await trial.history(commits)

    assert turns(entries) == left
    assert [e.status for e in entries if e.kind == "loop"] == ["completed"]


@pytest.mark.timeout(60)
async def test_by_default_no_more_than_21_turns_are_kept() -> None:
    # F-07, G15
    body = counting(999)
    first, commits = await watched(body, ())
    assert calls == dict.fromkeys(range(1000), 1)
    second, _ = await watched(body, commits[:511])

    # Commit 0 starts; commit n + 1 holds the step of turn n.
    assert calls == dict.fromkeys(range(510, 1000), 1)
    assert max(map(len, first)) == 21
    assert set(map(len, second)) >= set(range(2, 22))
    for kept in [*first, *second]:
        group = kept[-1] // 20 * 20
        assert kept == [999] or kept == list(range(max(group - 1, 0), kept[-1] + 1))


async def watched(
    body: Any, commits: Sequence[Commit]
) -> tuple[list[list[int]], list[Commit]]:
    """Go on after some commits; look at the turns after every seventh commit."""
    clock, memory = VirtualClock(), MemoryStore()
    found: list[list[int]] = []

    class Watching(RecordingStore):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            answer = await super().commit(instance, commit)
            if commit.seq % 7 == 0:
                found.append(turns(await App(memory).handle("i").history()))
            return answer

    for commit in commits:
        await memory.commit("i", commit)
    if commits:
        clock.advance(commits[-1].now - clock.now())
    store = Watching(memory)
    calls.clear()
    app = App(store, clock=clock, lifespan=lambda: nullcontext(clock), poll=1e6)
    app.workflow(name="w")(body)
    assert await app.run("w", id="i") == 999
    assert turns(await App(memory).handle("i").history()) == [999]
    return found, store.commits


async def test_no_crash_leaves_an_orphan_or_half_a_turn(trial: Trial) -> None:
    # F-08, G3
    def body(every: int) -> Any:
        async def turn(n: int) -> int | Stop[int]:
            await work(f"a{n}")
            await work(f"b{n}")
            return Stop(n) if n == 6 else n + 1

        async def looping(ctx: Context) -> int:
            found = await ctx.loop("n", turn, state=0, prune_every=every, keep=2)
            await ctx.sleep(60)
            return found

        return looping

    commits = await trial.everywhere(body(3), 6)
    _, unpruned = await trial.run(body(ENDLESS))

    assert len(commits) == len(unpruned)
    for length in range(1, len(commits) + 1):
        prefix = commits[:length]
        check_whole(await trial.history(prefix))
        _, longer = await trial.run(body(3), prefix)
        entries = await trial.history(longer)
        assert turns(entries) == [5, 6]
        check_whole(entries)


def check_whole(entries: list[EntryInfo]) -> None:
    """Check that what is there of the turns is all that they have recorded."""
    steps = {e.value for e in entries if e.kind == "step" and e.status == "completed"}
    begun = [e.path[-1][2] for e in entries if e.kind == "turn"]
    found = turns(entries)
    assert sorted(begun) == found
    assert found == list(range(found[0], found[-1] + 1)) if found else True
    for number in found[:-1]:
        assert {f"a{number}", f"b{number}"} <= steps


ITEMS = [["a", "b"], ["c"]]

nothing: list[str] = []


async def by_loop(ctx: Context, items: list[str]) -> None:
    async def turn(at: int) -> int | Stop[None]:
        if at == len(items):
            return Stop()
        await work(items[at])
        await ctx.sleep(30)
        return at + 1

    await ctx.loop("inner", turn, state=0)


async def by_join(ctx: Context, items: list[str]) -> None:
    await ctx.join(**{f"item {item}": work(item, at) for at, item in enumerate(items)})


async def by_race(ctx: Context, items: list[str]) -> None:
    for item in items:
        won = await ctx.race(work=work(item, 1), wait=ctx.sleep(3600))
        assert won.name == "work"


async def by_map(ctx: Context, items: list[str]) -> None:
    await ctx.map(work, items, key=str)


@pytest.mark.parametrize("handle", [by_loop, by_join, by_race, by_map])
async def test_what_lies_under_a_turn_goes_with_it(
    world: World, handle: Callable[[Context, list[str]], Awaitable[None]]
) -> None:
    # F-10, G8 G15
    @workflow
    async def body(ctx: Context) -> Any:
        async def turn(done: list[str]) -> list[str] | Stop[list[str]]:
            message = await ctx.receive("items", type=list[str])
            await handle(ctx, message.body)
            done = [*done, *message.body]
            return Stop(done) if len(done) == 3 else done

        return await ctx.loop("n", turn, state=nothing, prune_every=1, keep=1)

    calls.clear()
    order: list[str] = []
    await world.start(body)
    app = world.process(body, lifespan=lambda: nullcontext(world.clock))
    outcome = await app.drive("i")
    for items in ITEMS:
        assert outcome.status == "suspended"
        await world.handle().send("items", items)
        outcome = await fresh(world, body).drive("i")
        while outcome.wake_at is not None:
            assert set(durable(await world.history())) <= {"a", "b", "c"}
            world.clock.advance(outcome.wake_at - world.clock.now())
            outcome = await fresh(world, body).drive("i")
        order += [item for item in calls if item not in order]

    assert outcome.output == ["a", "b", "c"]
    assert calls == {"a": 1, "b": 1, "c": 1}
    assert order == ["a", "b", "c"]
    entries = await world.history()
    assert turns(entries) == [1]
    assert durable(entries) <= {"c"}
    assert all(
        path[:4] == ["n", 0, "turn", 1] for path in paths(entries)[:-2] if path[2:]
    )


def fresh(world: World, body: Any) -> App:
    return world.process(body, lifespan=lambda: nullcontext(world.clock))


@pytest.mark.parametrize("handle", [by_loop, by_join, by_race, by_map])
async def test_blocks_in_a_loop_survive_a_crash_at_every_write(
    trial: Trial, handle: Callable[[Context, list[str]], Awaitable[None]]
) -> None:
    # F-10 F-08, G3 G8
    async def body(ctx: Context) -> Any:
        async def turn(done: list[str]) -> list[str] | Stop[list[str]]:
            items = ITEMS[len(done) // 2]
            await handle(ctx, items)
            done = [*done, *items]
            return Stop(done) if len(done) == 3 else done

        return await ctx.loop("n", turn, state=nothing, prune_every=1, keep=1)

    commits = await trial.everywhere(body, ["a", "b", "c"])
    entries = await trial.history(commits)

    assert turns(entries) == [1]
    assert durable(entries) <= {"c"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("durability", ["step", "suspend"])
async def test_a_long_loop_holds_no_more_than_a_short_one(
    monkeypatch: pytest.MonkeyPatch, durability: Any
) -> None:
    # Q-06 F-07, G15
    clock = VirtualClock()
    runs: list[Run] = []
    sizes: dict[int, dict[str, int]] = {}
    made = Run.__init__

    def remember(self: Run, *args: Any) -> None:
        made(self, *args)
        runs.append(self)

    monkeypatch.setattr(Run, "__init__", remember)

    @step
    async def add(n: int) -> int:
        return n + 1

    async def never() -> None:
        await asyncio.Event().wait()

    app = App(MemoryStore(), clock=clock, durability=durability, poll=1e6)

    @app.workflow(name="w")
    async def body(ctx: Context) -> Any:
        async def turn(n: int) -> int | Stop[int]:
            if n in {99, 499}:
                sizes[n] = measure(runs[0])
            await ctx.race(a=add(n), b=ctx.receive("never", timeout=1000), c=never())
            try:
                async with asyncio.timeout(0.001):
                    await ctx.receive("never", timeout=500)
            except TimeoutError:
                pass
            await ctx.join(a=asyncio.sleep(0), b=add(n))
            await ctx.map(add, [1, 2], limit=1)
            async with ctx.scope(f"scope {n}"):
                n = await add.using(name=f"add {n}")(n)
            return Stop(n) if n == 500 else n

        return await ctx.loop("n", turn, state=0)

    assert await app.run("w", id="i") == 500
    assert sizes[499].keys() == sizes[99].keys()
    for name, size in sizes[99].items():
        assert abs(sizes[499][name] - size) <= 8, name
    assert sizes[99]["journal.entries"] <= 25 * 21


def measure(run: Run) -> dict[str, int]:
    """Count what each collection of a run and of its parts holds."""
    found = {"tasks": sum(not task.done() for task in run.body.tasks)}
    parts = {
        "run": run,
        "journal": run.journal,
        "flusher": run.flusher,
        "mailbox": run.mailbox,
    }
    for word, part in parts.items():
        slots = [
            n for kind in type(part).__mro__ for n in vars(kind).get("__slots__", ())
        ]
        for name in slots:
            value = getattr(part, name)
            if hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
                found[f"{word}.{name}"] = len(value)
    lines: Any = run.journal.lines
    entries: Any = run.journal.entries
    for name in ("_all", "_dirty", "_fresh"):
        found[f"lines.{name}"] = len(getattr(lines, name))
    for name in ("pending", "survivors", "_turns", "_current"):
        found[f"entries.{name}"] = len(getattr(entries, name))
    return found
