"""Group J: state becomes durable together with the step that changed it.

Cancelled instances, pruning, undo and rewind (parts of J-11) are tested elsewhere.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from edgeflow import (
    App,
    BodyError,
    Context,
    FatalError,
    Outcome,
    Retry,
    StateClosed,
    StepError,
    StoreUnavailable,
    Workflow,
    current_step,
    step,
    workflow,
)
from edgeflow.store import Commit, Committed, Envelope, Loaded, Store
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore

START = 1_700_000_000.0
ONCE = Retry(attempts=1)
QUICK = Retry(jitter=0)


class Shared(RecordingStore):
    """One database for several Apps, each of which stands for a process."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.is_open = False

    async def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            await self.inner.open()

    async def close(self) -> None:
        pass


class Killed(StoreUnavailable):
    """The process is gone: no call to the store returns any more."""


class Mortal(Shared):
    """The store as seen by a process that dies at its commit number `at`."""

    def __init__(self, inner: Store, at: int, *, after: bool) -> None:
        super().__init__(inner)
        self.at = at
        self.after = after
        self.writes = 0
        self.dead = False

    def _check(self) -> None:
        if self.dead:
            raise Killed

    async def load(self, instance: str) -> Loaded | None:
        self._check()
        return await super().load(instance)

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self._check()
        self.writes += 1
        self.dead = self.writes == self.at
        if not self.after:
            self._check()
        answer = await super().commit(instance, commit)
        self._check()
        return answer

    async def unread(self, instance: str) -> Sequence[Envelope]:
        self._check()
        return await super().unread(instance)


class World:
    """A database and a clock that outlive every process."""

    def __init__(self, store: Store) -> None:
        self.store = Shared(store)
        self.clock = VirtualClock(START)

    def process(
        self,
        *workflows: Workflow[Any, Any],
        store: Store | None = None,
        **settings: Any,
    ) -> App:
        """A fresh process: it knows nothing but what is in the store."""
        return App(
            store or self.store, clock=self.clock, workflows=workflows, **settings
        )

    async def start(self, workflow: Workflow[None, Any], instance: str = "i") -> None:
        await self.process(workflow).start(workflow, id=instance)

    async def drive(
        self, workflow: Workflow[None, Any], instance: str = "i"
    ) -> Outcome[Any]:
        return await self.process(workflow).drive(instance)

    async def finish(
        self, workflow: Workflow[None, Any], instance: str = "i"
    ) -> Outcome[Any]:
        """Resume by replay, in a new process for each stay, until it is finished."""
        for _ in range(50):
            outcome = await self.drive(workflow, instance)
            if outcome.status != "suspended":
                return outcome
            wake_at = outcome.wake_at or self.clock.now()
            self.clock.advance(max(0.0, wake_at - self.clock.now()))
        pytest.fail("it never ends")

    async def state(self, instance: str = "i") -> dict[str, Any]:
        """The committed state, read by another process."""
        return await self.process().handle(instance).state()


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def one_step(
    fn: Callable[[], Awaitable[Any]], *, retry: Retry = ONCE
) -> Workflow[None, str]:
    """A workflow that runs `fn` as a step and tells how that went."""

    @workflow(name="one_step")
    async def body(ctx: Context) -> str:
        try:
            await ctx.step("fn", fn, retry=retry)
        except StepError as error:
            return f"{error.kind} {error.error.type} {error.error.message}"
        return "ok"

    return body


# --- committed with the step ----------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_result_and_its_state_are_never_one_without_the_other(
    world: World, *, after: bool
) -> None:
    # J-01, G3, G6
    @step
    async def count() -> int:
        current_step().state["n"] = current_step().state.get("n", 0) + 1
        return 7

    @workflow
    async def counts(ctx: Context) -> int:
        result = await count()
        await ctx.sleep(60)
        return result

    seen: list[bool] = []
    for at in range(1, 20):
        id_ = f"i{at}"
        await world.start(counts, id_)
        mortal = Mortal(world.store, at, after=after)
        try:
            await world.process(counts, store=mortal).drive(id_)
        except StoreUnavailable:
            pass
        else:
            break
        history = await world.process().handle(id_).history()
        done = [e.status for e in history if e.kind == "step"] == ["completed"]
        assert await world.state(id_) == ({"n": 1} if done else {})
        seen.append(done)
        assert (await world.finish(counts, id_)).output == 7
        assert await world.state(id_) == {"n": 1}

    assert seen[0] is False
    assert any(seen)


async def test_state_and_result_are_in_one_commit(world: World) -> None:
    # J-01, G3
    @step
    async def count() -> str:
        current_step().state["colour"] = "vermilion"
        return "result-of-count"

    @workflow
    async def counts(ctx: Context) -> str:
        return ctx.id + await count()

    await world.start(counts)
    await world.drive(counts)

    holding = [
        (b"result-of-count" in frames, b"vermilion" in frames)
        for frames in (b"".join(c.frames) for c in world.store.commits[:-1])
    ]
    assert holding == [(False, False), (False, False), (True, True)]


async def test_what_a_failed_attempt_wrote_is_dropped(world: World) -> None:
    # J-02, G6
    seen: list[dict[str, Any]] = []

    @step
    async def prepare() -> None:
        current_step().state["n"] = 1

    @step(retry=ONCE)
    async def fail() -> None:
        state = current_step().state
        state["n"] = 99
        state["new"] = True
        raise LookupError

    @step
    async def look() -> None:
        seen.append(dict(current_step().state))

    @workflow
    async def catches(ctx: Context) -> str:
        await prepare()
        try:
            await fail()
        except StepError as error:
            await look()
            return ctx.id + error.kind
        return "no error"

    await world.start(catches)

    assert (await world.drive(catches)).output == "iexhausted"
    assert seen == [{"n": 1}]
    assert await world.state() == {"n": 1}


async def test_a_counter_counts_only_the_attempt_that_succeeds(world: World) -> None:
    # J-02, G6
    read: list[int] = []

    async def flaky() -> None:
        state = current_step().state
        read.append(state.get("n", 0))
        state["n"] = state.get("n", 0) + 1
        if len(read) < 3:
            raise LookupError

    body = one_step(flaky, retry=QUICK)
    await world.start(body)

    assert (await world.finish(body)).output == "ok"
    assert read == [0, 0, 0]
    assert await world.state() == {"n": 1}


NESTED: dict[str, Any] = {"top": {"rows": [{"items": [1]}]}, "cart": ["apple"]}


@step
async def fill() -> None:
    current_step().state.update(NESTED)


def change_deeply() -> None:
    state = current_step().state
    state["cart"].append("pear")
    state["top"]["rows"][0]["items"].append({"two": 2})


CHANGED: dict[str, Any] = {
    "top": {"rows": [{"items": [1, {"two": 2}]}]},
    "cart": ["apple", "pear"],
}


async def test_nested_changes_are_committed_on_success(world: World) -> None:
    # J-03, G6
    @workflow
    async def changes(ctx: Context) -> str:
        await fill()

        async def change() -> None:
            change_deeply()

        await ctx.step("change", change)
        return ctx.id

    await world.start(changes)
    await world.drive(changes)

    assert await world.state() == CHANGED


@pytest.mark.parametrize("how", ["failure", "timeout", "cancellation"])
async def test_nested_changes_are_dropped_without_success(
    world: World, how: str
) -> None:
    # J-03, G6
    async def change() -> None:
        change_deeply()
        if how == "failure":
            raise FatalError
        await world.clock.sleep(60)

    @workflow
    async def changes(ctx: Context) -> str:
        await fill()
        timeout = 5 if how == "timeout" else None
        try:
            async with asyncio.timeout(5 if how == "cancellation" else None):
                await ctx.step("change", change, retry=ONCE, timeout=timeout)
        except (StepError, TimeoutError) as error:
            return type(error).__name__
        return "no error"

    await world.start(changes)
    outcome = await world.finish(changes)

    expected = "TimeoutError" if how == "cancellation" else "StepError"
    assert outcome.output == expected
    assert await world.state() == NESTED


async def test_nested_changes_are_dropped_by_an_eviction_and_made_elsewhere(
    world: World,
) -> None:
    # J-03, G6
    starts: list[int] = []

    async def change() -> None:
        starts.append(current_step().attempt)
        change_deeply()
        if len(starts) == 1:
            await world.clock.sleep(600)

    @workflow
    async def changes(ctx: Context) -> str:
        await fill()
        await ctx.step("change", change)
        return ctx.id

    await world.start(changes)
    outcome = await world.process(changes).drive("i", deadline=10)

    assert outcome.status == "suspended"
    assert await world.state() == NESTED

    assert (await world.drive(changes)).status == "completed"
    assert starts == [1, 1]
    assert await world.state() == CHANGED


# --- drafts ---------------------------------------------------------------------


async def test_nothing_that_anyone_holds_points_into_committed_state(
    world: World,
) -> None:
    # J-04, G6
    kept: list[Any] = []
    mine: dict[str, list[int]] = {"list": [1]}
    refused: list[str] = []

    async def work() -> None:
        state = current_step().state
        kept.append(state["cart"])
        state["cart"].append("by attempt")
        state["mine"] = mine
        if len(kept) == 1:
            raise LookupError

    async def meddle() -> None:
        mine["list"].append(2)
        for old in kept:
            try:
                old.append("afterwards")
            except StateClosed as error:
                refused.append(str(error))

    @workflow
    async def works(ctx: Context) -> str:
        await fill()
        await ctx.step("work", work, retry=QUICK)
        await ctx.step("meddle", meddle)
        return ctx.id

    await world.start(works)
    await world.finish(works)

    assert ["'work'" in text for text in refused] == [True, True]
    assert await world.state() == {
        **NESTED,
        "cart": ["apple", "by attempt"],
        "mine": {"list": [1]},
    }


USES: list[Callable[[Any], object]] = [
    lambda draft: draft["cart"],
    lambda draft: draft.get("cart"),
    lambda draft: draft.update(cart=[]),
    lambda draft: draft.pop("cart"),
    lambda draft: draft.setdefault("cart", []),
    lambda draft: "cart" in draft,
    list,
    len,
    lambda draft: draft.__setitem__("cart", []),
    lambda draft: draft.__delitem__("cart"),
    lambda draft: draft.clear(),
]
NESTED_USES: list[Callable[[Any], object]] = [
    lambda rows: rows.append(1),
    lambda rows: rows[0],
    len,
    list,
    lambda rows: rows.sort(),
    lambda rows: rows.__setitem__(0, 1),
    lambda rows: rows.__iadd__([1]),
    lambda rows: rows.clear(),
    lambda rows: rows == [],
]


async def test_a_draft_is_closed_for_the_body_and_the_instance_goes_on(
    world: World,
) -> None:
    # J-05, G6
    held: list[Any] = []
    refused: list[str] = []

    async def leak() -> None:
        state = current_step().state
        held[:] = [state, state["top"]["rows"], state["top"], state["cart"]]

    def use(what: Any, uses: list[Callable[[Any], object]]) -> None:
        for each in uses:
            try:
                each(what)
            except StateClosed as error:
                refused.append(str(error))
            else:
                refused.append("was possible")

    @workflow
    async def leaks(ctx: Context) -> str:
        await fill()
        await ctx.step("leak", leak)
        use(held[0], USES)
        use(held[1], NESTED_USES)
        use(held[2], [lambda top: top["rows"], lambda top: top.update(x=1)])
        await ctx.sleep(0)
        return "went on"

    await world.start(leaks)
    outcome = await world.drive(leaks)

    assert (outcome.status, outcome.output) == ("completed", "went on")
    assert len(refused) == len(USES) + len(NESTED_USES) + 2
    assert [text for text in refused if "'leak'" not in text] == []
    assert await world.state() == NESTED


async def test_a_draft_is_closed_for_a_task_that_the_step_left_behind(
    world: World,
) -> None:
    # J-05, G6
    caught: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def behind(state: Any) -> None:
        await world.clock.sleep(5)
        for use in (lambda: state.update(n=2), lambda: current_step().state):
            try:
                use()
            except StateClosed as error:
                caught.append(str(error))

    @step
    async def leaves() -> None:
        state = current_step().state
        state["n"] = 1
        tasks.append(asyncio.create_task(behind(state)))

    @step
    async def slow() -> None:
        await world.clock.sleep(10)

    @workflow
    async def body(ctx: Context) -> str:
        await leaves()
        await slow()
        return ctx.id

    await world.start(body)

    assert (await world.drive(body)).status == "completed"
    await asyncio.gather(*tasks)
    assert ["'leaves'" in text for text in caught] == [True, True]
    assert await world.state() == {"n": 1}


async def test_a_draft_is_closed_for_a_thread_that_was_abandoned(
    world: World,
) -> None:
    # J-05, B-12, G6
    begun, gone, done = threading.Event(), threading.Event(), threading.Event()
    caught: list[str] = []

    def stubborn() -> str:
        state = current_step().state
        state["n"] = 1
        cart = state["cart"]
        begun.set()
        gone.wait(10)
        for use in (lambda: state.update(n=2), lambda: cart.append(1)):
            try:
                use()
            except StateClosed as error:
                caught.append(str(error))
        done.set()
        return "late"

    @step
    async def until_begun() -> None:
        await asyncio.to_thread(begun.wait, 10)

    @step
    async def slow() -> None:
        gone.set()
        await asyncio.to_thread(done.wait, 10)

    @workflow
    async def body(ctx: Context) -> str:
        await fill()
        task = asyncio.create_task(ctx.step("stubborn", stubborn))
        await until_begun()
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            await slow()
        return "went on"

    await world.start(body)
    outcome = await world.drive(body)

    assert (outcome.status, outcome.output) == ("completed", "went on")
    assert ["'stubborn'" in text for text in caught] == [True, True]
    assert await world.state() == NESTED


# --- concurrent steps ------------------------------------------------------------


async def test_steps_at_once_that_change_different_keys_are_merged(
    world: World,
) -> None:
    # J-06, G6
    calls: Counter[str] = Counter()

    @step
    async def put(key: str, seconds: float) -> None:
        calls[key] += 1
        current_step().state[key] = seconds
        await world.clock.sleep(seconds)

    @workflow
    async def puts(ctx: Context) -> str:
        await asyncio.gather(put("a", 2), put("b", 1))
        return ctx.id

    await world.start(puts)
    await world.drive(puts)

    assert await world.state() == {"a": 2, "b": 1}
    assert calls == {"a": 1, "b": 1}


async def test_the_second_of_two_counters_conflicts_and_is_tried_on_the_new_value(
    world: World,
) -> None:
    # J-06, S33, G6
    read: list[tuple[str, int]] = []

    async def count(who: str, seconds: float) -> None:
        state = current_step().state
        read.append((who, state["n"]))
        await world.clock.sleep(seconds)
        state["n"] += 1

    @step
    async def zero() -> None:
        current_step().state["n"] = 0

    @workflow
    async def counts(ctx: Context) -> str:
        await zero()
        await asyncio.gather(
            ctx.step("slow", lambda: count("slow", 2), retry=QUICK),
            ctx.step("fast", lambda: count("fast", 1), retry=QUICK),
        )
        return ctx.id

    await world.start(counts)
    await world.finish(counts)

    assert read == [("slow", 0), ("fast", 0), ("slow", 1)]
    assert await world.state() == {"n": 2}
    history = await world.process().handle("i").history()
    assert {e.name: e.attempts for e in history} == {"zero": 1, "fast": 1, "slow": 2}


async def test_a_draft_reads_the_state_at_the_start_of_its_attempt(
    world: World,
) -> None:
    # S33
    read: list[Any] = []

    @step
    async def write() -> None:
        current_step().state["n"] = 1

    @step
    async def reader() -> None:
        state = current_step().state
        await world.clock.sleep(5)
        read.append([state.get("n"), "n" in state, dict(state)])

    @workflow
    async def body(ctx: Context) -> str:
        await asyncio.gather(reader(), write())
        await reader()
        return ctx.id

    await world.start(body)
    await world.drive(body)

    assert read == [[None, False, {}], [1, True, {"n": 1}]]


@pytest.mark.parametrize(
    ("late", "conflicts"),
    [
        ("changes", True),
        ("deletes", True),
        ("changes nested", True),
        ("only reads", False),
        ("reads nested", False),
    ],
)
@pytest.mark.parametrize("early", ["changes", "deletes"])
async def test_a_conflict_is_a_change_or_a_delete_of_the_same_key(
    world: World, *, early: str, late: str, conflicts: bool
) -> None:
    # J-07, G6
    def touch(how: str, number: int) -> None:
        state = current_step().state
        match how:
            case "changes":
                state["k"] = [number]
            case "deletes":
                del state["k"]
            case "changes nested":
                state["k"].append(number)
            case "only reads":
                assert state["k"] == [0]
            case _:
                assert state["k"][0] == 0

    async def first() -> None:
        current_step().state["k"] = [0]

    async def second() -> None:
        await world.clock.sleep(1)
        touch(early, 1)

    async def third() -> None:
        await world.clock.sleep(2)
        touch(late, 2)

    @workflow
    async def body(ctx: Context) -> list[str]:
        await ctx.step("first", first)
        answers = await asyncio.gather(
            ctx.step("second", second, retry=ONCE),
            ctx.step("third", third, retry=ONCE),
            return_exceptions=True,
        )
        return [
            f"{error.kind} {error.error.type.rpartition('.')[2]}"
            for error in answers
            if isinstance(error, StepError)
        ]

    await world.start(body)
    outcome = await world.drive(body)

    assert outcome.output == (["exhausted StateConflict"] if conflicts else [])
    assert await world.state() == ({"k": [1]} if early == "changes" else {})


# --- values ------------------------------------------------------------------------


async def test_a_value_that_cannot_be_encoded_fails_the_step_and_names_the_place(
    world: World,
) -> None:
    # J-08, G6
    calls: list[int] = []

    async def spoil() -> None:
        calls.append(1)
        state = current_step().state
        state["fine"] = 1
        state["a"]["b"][2] = object()

    @workflow
    async def spoils(ctx: Context) -> list[str | bool]:
        async def fill_in() -> None:
            current_step().state["a"] = {"b": [0, 1, 2]}

        await ctx.step("fill", fill_in)
        try:
            await ctx.step("spoil", spoil, retry=QUICK)
        except StepError as error:
            text = error.error.message
            named = ["state['a'].b[2]" in text, "object" in text]
            return [error.kind, error.step, *named]
        return []

    await world.start(spoils)
    outcome = await world.drive(spoils)

    assert outcome.output == ["unencodable", "spoil", True, True]
    assert len(calls) == 1
    assert await world.state() == {"a": {"b": [0, 1, 2]}}


@pytest.mark.parametrize(
    "value",
    [float("nan"), 2**64, {1: "a"}, "\ud800"],
    ids=["nan", "int", "key", "text"],
)
async def test_state_refuses_by_name_what_json_does_not_carry(
    world: World, value: object
) -> None:
    # J-08, R-06
    async def spoil() -> None:
        current_step().state["k"] = {"inner": value}

    body = one_step(spoil, retry=QUICK)
    await world.start(body)

    output = str((await world.drive(body)).output)

    assert output.startswith("unencodable ")
    assert "state['k'].inner" in output
    assert await world.state() == {}


async def test_state_of_steps_not_yet_flushed_is_seen_by_steps_and_nobody_else(
    world: World,
) -> None:
    # J-09, G6
    read: list[Any] = []
    outside: list[Any] = []
    die = [True]

    @step
    async def write() -> int:
        state = current_step().state
        state["n"] = state.get("n", 0) + 1
        return 1

    @step
    async def look() -> None:
        read.append(current_step().state["n"])
        outside.append(await world.state())
        mortal.dead = die.pop() if die else False

    @workflow
    async def body(ctx: Context) -> str:
        await write()
        await look()
        return ctx.id

    await world.start(body)
    mortal = Mortal(world.store, 0, after=False)
    with pytest.raises(StoreUnavailable):
        await world.process(body, store=mortal, durability="suspend").drive("i")

    assert (read, outside) == ([1], [{}])
    assert await world.state() == {}
    assert await world.process().handle("i").history() == []

    await world.process(body, durability="suspend").drive("i")

    assert (read, outside) == ([1, 1], [{}, {}])
    assert await world.state() == {"n": 1}


# --- the mapping -------------------------------------------------------------------


async def test_state_is_a_mapping_and_every_change_is_tracked(world: World) -> None:
    # J-10
    facts: list[Any] = []

    @step
    async def seed() -> None:
        current_step().state.update({"a": 1, "b": 2, "c": [3], "d": 4, "e": 5})

    @step
    async def work() -> None:
        state = current_step().state
        facts.extend([state.get("a"), state.get("x"), state.get("x", 9), "a" in state])
        facts.extend(["x" in state, len(state), sorted(state)])
        facts.append(state.pop("b"))
        facts.append(state.pop("x", "none"))
        state.setdefault("c", []).append(33)
        state.setdefault("f", []).append(6)
        state.update(a=11, g=7)
        del state["d"]
        facts.extend([len(state), sorted(state), "d" in state, state.get("d")])
        state["d"] = 44
        del state["d"]
        facts.append({key: json.dumps(value) for key, value in state.items()})

    @workflow
    async def body(ctx: Context) -> str:
        await seed()
        await work()
        return ctx.id

    await world.start(body)
    outcome = await world.drive(body)

    after = {"a": 11, "c": [3, 33], "e": 5, "f": [6], "g": 7}
    assert outcome.status == "completed"
    assert facts == [
        *(1, None, 9, True),
        *(False, 5, ["a", "b", "c", "d", "e"]),
        *(2, "none"),
        *(5, ["a", "c", "e", "f", "g"], False, None),
        {key: json.dumps(value) for key, value in after.items()},
    ]
    assert await world.state() == after


async def test_a_missing_key_is_a_key_error(world: World) -> None:
    # J-10
    async def misses() -> None:
        state = current_step().state
        uses: list[Callable[[], object]] = [
            lambda: state["x"],
            lambda: state.pop("x"),
        ]
        for use in uses:
            with pytest.raises(KeyError, match="x"):
                use()
        with pytest.raises(KeyError, match="x"):
            del state["x"]
        state["y"] = 1
        del state["y"]
        with pytest.raises(KeyError, match="y"):
            del state["y"]

    body = one_step(misses)
    await world.start(body)

    assert (await world.drive(body)).output == "ok"


@pytest.mark.parametrize("key", [1, None, ("a",), b"a"])
async def test_a_key_that_is_no_str_is_refused_by_name(
    world: World, key: object
) -> None:
    # J-10
    async def odd() -> None:
        state: Any = current_step().state
        for use in (
            lambda: state.__setitem__(key, 1),
            lambda: state[key],
            lambda: key in state,
        ):
            with pytest.raises(TypeError, match="str") as caught:
                use()
            assert repr(key) in str(caught.value)

    body = one_step(odd)
    await world.start(body)

    assert (await world.drive(body)).output == "ok"
    assert await world.state() == {}


async def test_reads_are_private_copies(world: World) -> None:
    # J-03, J-04: what one step read and changed is not what the other one reads
    read: list[Any] = []

    async def changes_and_fails() -> None:
        current_step().state["cart"].append("pear")
        raise FatalError

    async def look() -> None:
        read.append(list(current_step().state["cart"]))

    @workflow
    async def body(ctx: Context) -> str:
        await fill()
        answers = await asyncio.gather(
            ctx.step("fails", changes_and_fails),
            ctx.step("look", look),
            return_exceptions=True,
        )
        await ctx.step("look", look)
        return type(answers[0]).__name__

    await world.start(body)

    assert (await world.drive(body)).output == "StepError"
    assert read == [["apple"], ["apple"]]


async def test_state_in_the_body_is_refused_and_says_where_it_belongs(
    world: World,
) -> None:
    # J-10, A-11, S5
    caught: list[str] = []

    @workflow
    async def body(ctx: Context) -> str:
        try:
            current_step().state["n"] = 1
        except BodyError as error:
            caught.append(str(error))
        return ctx.id

    await world.start(body)
    outcome = await world.drive(body)

    assert len(caught) == 1
    assert "in a step" in caught[0]
    assert outcome.status == "blocked"
    assert await world.state() == {}


# --- reading it ----------------------------------------------------------------------


@step
async def set_n() -> None:
    current_step().state["n"] = {"deep": [1]}


@workflow
async def fails(ctx: Context) -> str:
    await set_n()
    raise LookupError(ctx.id)


@workflow
async def breaks_the_rules(ctx: Context) -> str:
    await set_n()
    current_step()
    return ctx.id


@workflow
async def sleeps(ctx: Context) -> str:
    await set_n()
    await ctx.sleep(60)
    return ctx.id


@pytest.mark.parametrize(
    ("body", "status"),
    [(fails, "failed"), (breaks_the_rules, "blocked"), (sleeps, "suspended")],
    ids=["failed", "blocked", "suspended"],
)
async def test_state_is_readable_whatever_became_of_the_instance(
    world: World, body: Workflow[None, str], status: str
) -> None:
    # J-11
    await world.start(body)
    outcome = await world.drive(body)
    commits = len(world.store.commits)

    assert outcome.status == status
    assert await world.state() == {"n": {"deep": [1]}}
    assert len(world.store.commits) == commits


async def test_state_outlives_snapshots_and_restarts(world: World) -> None:
    # J-11, G15
    read: list[Any] = []

    @step
    async def grow(turn: int) -> str:
        state = current_step().state
        state[f"k{turn % 3}"] = turn
        state["gone"] = turn
        return "x" * 10_000

    @step
    async def drop() -> None:
        del current_step().state["gone"]

    @step
    async def look() -> None:
        read.append(dict(current_step().state))

    @workflow
    async def body(ctx: Context) -> str:
        for turn in range(20):
            await grow(turn)
        await drop()
        for turn in range(20):
            await ctx.step("pad", lambda: pad(turn))  # noqa: B023  awaited in its turn
        await ctx.sleep(60)
        await look()
        return ctx.id

    async def pad(turn: int) -> str:
        return str(turn) * 10_000

    await world.start(body)
    await world.drive(body)
    expected = {"k0": 18, "k1": 19, "k2": 17}

    snapshots = [c for c in world.store.commits if c.snapshot and c.seq > 1]
    assert snapshots
    assert await world.state() == expected
    assert (await world.finish(body)).status == "completed"
    assert read == [expected]
    assert await world.state() == expected
