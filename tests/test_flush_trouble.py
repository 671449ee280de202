"""What trouble with the store costs: a repeated commit, and never a step."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import (
    App,
    Context,
    Event,
    Fenced,
    StoreUnavailable,
    current_step,
)
from edgeflow.errors import Conflict, OutcomeUnknown
from edgeflow.testing import Fault, FaultyStore
from tests.conftest import AtCommits
from tests.flushes import (
    CALLS,
    MODES,
    STORY,
    TELLINGS,
    Bench,
    Database,
    bench,
    calls,
    sent_once,
    story,
    tell,
    twenty,
    with_message,
    work,
)

if TYPE_CHECKING:
    from edgeflow import Store
    from edgeflow.store import Commit, Committed, Envelope, Loaded

__all__ = ["bench"]  # a fixture

FEWEST = 3
"""How many writes each of these runs has at least: each of them fails in its turn."""

told = pytest.mark.parametrize(("mode", "replay"), TELLINGS)


def observed(heard: list[Event]) -> list[tuple[str, str, int]]:
    """Give what was heard of attempts and of the end."""
    return [(e.kind, e.path, e.attempt) for e in heard if e.kind != "suspended"]


HEARD = Counter(
    [
        ("step_completed", "work[0]", 1),
        ("attempt_failed", "flaky[0]", 1),
        ("step_completed", "flaky[0]", 2),
        ("step_completed", "map[0] > item[0] > work[0]", 1),
        ("step_completed", "map[0] > item[1] > work[0]", 1),
        ("message_received", "receive[0]", 0),
        ("step_completed", "work[1]", 1),
        ("completed", "", 0),
    ]
)


async def attempts(bench: Bench, store: Store) -> list[tuple[str, int]]:
    entries = await bench.history(store)
    return [(e.name, e.attempts) for e in entries if e.kind == "step"]


# It passes


@told
async def test_passing_store_errors_cost_nothing(
    mode: str, bench: Bench, *, replay: bool
) -> None:
    # M-10, G12: three of them at each commit in turn
    for at in count(1):
        heard: list[Event] = []
        database = await with_message(bench)
        plan: list[Fault] = [Fault(at + n, "fail_before") for n in range(3)]
        store = AtCommits(database, plan, clock=bench.clock)
        settings: dict[str, Any] = {"durability": mode, "observers": [heard.append]}

        assert await tell(bench, store, replay=replay, **settings) == STORY
        assert calls == CALLS
        assert Counter(observed(heard)) == HEARD
        assert await sent_once(bench, database)
        numbers = [n for _, n in await attempts(bench, database)]
        assert sorted(numbers) == [1, 1, 1, 1, 2]
        assert database.calls.count("commit") == len(database.commits)
        if not store.struck:
            assert at > FEWEST
            break
        assert len(store.struck) == 3


# It stays


class Away(FaultyStore):
    """Writes nothing any more from some write on; remembers when it was asked to."""

    def __init__(self, inner: Store, bench: Bench, at: int, takes: float = 0) -> None:
        super().__init__(
            inner, [Fault(n, "fail_before") for n in range(at, 400)], clock=bench.clock
        )
        self.times: list[float] = []
        self.takes = takes

    async def commit(self, instance: str, commit: Commit) -> Committed:
        strikes = len(self.struck)
        now = self._clock.now()
        try:
            return await super().commit(instance, commit)
        except StoreUnavailable:
            assert len(self.struck) == strikes + 1
            self.times.append(now)
            await self._sleep(self.takes)
            raise


@told
async def test_a_store_that_stays_away_ends_the_run_and_not_the_instance(
    mode: str, bench: Bench, *, replay: bool
) -> None:
    # M-11, S27, G12: at each commit in turn
    for at in count(1):
        heard: list[Event] = []
        database = await with_message(bench)
        store = Away(database, bench, at)
        settings: dict[str, Any] = {"durability": mode, "observers": [heard.append]}
        try:
            output = await tell(bench, store, replay=replay, **settings)
        except StoreUnavailable as error:
            reason = str(error)
        else:
            assert (output, store.struck) == (STORY, [])
            assert at > FEWEST
            break
        assert "instance 'i'" in reason
        tries = len(store.times)
        assert tries in {0, 6}  # 1 and 5 retries; 0 if it was a message of its own
        assert tries == 0 or 1 < bench.clock.now() - store.times[0] < 10
        known = Counter(observed(heard))
        assert known <= HEARD
        assert "completed" not in {event.kind for event in heard}

        if database.of("i"):
            # As the last commit left it: what runs here can be read in the store.
            last = database.of("i")[-1]
            loaded = await bench.loaded(database)
            assert (loaded.head.seq, loaded.head.status) == (last.seq, last.status)
            assert loaded.frames[-1].body == last.frames[-1]
            assert loaded.head.wake_at == last.wake_at
            entries = await bench.history(database)
        else:
            entries = []
        durable = {e.value for e in entries if (e.name, e.status) == DONE}
        failed = [e.attempts for e in entries if e.name == "flaky"]
        before = calls.copy()
        assert await tell(bench, database) == STORY
        again = calls - before
        assert not durable & set(again)
        assert again["flaky"] <= 2 - max(failed, default=0)
        assert set(calls) == set(CALLS)  # no undo
        assert await sent_once(bench, database)


DONE = ("work", "completed")


async def test_a_store_that_fails_slowly_is_given_up_after_ten_seconds(
    bench: Bench,
) -> None:
    # M-11, S27: 5 retries, but within 10 s
    database = await bench.database()
    store = Away(database, bench, 2, takes=4)
    with pytest.raises(StoreUnavailable, match="as the last flush left it"):
        await bench.app(twenty, store).run("w", id="i")

    first = store.times[0]
    assert [round(t - first, 2) for t in store.times] == [0, 4.05, 8.15]
    assert await bench.app(twenty, database).run("w", id="i") == 190
    assert calls == {**dict.fromkeys(range(20), 1), 0: 2}


async def test_drive_and_start_say_that_the_store_is_away(bench: Bench) -> None:
    # M-11, S27
    database = await bench.database()
    with pytest.raises(StoreUnavailable, match="instance 'i'"):
        await bench.app(story, Away(database, bench, 1)).start("w", id="i")
    await bench.app(story, database).start("w", id="i")
    for at in (1, 2):
        with pytest.raises(StoreUnavailable, match="instance 'i'"):
            await bench.app(story, Away(database, bench, at)).drive("i")


class Broken:
    """A codec that fails for a while."""

    def __init__(self) -> None:
        self.works = True

    def encode(self, data: bytes) -> bytes:
        if not self.works:
            raise LookupError("the key service is away")
        return data

    def decode(self, data: bytes) -> bytes:
        return data


@pytest.mark.parametrize("mode", MODES)
async def test_a_codec_that_fails_ends_the_run_and_not_the_instance(
    mode: str, bench: Bench
) -> None:
    # M-11, G12: a flush that cannot even be made
    async def body(ctx: Context) -> object:
        await work(1)
        await ctx.sleep(60)
        codec.works = broken.pop()
        return await work(2)

    codec, broken = Broken(), [True, False]
    database = await bench.database()
    with pytest.raises(StoreUnavailable, match="the key service is away"):
        await bench.app(body, database, durability=mode, codec=codec).run("w", id="i")
    assert (await bench.loaded(database)).head.status in {"running", "suspended"}

    codec.works = True
    bench.clock.advance(100)
    app = bench.app(body, database, durability=mode, codec=codec)
    assert (await app.drive("i")).output == 2
    assert calls == {1: 1, 2: 2}


# The answer is lost


@told
async def test_a_lost_answer_is_no_lost_commit(
    mode: str, bench: Bench, *, replay: bool
) -> None:
    # M-12, G5: at each commit in turn
    for at in count(1):
        heard: list[Event] = []
        database = await with_message(bench)
        store = AtCommits(database, [Fault(at, "fail_after")], clock=bench.clock)
        settings: dict[str, Any] = {"durability": mode, "observers": [heard.append]}

        assert await tell(bench, store, replay=replay, **settings) == STORY
        assert Counter(observed(heard)) == HEARD
        # It was read, not tried again: one frame.
        assert database.calls.count("commit") == len(database.commits)
        assert calls == CALLS
        assert await sent_once(bench, database)
        if not store.struck:
            assert at > FEWEST
            break


class Unsure(AtCommits):
    """Loses one answer, then cannot be read for a while: nobody knows meanwhile."""

    unsure = False
    deaf = 2

    async def commit(self, instance: str, commit: Commit) -> Committed:
        try:
            answer = await super().commit(instance, commit)
        except OutcomeUnknown:
            self.unsure = True
            raise
        self.unsure = False
        return answer

    async def load(self, instance: str) -> Loaded | None:
        if self.unsure and self.deaf:
            self.deaf -= 1
            raise StoreUnavailable("no connection")
        loaded = await super().load(instance)
        self.unsure = False
        return loaded

    async def send(self, message: Envelope) -> bool:
        assert not self.unsure
        return await super().send(message)


@pytest.mark.parametrize("mode", MODES)
async def test_nothing_is_released_before_an_outcome_is_known(
    mode: str, bench: Bench
) -> None:
    # M-12, G5, G2: at each commit in turn
    async def act(name: str) -> str:
        started.append(name)
        assert mode != "step" or not store.unsure
        return name

    async def body(ctx: Context) -> list[str]:
        question = await ctx.receive("question")
        first = await ctx.step("first", partial(act, "first"))
        await question.reply(first)
        await ctx.send("somebody", "news", first)
        second = await ctx.step("second", partial(act, "second"))
        await ctx.sleep(60)
        return [first, second, await ctx.step("third", partial(act, "third"))]

    def observe(_: Event) -> None:
        assert not store.unsure
        released.append("event")

    async def ask() -> None:
        asker = bench.app(body, database).handle("i")
        assert await asker.ask("question", timeout=1000) == "first"
        released.append("reply")

    for at in count(1):
        started: list[str] = []
        released: list[str] = []
        database = await bench.database()
        store = Unsure(database, [Fault(at, "fail_after")], clock=bench.clock)
        asking = asyncio.ensure_future(ask())
        app = bench.app(body, store, durability=mode, observers=[observe])
        assert await app.run("w", id="i") == ["first", "second", "third"]
        assert not store.unsure
        await asking
        assert started == ["first", "second", "third"]
        assert Counter(released) == {"event": 6, "reply": 1}
        if not store.struck:
            assert at > FEWEST
            break
        assert store.deaf == 0


async def test_a_lost_answer_and_another_owner_since_is_a_fence(
    bench: Bench,
) -> None:
    # M-12, G4: at each commit in turn
    class Overtaken(AtCommits):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            try:
                return await super().commit(instance, commit)
            except OutcomeUnknown:
                before = len(database.log)
                other = await bench.app(twenty, database).drive(instance)
                results.append((len(database.log) > before, other.output, len(heard)))
                raise

    fences = 0
    for at in range(1, 23):
        calls.clear()
        heard: list[Event] = []
        results: list[tuple[bool, object, int]] = []
        database = await bench.database()
        store = Overtaken(database, [Fault(at, "fail_after")], clock=bench.clock)
        app = bench.app(twenty, store, observers=[heard.append])
        try:
            output: object = await app.run("w", id="i")
        except Fenced:
            fences += 1
            [(overtaken, other, then)] = results
            assert (overtaken, other) == (True, 190)
            assert len(heard) == then == max(0, at - 2)  # what was acknowledged
        else:
            assert output == 190
        assert set(calls.values()) == {1}
        assert (await bench.loaded(database)).head.status == "completed"
    assert fences >= 20  # all but the start, which attaches, and the end


@pytest.mark.parametrize("seconds", [0, 3, 7, 12, 18])
async def test_a_caller_that_is_cancelled_during_a_commit_repeats_nothing(
    seconds: float, bench: Bench
) -> None:
    # M-12, G5
    database = await bench.database()
    app = bench.app(twenty, bench.slow(database, 5))
    running = asyncio.ensure_future(running_of(app))
    await bench.clock.sleep(seconds)  # some commit is in flight
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert await bench.app(twenty, database).run("w", id="i") == 190
    assert set(calls.values()) == {1}


async def running_of(app: App) -> object:
    found: object = await app.run("w", id="i")
    return found


class Late(FaultyStore):
    """Takes long over its answers too, after it has written."""

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        await self._sleep(5)
        return answer


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("at", [2, 3, 5])
async def test_a_commit_whose_await_is_cancelled_is_not_taken_for_written(
    at: int, bench: Bench, *, is_written: bool
) -> None:
    # M-12, G5: as asyncio.run does when it ends, with every task
    heard: list[Event] = []
    database = await bench.database()
    slow = bench.slow(database, 5)
    store = Late(database, clock=bench.clock) if is_written else slow
    app = bench.app(twenty, store, observers=[heard.append])
    mine = asyncio.all_tasks()
    running = asyncio.ensure_future(running_of(app))
    await bench.clock.sleep(5 * at - 2)
    known = len(heard)
    for _ in range(3):
        for task in asyncio.all_tasks() - mine:
            task.cancel()
        await asyncio.sleep(0)
    with pytest.raises((asyncio.CancelledError, StoreUnavailable)):
        await running

    assert len(database.commits) == at - (not is_written)
    assert len(heard) == known == max(0, at - 2)
    assert await bench.app(twenty, database).run("w", id="i") == 190
    repeated = [n for n in range(20) if calls[n] > 1]
    assert repeated == ([] if is_written else [at - 2])


# Two owners


class Owner(FaultyStore):
    """What one process asks of the store, and what came of it."""

    def __init__(self, inner: Database, bench: Bench) -> None:
        super().__init__(inner, clock=bench.clock)
        self.did: list[str] = []

    async def commit(self, instance: str, commit: Commit) -> Committed:
        try:
            answer = await super().commit(instance, commit)
        except Conflict:
            self.did.append("conflict")
            raise
        self.did.append("commit")
        return answer

    async def send(self, message: Envelope) -> bool:
        self.did.append("send")
        return await super().send(message)


@pytest.mark.parametrize("mode", MODES)
async def test_whoever_is_fenced_says_and_does_nothing_more(
    mode: str, bench: Bench
) -> None:
    # M-13, G4
    started: list[str] = []
    heard: dict[str, list[str]] = {"a": [], "b": []}
    answers: list[object] = []
    owners, outputs = ["a"], list[object]()

    async def body(ctx: Context) -> list[str]:
        question = await ctx.receive("question")
        first = await ctx.step("first", partial(mark, "first"))
        await ctx.sleep(1)
        second = await ctx.step("second", partial(mark, "second"))
        await ctx.send("somebody", "news", second)
        await question.reply(second)
        await ctx.sleep(0.01)
        return [first, second, await ctx.step("third", partial(mark, "third"))]

    async def mark(name: str) -> str:
        who = owners[0]
        started.append(f"{name} by {who}")
        current_step().state[name] = who
        if name == "second" and who == "a":
            owners[0] = "b"
            outputs.append((await app_of("b").drive("i")).output)
            owners[0] = "a"
        return who

    def app_of(who: str) -> App:
        def observe(event: Event) -> None:
            if event.kind != "suspended":
                heard[who].append(event.path or event.kind)

        return bench.app(body, stores[who], durability=mode, observers=[observe])

    async def ask() -> None:
        answers.append(
            await bench.app(body, database).handle("i").ask("question", timeout=90)
        )

    database = await bench.database()
    stores = {who: Owner(database, bench) for who in "abc"}
    asking = asyncio.ensure_future(ask())
    await bench.clock.sleep(0.01)
    with pytest.raises(Fenced):
        await app_of("a").run("w", id="i")
    await asking

    assert outputs == [["a", "b", "b"]]
    assert answers == ["b"]
    # In the other modes the body of A had gone on, up to its next gate.
    assert started == ["first by a", "second by a", "second by b", "third by b"]
    assert stores["a"].did[-1] == "conflict"
    assert stores["a"].did.count("conflict") == 1
    assert "send" not in stores["a"].did
    assert heard == {
        "a": ["receive[0]", "first[0]"],
        "b": ["second[0]", "third[0]", "completed"],
    }
    assert await sent_once(bench, database)
    assert await bench.app(body, database).handle("i").result() == ["a", "b", "b"]
    state = await bench.app(body, database).handle("i").state()
    assert state == {"first": "a", "second": "b", "third": "b"}
