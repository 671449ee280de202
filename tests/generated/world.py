"""Runs a generated program: at one stretch, or by processes that come and go."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeflow import App, EdgeflowError, Fenced, InstanceFinished, StoreUnavailable
from edgeflow.engine import opening
from edgeflow.store import TERMINAL, Query
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, Fault, FaultyStore
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore

from .interpreter import SINK, fraction, workflows
from .lives import Life, Process
from .telling import name_of, timeless, told_of

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Callable,
        Collection,
        Coroutine,
        Sequence,
    )

    from edgeflow.engine.entries import Entry
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.settings import Durability
    from edgeflow.store import Head, Store

    from .programs import Node, Program
    from .telling import Told

START = 1024.0
ROUNDS = 2000
"""Looks for work after which a program is said not to end."""
ENDED = {*TERMINAL, "blocked"}


@dataclass
class World:
    """A store, a clock and a program, and the processes that run it."""

    program: Program
    mode: Durability = "step"
    crashes: Collection[int] = ()
    """The commits right after which the process that wrote them ends."""
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START))
    store: RecordingStore = field(default_factory=lambda: RecordingStore(MemoryStore()))
    durable: set[str] = field(default_factory=set[str])
    """Steps and undos that have ended well, and will never be begun again."""
    failed: dict[str, int] = field(default_factory=dict[str, int])
    """Which attempt of a step has failed for certain."""
    outcomes: dict[Any, Any] = field(default_factory=dict[Any, Any])
    commits: int = 0
    deaths: int = 0
    begun: dict[str, tuple[int, Life]] = field(default_factory=dict[str, Any])
    effects: Counter[str] = field(default_factory=Counter[str])
    complaints: list[str] = field(default_factory=list[str])
    abandoned: set[str] = field(default_factory=set[str])
    """Calls that were cancelled: how far their children come is a matter of luck."""
    started: set[str] = field(default_factory=set[str])
    """Children that nobody waits for: the mode says how late they are created."""
    lives: dict[str, Life | Process] = field(default_factory=dict[str, Any])
    """Who runs an instance, by its id."""
    patience: float | None = None
    """Seconds that are waited for a message by whoever could wait for ever."""

    def __post_init__(self) -> None:
        self.bell = asyncio.Event()
        self.main, self.child = workflows(self)
        self._numbers = {node: at for at, node in self.program.children.items()}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._errands: set[asyncio.Task[None]] = set()

    def number_of(self, node: Node) -> int:
        return self._numbers[node]

    def complain(self, what: str) -> None:
        self.complaints.append(what)

    def is_written(self, what: str) -> bool:
        """Tell whether some frame holds a text."""
        text = what.encode()
        frames = (frame for commit in self.store.commits for frame in commit.frames)
        return any(text in frame for frame in frames)

    def check_attempt(self, key: str, attempt: int) -> None:
        """Complain if the failure of the attempt before is not durable."""
        if attempt > 1 and not self.is_written(f"{key} #{attempt - 1}"):
            self.complain(f"{key}: attempt {attempt} begins before that is durable")

    async def until(self, when: float) -> None:
        await self.clock.sleep(max(0.0, when - self.clock.now()))

    def app(self, life: Life | Process, store: Store) -> App:
        @asynccontextmanager
        async def lifespan() -> AsyncGenerator[Life | Process]:
            yield life

        return App(
            store,
            clock=self.clock,
            workflows=(self.main, self.child),
            durability=self.mode,
            lifespan=lifespan,
        )

    # --- work that is lost ------------------------------------------------------------

    async def run_through(self, plans: Sequence[Sequence[Fault]], pause: float) -> Told:
        """Run it by one process after the other; the last one meets no fault."""
        self.post()
        for plan in plans:
            store = FaultyStore(self.store, plan, clock=self.clock)
            process = Process(self, store)
            self.lives = {"root": process}
            with suppress(Crashed, EdgeflowError):
                await process.app.run(self.main, id="root")
            store.kill()
            self.deaths += 1
            await self.remember()
            self.clock.advance(pause)
        process = Process(self, FaultyStore(self.store, (), clock=self.clock))
        self.lives = {"root": process}
        async with process.app as app:
            await app.start(self.main, id="root")
            while alive := [head.instance for head in await self.heads()]:
                with suppress(EdgeflowError):
                    await app.handle(alive[0]).result()
        await self.remember()
        return await self.tell()

    async def remember(self) -> None:
        """Note what is durable by now: it can change no more."""
        for journal in (await self.journals()).values():
            for entry in journal.entries.values():
                self._remember(name_of(journal), journal, entry)

    def _remember(self, name: str, journal: Journal, entry: Entry) -> None:
        value: Any = entry.data.get("value")
        if entry.kind == "undo":
            value = journal.value(entry.key[:-2])
        if entry.kind in ("step", "undo") and entry.status == "completed":
            self.durable.add(f"{entry.kind} {value['label']}")
        if entry.status == "retrying":
            what, _, _ = entry.data["error"]["message"].partition(" #")
            self.failed[what] = max(self.failed.get(what, 0), entry.attempts)
        if entry.is_done:
            told = timeless(entry.data)
            if self.outcomes.setdefault((name, entry.key), told) != told:
                self.complain(f"the outcome of {entry.path} has changed")

    # --- messages from outside --------------------------------------------------------

    def post(self) -> None:
        """Let messages come, from now on."""
        for name in self.program.names:
            self._post_later(name, 1)

    def _post_later(self, name: str, number: int) -> None:
        when = START + number * self.program.period / 2 + fraction(name, number)

        self.clock.call_at(when, lambda: self._soon(self._post(name, number)))

    async def _post(self, name: str, number: int) -> None:
        with suppress(InstanceFinished), self.clock.busy():
            postman = App(self.store, clock=self.clock)
            body = f"{name} {number}"
            await postman.handle("root").send(name, body, id=f"{name}-{number}")
            self.ring("root")
            self.bell.set()
            self._post_later(name, number + 1)

    def ring(self, instance: str) -> None:
        """Tell whoever runs an instance that something came."""
        life = self.lives.get(instance)
        if life is not None and not life.dead and life.app.session.is_open:
            self._soon(self._ring(life.app, instance))

    async def _ring(self, app: App, instance: str) -> None:
        with self.clock.busy():
            async with app.session.using() as worker:
                worker.ring(instance)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    # --- running ----------------------------------------------------------------------

    async def run(self) -> Told:
        """Run it at one stretch, in one process."""
        life = Life(self, "")
        async with life.app:
            self.post()
            await life.app.start(self.main, id="root")
            self.lives["root"] = life
            while alive := [head.instance for head in await self.heads()]:
                with suppress(Exception):
                    await life.app.handle(alive[0]).result()
            return await self.tell()

    async def run_in_pieces(self) -> Told:
        """Run it by a process for each stay of each instance."""
        self.post()
        self._spawn("root", self._start)
        for _ in range(ROUNDS):
            self.bell.clear()
            now = self.clock.now()
            heads = await self.heads()
            if not heads and not self._tasks:
                return await self.tell()
            for instance in await self.store.claim(now, 100, 0.0, "the driver"):
                self._spawn(instance, self._drive)
            times = [
                h.wake_at for h in heads if h.wake_at is not None and h.wake_at > now
            ]
            alarm = self.clock.call_at(min(times), self.bell.set) if times else None
            await self.bell.wait()
            if alarm is not None:
                alarm.cancel()
        raise AssertionError("the program does not come to an end")

    async def heads(self) -> list[Head]:
        """Give what has not ended."""
        found = [head async for head in self.store.find(Query())]
        return [head for head in found if head.status not in ENDED]

    def _spawn(self, instance: str, work: Callable[[Life], Any]) -> None:
        if instance in self._tasks:
            return
        life = Life(self, instance)
        self.lives[instance] = life
        task = asyncio.ensure_future(self._live(life, work))
        self._tasks[instance] = task
        task.add_done_callback(lambda _: self._gone(life))

    async def _live(self, life: Life, work: Callable[[Life], Any]) -> None:
        with suppress(Crashed, StoreUnavailable, Fenced):
            await work(life)

    def _gone(self, life: Life) -> None:
        task = self._tasks.pop(life.instance)
        self.bell.set()
        if error := task.exception():
            self.complain(f"driving {life.instance} failed: {error!r}")
        if life.dead:
            self._spawn(life.instance, self._succeed)

    async def _start(self, life: Life) -> None:
        await life.app.start(self.main, id="root")

    async def _drive(self, life: Life) -> None:
        await life.app.drive(life.instance)

    async def _succeed(self, life: Life) -> None:
        """Go on at once where a process has ended: its lease is said to be over."""
        loaded = await self.store.load(life.instance)
        assert loaded is not None
        now = self.clock.now()
        await self.store.renew(life.instance, loaded.head.token, now, 0.0)
        await self._drive(life)

    async def journals(self) -> dict[str, Journal]:
        """Read all that is stored."""
        wiring = App(self.store, clock=self.clock).wiring
        found = [head.instance async for head in self.store.find(Query())]
        return {id_: (await opening.load(wiring, id_, b""))[0] for id_ in found}

    async def tell(self) -> Told:
        """Tell how it ended, and what is stored."""
        sent = await self.store.unread(SINK)
        bodies = [json.loads(message.body)["body"] for message in sent]
        return told_of(await self.journals(), sorted(bodies), self.effects)
