"""One story to tell to any store, and what the tests of flushes look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from edgeflow import App, Context, Retry, current_step, step
from edgeflow.testing import Fault, FaultyStore, VirtualClock
from tests.conftest import STORES, Shared, make_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edgeflow import EntryInfo, Store
    from edgeflow.store import Commit, Committed, Envelope, Loaded

Body: TypeAlias = Callable[[Context], Coroutine[Any, Any, Any]]

MODES = ("step", "behind", "suspend")
KIB = 1024
ONCE = Retry(attempts=1)
PLAIN = Retry(jitter=0)
LATENCY = 0.1

calls: Counter[object] = Counter()
"""How often the functions of the steps below were entered."""


class Database(Shared):
    """What all processes of a test share; remembers who was written, and how."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.log: list[tuple[str, Commit]] = []
        """Acknowledged commits of every instance, oldest first."""
        self.sent: list[Envelope] = []
        """What was handed to `send`, oldest first."""

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        self.log.append((instance, commit))
        return answer

    async def send(self, message: Envelope) -> bool:
        self.sent.append(message)
        return await super().send(message)

    def of(self, instance: str = "i") -> list[Commit]:
        """Give the acknowledged commits of one instance."""
        return [commit for name, commit in self.log if name == instance]


class Bench:
    """Databases of one kind, and a clock."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.clock = VirtualClock()
        self._kind = kind
        self._folder = folder
        self._made: list[Store] = []

    async def database(self, commits: Sequence[Commit] = ()) -> Database:
        """Give a database in which exactly these commits were written."""
        folder = self._folder / str(len(self._made))
        folder.mkdir()
        self._made.append(make_store(self._kind, folder))
        database = Database(self._made[-1])
        await database.open()
        for commit in commits:
            await database.inner.commit("i", commit)
        return database

    async def close(self) -> None:
        for store in self._made:
            await store.close()

    def app(self, body: Body, store: Store, **settings: Any) -> App:
        """Give a fresh process that knows `body` as the workflow "w"."""
        lifespan = lambda: nullcontext(self.clock)  # noqa: E731
        app = App(store, clock=self.clock, lifespan=lifespan, **settings)
        app.workflow(name="w")(body)
        return app

    def slow(self, inner: Store, seconds: float = LATENCY) -> FaultyStore:
        """Give a store of which each write takes a while before it is written."""
        plan = [Fault(n, "slow", seconds=seconds) for n in range(1, 400)]
        return FaultyStore(inner, plan, clock=self.clock)

    async def loaded(self, store: Store, instance: str = "i") -> Loaded:
        with self.clock.busy():
            found = await store.load(instance)
        assert found is not None
        return found

    async def history(self, store: Store) -> list[EntryInfo]:
        return await App(store, clock=self.clock).handle("i").history()

    async def history_after(self, commits: Sequence[Commit]) -> list[EntryInfo]:
        """Tell what a process finds that comes after exactly these commits."""
        return await self.history(await self.database(commits))

    async def done(self, store: Store) -> list[str]:
        """Give the names of the operations that are durable as completed."""
        entries = await self.history(store)
        return [entry.name for entry in entries if entry.status == "completed"]

    async def done_after(self, commits: Sequence[Commit]) -> list[str]:
        return await self.done(await self.database(commits))


@pytest.fixture(params=STORES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    calls.clear()
    made = Bench(request.param, tmp_path)
    yield made
    await made.close()


# Steps


async def unwork(value: object) -> None:
    calls["undo"] += 1


@step(retry=PLAIN)
async def work(value: int, seconds: float = 0, size: int = 0) -> int | str:
    """Give the value, or a text of some size, after some time."""
    calls[value] += 1
    if seconds:
        await current_step().resources.sleep(seconds)
    return "x" * size or value


@step(retry=PLAIN)
async def nothing(value: str, seconds: float = 0) -> None:
    """Give nothing, after some time."""
    calls[value] += 1
    await current_step().resources.sleep(seconds)


@step(retry=Retry(attempts=3, jitter=0))
async def flaky(failures: int, seconds: float = 0) -> int:
    """Fail some times; then tell in which attempt it succeeds."""
    calls["flaky"] += 1
    if seconds:
        await current_step().resources.sleep(seconds)
    if current_step().attempt <= failures:
        raise ValueError("not yet")
    return current_step().attempt


# Bodies


async def never(_: Context) -> Any:
    raise AssertionError("the body was entered")


async def twenty(_: Context) -> int:
    return sum([int(await work(n)) for n in range(20)])


async def work_sleep_work(ctx: Context) -> int:
    first = await work(1)
    await ctx.sleep(60)
    return int(first) + int(await work(2))


# The story


async def story(ctx: Context) -> Any:
    """Have a bit of everything."""
    found = [await work.using(undo=unwork)(1), await flaky(1)]
    found += [*await ctx.map(lambda n: work(n, n), [2, 3])]
    await ctx.send("somebody", "news", found)
    await ctx.sleep(60)
    message = await ctx.receive("hello", timeout=60)
    return [*found, message.body, await work(4)]


STORY = [1, 2, 2, 3, "you", 4]
CALLS = {1: 1, 2: 1, 3: 1, 4: 1, "flaky": 2}

TELLINGS = [("step", False), ("behind", False), ("suspend", False), ("step", True)]
"""In each mode, parked over its waits; and by replay after each."""


async def tell(
    bench: Bench, store: Store, *, replay: bool = False, **settings: Any
) -> Any:
    """Run the story to its end; with `replay`, in a new process after each wait."""
    if not replay:
        return await bench.app(story, store, **settings).run("w", id="i")
    await bench.app(story, store, **settings).start("w", id="i")
    while True:
        outcome = await bench.app(story, store, **settings).drive("i")
        if outcome.status == "completed":
            return outcome.output
        assert outcome.wake_at is not None
        bench.clock.advance(max(0.0, outcome.wake_at - bench.clock.now()))


async def with_message(bench: Bench) -> Database:
    """Give a database in which the message waits that the story asks for."""
    database = await bench.database()
    await App(database, clock=bench.clock).handle("i").send("hello", "you", id="m")
    calls.clear()
    return database


async def sent_once(bench: Bench, store: Store) -> bool:
    with bench.clock.busy():
        return [m.name for m in await store.unread("somebody")] == ["news"]
