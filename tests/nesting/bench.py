"""Runs one body to its end: by replay only, at a stretch, or through a crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow import (
    App,
    ChildError,
    Context,
    Retry,
    StepError,
    current_step,
    step,
    workflow,
)
from edgeflow.errors import StoreError
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultyStore
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow import EntryInfo, Event, Outcome, Workflow
    from edgeflow.engine.settings import Durability

TROUBLE = (Crashed, StoreError)
PROCESSES = 200
NEVER = "never"
"""How the names of messages begin that nobody sends."""

Piece: TypeAlias = Callable[["Visit"], Coroutine[Any, Any, Any]]
"""A part of a body."""


class Trouble(Exception):
    """How the steps of a piece fail; its argument says where."""


bench_of: ContextVar[Bench] = ContextVar("bench_of")
"""Whose body this is: steps get it with the context of the body."""


@step(retry=Retry(attempts=2, first=60, cap=60, jitter=0))
async def work(label: str, fails: int = 0, takes: float = 0) -> str:
    """Be counted; fail in the first attempts, or else give the label."""
    bench, attempt = bench_of.get(), current_step().attempt
    bench.calls[label, attempt] += 1
    if takes:
        await bench.clock.sleep(takes)
    if attempt <= fails:
        raise Trouble(label)
    return label


@dataclass(frozen=True)
class Visit:
    """One entry of the body, and a place in it: what a piece is given."""

    ctx: Context
    bench: Bench
    trace: list[tuple[str, Any]]
    place: str = ""
    seen: set[str] = field(default_factory=set[str])

    def within(self, name: object) -> Visit:
        """Go to a place of its own: labels in it differ from those elsewhere."""
        return Visit(
            self.ctx, self.bench, self.trace, f"{self.place}{name}/", self.seen
        )

    @property
    def late(self) -> float:
        """Seconds after which all that lies deeper is long done."""
        return 1e10 * 0.2 ** self.place.count("/")

    def label(self, name: str) -> str:
        label = self.place + name
        assert label not in self.seen, f"{label} is met twice in one run"
        self.seen.add(label)
        return label

    def note(self, name: str, value: Any) -> Any:
        """Remember that the body was here, and what it saw."""
        self.trace.append((self.label(name), value))
        return value

    async def step(self, name: str, *, fails: int = 0, takes: float = 0) -> str:
        """Run a step: all have one name, and give their label."""
        label = self.label(name)
        value = await work(label, fails, takes)
        assert value == label
        self.trace.append((label, value))
        return value

    async def fail(self, name: str) -> str:
        """Run a step that fails for good."""
        return await work.using(retry=Retry(attempts=1))(self.label(name), 1)

    async def receive(self, name: str = "go") -> Any:
        label = self.label(name)
        message = await self.ctx.receive(label)
        self.trace.append((label, message.body))
        return message.body


def describe(error: BaseException) -> Any:
    """Give all that a body can see of an error, as plain values."""
    known: list[Any] = [type(error).__name__, str(error)]
    if isinstance(error, ChildError):
        assert error.error is not None
        known += [error.kind, error.workflow, error.id]
        known += [error.error.type, error.error.message, error.error.data]
    if isinstance(error, StepError):
        why = error.error
        known += [error.kind, error.step, error.attempts]
        known += [why.type.rpartition(".")[2], why.message, why.data]
    among: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    known += [describe(each) for each in among]
    known += list(getattr(error, "errors", ()))
    return known


Entry: TypeAlias = tuple[Any, ...]


class Bench:
    """One instance of one body, in process after process."""

    def __init__(
        self,
        piece: Piece,
        plan: Iterable[Fault] = (),
        durability: Durability = "step",
        others: Iterable[Workflow[Any, Any]] = (),
    ) -> None:
        self.clock = VirtualClock()
        self.memory = MemoryStore()
        self.faulty = FaultyStore(self.memory, plan, clock=self.clock)
        self.store: FaultyStore | MemoryStore = self.faulty
        self.durability: Durability = durability
        self.others = tuple(others)
        """What its body may call."""
        self.calls: Counter[tuple[str, int]] = Counter()
        """How often each attempt of each step was entered."""
        self.visits: list[Visit] = []
        self.began = self.clock.now()
        self.sent = 0
        self.durable: Counter[tuple[str, int]] | None = None
        """After a crash: the calls by then of what is recorded."""

        async def body(ctx: Context) -> Any:
            bench_of.set(self)
            visit = Visit(ctx, self, [])
            self.visits.append(visit)
            return await piece(visit)

        self.code: Workflow[None, Any] = workflow(name="tree")(body)

    def process(self, **options: Any) -> App:
        return App(
            self.store,
            workflows=[self.code, *self.others],
            clock=self.clock,
            durability=self.durability,
            **options,
        )

    async def finish(self) -> Outcome[Any]:
        """Drive it in process after process; nothing is left in memory between."""
        for _ in range(PROCESSES):
            app = self.process()
            try:
                if len(self.visits) == 0:
                    await app.start(self.code, id="i")
                outcome = await app.drive("i")
                if outcome.status != "suspended":
                    return outcome
                await self._go_on(app, outcome)
            except TROUBLE:
                assert self.faulty.struck
                if self.faulty.crashed:
                    self.store = self.memory
                self.durable = await self._durable()
        raise AssertionError(f"no end after {PROCESSES} processes")

    async def finish_at_a_stretch(self) -> Outcome[Any]:
        """Run it in one process, from memory alone."""

        async def hear(event: Event) -> None:
            if event.kind == "suspended":
                await self._send(app, event.awaiting)

        app = self.process(observers=[hear])
        await app.run(self.code, id="i")
        assert len(self.visits) == 1
        return await app.drive("i")

    async def _go_on(self, app: App, outcome: Outcome[Any]) -> None:
        if await self._send(app, outcome.awaiting):
            return
        if any(name.startswith("~child") for name in outcome.awaiting):
            app = self.process()
            if await app.run_due():
                return
        wakes = [info.wake_at async for info in app.find(status="suspended")]
        wake_at = min(time for time in wakes if time is not None)
        self.clock.advance(max(0.0, wake_at - self.clock.now()))

    async def _send(self, app: App, names: Iterable[str]) -> bool:
        wanted = [n for n in names if NEVER not in n and n[0] != "~"]
        for name in wanted:
            while not await app.handle("i").send(name, name, id=f"{self.sent}"):
                self.sent += 1
            self.sent += 1
        return bool(wanted)

    async def entries(self) -> list[EntryInfo]:
        if await self.memory.load("i") is None:
            return []
        return await App(self.memory, clock=self.clock).handle("i").history()

    async def history(self) -> list[Entry]:
        """Give what the journal holds in the end, in its order."""
        return [
            (entry.path, entry.status, entry.attempts, entry.value, entry.error)
            for entry in _plain(await self.entries())
        ]

    async def _durable(self) -> Counter[tuple[str, int]]:
        found: Counter[tuple[str, int]] = Counter()
        for entry in await self.entries():
            if entry.kind != "step" or entry.status == "cancelled":
                continue
            label = entry.error.message if entry.error else entry.value
            for attempt in range(1, entry.attempts + 1):
                found[label, attempt] = self.calls[label, attempt]
        return found


def _plain(entries: list[EntryInfo]) -> Iterable[EntryInfo]:
    for entry in entries:
        if entry.kind == "receive" and entry.value:
            object.__setattr__(entry, "value", [m["name"] for m in entry.value])
        yield entry


@dataclass(frozen=True)
class Story:
    """How a body went: what came out, and what was done."""

    output: Any
    calls: Counter[tuple[str, int]]
    history: list[Entry]
    trace: list[tuple[str, Any]]


async def told(piece: Piece, **options: Any) -> Story:
    """Give the story of an uninterrupted run: what every other one is held against."""
    bench = Bench(piece, **options)
    outcome = await bench.finish_at_a_stretch()
    assert outcome.status == "completed", outcome
    assert set(bench.calls.values()) <= {1}
    (visit,) = bench.visits
    return Story(outcome.output, bench.calls, await bench.history(), visit.trace)


async def retold(
    piece: Piece, *, processes: int = 2, in_order: bool = True, **options: Any
) -> Story:
    """Run a body by replay alone, and find it the same as in one process.

    Not `in_order`: several things happen at one time, and either may be the first.
    """
    story = await told(piece, **options)
    bench = Bench(piece, **options)
    outcome = await bench.finish()

    assert outcome.status == "completed", outcome
    assert outcome.output == story.output
    assert bench.calls == story.calls
    history = await bench.history()
    assert sorted(map(repr, history)) == sorted(map(repr, story.history))
    assert not in_order or history == story.history
    assert len(bench.visits) >= processes
    last = lasting(bench.visits[-1].trace)
    for visit in bench.visits:
        seen = lasting(visit.trace)
        assert seen == last[: len(seen)]
    assert not in_order or last == lasting(story.trace)
    return story


def lasting(trace: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Leave out what lies in loops: a turn that is past is not run again."""
    return [(label, value) for label, value in trace if "turn " not in label]
