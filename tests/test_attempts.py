"""Attempts: durable before the next one starts, and never forgotten (group B)."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import pytest

from edgeflow import (
    App,
    Context,
    Retry,
    StepError,
    WorkflowBlocked,
    current_step,
    step,
    workflow,
)
from edgeflow.engine.frames import PlainCodec, read
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow import EntryInfo, Outcome, Workflow
    from edgeflow.store import Commit, Committed

R = TypeVar("R")
Durability: TypeAlias = Literal["step", "behind", "suspend"]
MODES: list[Durability] = ["step", "behind", "suspend"]


@dataclass
class World:
    """A store and a clock; every `process` starts with nothing in memory."""

    durability: Durability = "step"
    resumes: Literal["from memory", "by replay"] = "by replay"
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def process(self, code: Workflow[None, Any]) -> App:
        return App(
            self.store,
            workflows=[code],
            clock=self.clock,
            durability=self.durability,
        )

    async def start(self, code: Workflow[None, Any]) -> None:
        await self.process(code).start(code, id="i")

    async def drive(self, code: Workflow[None, Any]) -> Outcome[Any]:
        """Drive once, in a process of its own."""
        return await self.process(code).drive("i")

    async def finish(self, code: Workflow[None, R]) -> R:
        """Run to the end, resuming as this world does."""
        app = self.process(code)
        if self.resumes == "from memory":
            return await app.run(code, id="i")
        handle = await app.start(code, id="i")
        while (outcome := await self.drive(code)).status == "suspended":
            assert outcome.wake_at is not None
            self.pass_time_until(outcome.wake_at)
        return await handle.result()

    def pass_time_until(self, when: float) -> None:
        self.clock.advance(when - self.clock.now())

    async def history(self) -> list[EntryInfo]:
        return await App(self.store, clock=self.clock).handle("i").history()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=["from memory", "by replay"])
def resumed(world: World, request: pytest.FixtureRequest) -> World:
    world.resumes = request.param
    return world


# B-08, S1  G7
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("first", [0.05, 0, 5])
@pytest.mark.parametrize("beside_a_sibling", [False, True])
async def test_a_failed_attempt_is_durable_before_the_next_one_starts(
    world: World, mode: Durability, first: float, *, beside_a_sibling: bool
) -> None:
    world.durability = mode
    failed_at: list[float] = []
    stored: list[EntryInfo] = []

    @step(retry=Retry(attempts=4, first=first, factor=1, jitter=0))
    async def flaky() -> None:
        crashed = World(store=deepcopy(world.store))
        stored.extend(e for e in await crashed.history() if e.name == "flaky")
        failed_at.append(world.clock.now())
        if len(failed_at) < 4:
            raise ValueError(f"failure {len(failed_at)}")

    @step
    async def sibling() -> None:
        await world.clock.sleep(60)

    @workflow
    async def code(_ctx: Context) -> None:
        if beside_a_sibling:
            await asyncio.gather(flaky(), sibling())
        else:
            await flaky()

    await world.finish(code)

    assert len(failed_at) == 4
    assert [(e.status, e.attempts) for e in stored] == [
        ("retrying", 1),
        ("retrying", 2),
        ("retrying", 3),
    ]
    messages = [e.error.message for e in stored if e.error is not None]
    assert messages == ["failure 1", "failure 2", "failure 3"]
    expected = [at + first for at in failed_at[:3]]
    assert [e.retry_at for e in stored] == pytest.approx(expected, abs=1e-6)
    if beside_a_sibling:  # nothing waited for the sibling
        assert failed_at[3] - failed_at[0] == pytest.approx(3 * first, abs=0.1)


# B-13  G6
async def test_a_failed_attempt_leaves_its_error_and_count_and_nothing_else(
    world: World,
) -> None:
    calls: list[int] = []

    @step(retry=Retry(first=60, factor=1, cap=60, jitter=0))
    async def flaky() -> str:
        calls.append(1)
        current_step().state["draft"] = "dropped"
        if len(calls) < 3:
            raise ValueError("SAID ONCE", len(calls))
        return "output"

    @workflow
    async def code(_ctx: Context) -> str:
        return await flaky()

    await world.start(code)
    for _ in range(2):
        outcome = await world.drive(code)
        assert outcome.wake_at is not None
        world.pass_time_until(outcome.wake_at)

    loaded = await world.store.load("i")
    assert loaded is not None
    lines = read(loaded.frames, PlainCodec()).records()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    entries = [record for record in records if "path" in record]
    assert [record["attempts"] for record in entries] == [1, 2]
    for attempts, record in enumerate(entries, start=1):
        assert record["path"] == [["step", "flaky", 0]]
        assert record["status"] == "retrying"
        assert record["error"]["type"] == "ValueError"
        assert record["error"]["data"] == ["SAID ONCE", attempts]
        assert record["retry_at"] == pytest.approx(record["at"] + 60, abs=1e-3)
        assert "value" not in record
    assert [r for r in records if "path" not in r] == records[:1]  # the start, no state
    assert "start" in records[0]
    for frame in loaded.frames:
        assert b"draft" not in frame.body
        assert b"dropped" not in frame.body
        assert frame.body.count(b'"error"') <= 1


# B-14, S2  G7
@pytest.mark.parametrize("mode", MODES)
async def test_a_step_that_kills_its_process_ends_as_a_crash_loop(
    mode: Durability,
) -> None:
    calls: list[int] = []
    entered: list[int] = []
    crashed: list[World] = [World(mode)]

    @step(retry=Retry(attempts=2))
    async def deadly() -> None:
        calls.append(current_step().attempt)
        crashed.append(World(mode, store=deepcopy(crashed[-1].store)))
        raise AssertionError("what follows happens in a process that is dead")

    @workflow
    async def code(_ctx: Context) -> None:
        entered.append(1)
        await deadly()

    await crashed[0].start(code)
    outcomes = [await crashed[-1].drive(code) for _ in range(12)]

    assert calls == [1] * 10
    assert len(entered) == 10
    assert [outcome.status for outcome in outcomes[10:]] == ["blocked", "blocked"]
    with pytest.raises(WorkflowBlocked, match="crash loop"):
        await crashed[-1].process(code).handle("i").result()


class Tape(MemoryStore):
    """Keeps a copy of itself after each commit: what a crash then leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[MemoryStore] = []

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        self.copies.append(self.crash())
        return answer

    def crash(self) -> MemoryStore:
        twin = MemoryStore()
        kept = {name: each for name, each in vars(self).items() if name != "copies"}
        vars(twin).update(deepcopy(kept))
        return twin


# B-15  G7 G8
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "killed", ["before entry", "inside", "before the result is durable"]
)
async def test_an_at_most_once_step_that_may_have_begun_is_never_entered_again(
    mode: Durability, killed: str
) -> None:
    tape = Tape()
    calls: list[int] = []
    left: dict[str, MemoryStore] = {}
    first = World(mode, store=tape)

    @step(at_most_once=True)
    async def charge() -> str:
        left["before entry"] = tape.copies[-1]
        calls.append(1)
        left["inside"] = tape.crash()
        await first.clock.sleep(1)
        left["before the result is durable"] = tape.crash()
        return "charged"

    @workflow
    async def code(ctx: Context) -> str:
        try:
            value = await charge()
        except StepError as error:
            value = f"{error.step} {error.kind} after {error.attempts}"
        await ctx.sleep(60)
        return value

    assert await first.process(code).run(code, id="i") == "charged"
    assert len(calls) == 1
    assert left["before entry"] is tape.copies[1]  # start and open, intent

    after = World(mode, store=left[killed], clock=first.clock)
    (entry,) = await after.history()
    assert (entry.status, entry.attempts) == ("started", 1)
    assert await after.finish(code) == "charge interrupted after 1"
    assert len(calls) == 1  # by the undisturbed run


# B-16, S19  G7
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("retry", "calls_made"), [(None, 1), (Retry(attempts=3), 3)])
async def test_every_attempt_of_an_at_most_once_step_commits_its_intent(
    world: World, mode: Durability, retry: Retry | None, calls_made: int
) -> None:
    world.durability = mode
    intents: list[tuple[str, int]] = []

    @step(at_most_once=True, retry=retry)
    async def charge() -> None:
        (entry,) = await World(store=deepcopy(world.store)).history()
        intents.append((entry.status, entry.attempts))
        raise ValueError("declined")

    @workflow
    async def code(_ctx: Context) -> str:
        try:
            await charge()
        except StepError as error:
            return f"{error.kind} after {error.attempts}"
        return "no error"

    assert await world.finish(code) == f"exhausted after {calls_made}"
    assert intents == [("started", number + 1) for number in range(calls_made)]


# B-15, S19: so that no mode can lose it.
@pytest.mark.parametrize("mode", MODES)
async def test_the_outcome_of_an_at_most_once_step_is_durable_when_the_body_gets_it(
    mode: Durability,
) -> None:
    world = World(mode)
    left: list[MemoryStore] = []

    @step(at_most_once=True)
    async def charge() -> str:
        return "charged"

    @workflow
    async def code(_ctx: Context) -> str:
        value = await charge()
        left.append(deepcopy(world.store))
        return value

    await world.finish(code)

    (entry,) = await World(store=left[0]).history()
    assert (entry.status, entry.value) == ("completed", "charged")


# B-16: the back-off of such a step is survived like any other.
async def test_an_at_most_once_step_in_back_off_is_not_interrupted(
    resumed: World,
) -> None:
    calls: list[int] = []

    @step(at_most_once=True, retry=Retry(attempts=2, first=60, cap=60))
    async def charge() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("declined")
        return "charged"

    @workflow
    async def code(_ctx: Context) -> str:
        return await charge()

    assert await resumed.finish(code) == "charged"
    assert len(calls) == 2
