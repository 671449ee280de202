"""The crash matrix itself: it finds what is wrong, says where, and lets the sound pass.

The engines that are broken on purpose here are few; tests/mutants has more of them.
"""

from __future__ import annotations

import ast
import asyncio
import re
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import edgeflow.testing
from edgeflow import (
    App,
    ChildError,
    Context,
    FatalError,
    ReceiveTimeout,
    Retry,
    StoreUnavailable,
    UnknownWorkflow,
    current_step,
    step,
    workflow,
)
from edgeflow.engine.desk import Desk
from edgeflow.engine.journal import Journal
from edgeflow.engine.ops.step import StepOp
from edgeflow.engine.run import Run
from edgeflow.store import Limits, Query
from edgeflow.testing.faults import KINDS, Fault
from edgeflow.testing.matrix import MatrixFailed, crash_matrix
from edgeflow.testing.posts import Post
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgeflow import Workflow
    from edgeflow.engine.run import Run as Running
    from edgeflow.store import Commit, Committed
    from edgeflow.testing.lives import End

PLAIN = Retry(attempts=3, first=60, jitter=0)
QUICK = Retry(attempts=3, first=0.01, jitter=0)

PUBLIC = {name: getattr(edgeflow.testing, name) for name in edgeflow.testing.__all__}

done: list[object] = []
"""What steps have done outside of edgeflow; `undo_all` puts it back."""


def put_back() -> None:
    done.clear()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    put_back()


def app_of(*workflows: Workflow[Any, Any], **options: Any) -> App:
    return App("memory:", workflows=workflows, **options)


async def failure(app: App, *given: Any, **options: Any) -> MatrixFailed:
    """Let the matrix fail, and give what it says."""
    with pytest.raises(MatrixFailed) as caught:
        await crash_matrix(app, *given, **options)
    return caught.value


async def again(failed: MatrixFailed, **names: Any) -> MatrixFailed:
    """Do what a failure says that repeats it; it has to fail in the same way."""
    text = str(failed).partition("\nTo repeat it:\n")[2].strip()
    code = compile(text, "story", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with pytest.raises(MatrixFailed) as caught:
        await eval(code, PUBLIC | names)
    return caught.value


@step
async def act(value: Any) -> Any:
    done.append(value)
    return value


@step(retry=PLAIN)
async def flaky(value: Any) -> Any:
    done.append((value, current_step().attempt))
    if current_step().attempt == 1:
        raise ValueError("not yet")
    return value


@workflow
async def two_steps(ctx: Context, word: str) -> list[str]:
    return [await act(f"{word} 1"), await act(f"{word} 2")]


@workflow
async def errand(ctx: Context) -> Any:
    found = await flaky("found")
    await ctx.sleep(60)
    return await act(f"{found} and done")


# --- what is sound passes -------------------------------------------------------------


async def test_a_sound_workflow_passes_and_the_report_says_what_was_tried() -> None:
    report = await crash_matrix(app_of(two_steps), two_steps, "go")

    assert report.end.status == "completed"
    assert report.end.output == ["go 1", "go 2"]
    assert report.writes == 5
    assert report.cases == 5 * len(KINDS)
    assert report.processes > report.cases
    assert str(report) == (
        f"two_steps: 5 writes, 50 cases with {report.processes} processes, "
        "all completed alike"
    )


async def test_a_workflow_that_fails_without_faults_has_to_fail_alike() -> None:
    @workflow
    async def hopeless(ctx: Context) -> None:
        await act("tried")
        raise ValueError("no hope")

    with pytest.raises(MatrixFailed, match="it is failed, ValueError: no hope"):
        await crash_matrix(app_of(hopeless), hopeless)
    report = await crash_matrix(app_of(hopeless), hopeless, ends="failed")

    assert report.end.status == "failed"
    assert report.end.error["message"] == "no hope"
    assert str(report).endswith("all failed alike")


@pytest.mark.parametrize(("parked", "entered"), [(False, 4), (True, 1)])
async def test_it_goes_on_by_replay_or_in_memory(*, parked: bool, entered: int) -> None:
    bodies: list[int] = []

    @workflow
    async def waits(ctx: Context) -> int:
        bodies.append(1)
        for _ in range(3):
            await ctx.sleep(60)
        return 3

    await crash_matrix(app_of(waits), waits, sample=0, parked=parked)

    assert len(bodies) == 2 * entered  # it is run twice


async def test_a_name_does_for_a_workflow() -> None:
    app = app_of(two_steps)
    by_name = await crash_matrix(app, "two_steps", "go", sample=3)

    assert by_name.end == (await crash_matrix(app, two_steps, "go", sample=3)).end


async def test_a_workflow_that_the_app_does_not_have_is_refused() -> None:
    @workflow(name="two_steps")
    async def other(ctx: Context) -> None: ...

    for unknown in ("three_steps", errand, other):
        with pytest.raises(UnknownWorkflow, match="two_steps"):
            await crash_matrix(app_of(two_steps), unknown, "go")


async def test_the_store_of_the_app_is_not_touched() -> None:
    store = MemoryStore()
    app = App(store, workflows=[two_steps])

    await crash_matrix(app, two_steps, "go", sample=3)

    assert [head async for head in store.find(Query())] == []


class Cipher:
    """Hides every byte."""

    def encode(self, data: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in data)

    decode = encode


async def test_an_app_with_a_codec_of_its_own_is_crashed_all_the_same() -> None:
    app = app_of(errand, codec=Cipher())
    report = await crash_matrix(app, errand)

    assert report.end == (await crash_matrix(app_of(errand), errand, sample=0)).end


async def test_what_children_do_is_a_part_of_the_end() -> None:
    @workflow
    async def parent(ctx: Context) -> str:
        await ctx.start(errand, id="free")
        try:
            await ctx.call(hopeless)
        except ChildError as error:
            return error.error.message
        return ""

    @workflow
    async def hopeless(ctx: Context) -> None:
        await ctx.sleep(60)
        raise FatalError(await act("no hope"))

    app = app_of(parent, errand, hopeless)
    report = await crash_matrix(app, parent, sample=40)

    assert report.end.output == "no hope"
    assert len(report.end.others) == 2
    assert report.end.others["free"] == ("completed", "found and done", None)


@workflow
async def oracle(ctx: Context) -> Any:
    question = await ctx.receive("question")
    await question.reply(await act(2 * question.body))
    await ctx.send("archive", "answered", question.body)
    return (await ctx.receive("thanks")).body


ASKING = (Post("thanks", "bye"), Post("question", 21, asks=True))
"""They are sent as they are waited for, and not in their order."""


@pytest.mark.parametrize(
    "store", [MemoryStore, lambda: MemoryStore(Limits(joins_sends=False))]
)
async def test_messages_answers_and_what_is_sent_are_a_part_of_the_end(
    store: Callable[[], MemoryStore],
) -> None:
    report = await crash_matrix(app_of(oracle), oracle, messages=ASKING, store=store)

    assert report.end.output == "bye"
    assert report.end.answers == {1: [42]}
    assert report.end.inboxes == {"archive": [("answered", 21)], "it": []}
    assert report.writes == (8 if store is MemoryStore else 11)


async def test_a_message_can_be_for_another_instance() -> None:
    @workflow
    async def parent(ctx: Context) -> Any:
        return await ctx.call(listener, id="listener")

    @workflow
    async def listener(ctx: Context) -> Any:
        return (await ctx.receive("word")).body

    app = app_of(parent, listener)
    mail = [Post("word", "hello", to="listener")]
    report = await crash_matrix(app, parent, messages=mail, sample=20)

    assert report.end.output == "hello"


async def test_any_store_will_do(tmp_path: Path) -> None:
    files: list[Path] = []

    def store() -> SqliteStore:
        files.append(tmp_path / f"{len(files)}.db")
        return SqliteStore(files[-1])

    report = await crash_matrix(app_of(errand), errand, store=store, sample=5)

    assert len(files) == 2 + report.cases == 7
    assert all(file.exists() for file in files)


async def test_samples_and_pairs_are_drawn_by_their_seed() -> None:
    async def processes(seed: int) -> int:
        report = await crash_matrix(
            app_of(errand), errand, sample=9, pairs=6, seed=seed
        )
        assert report.cases == 15
        return report.processes

    first = await processes(1)
    assert await processes(1) == first
    assert {await processes(seed) for seed in range(2, 6)} != {first}


async def test_only_the_kinds_that_are_asked_for_are_tried() -> None:
    report = await crash_matrix(
        app_of(two_steps), two_steps, "go", faults=["slow", "fail_before"]
    )

    assert report.cases == 2 * report.writes
    assert report.processes == report.cases + 2  # nothing ends a process


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"store": MemoryStore()}, TypeError, "store is what makes a new store for"),
        ({"faults": ["crash"]}, ValueError, "no fault is called 'crash'; known: fail_"),
        ({"messages": {"word": 1}}, TypeError, "'word' is neither a Post nor a pair"),
        ({"messages": [("word",)]}, TypeError, r"\('word',\) is neither a Post nor a"),
        (
            {"only": [Fault(3, "slow"), Fault(6, "lose")]},
            ValueError,
            r"Fault\(6, 'lose'\) strikes nothing: there are 5 writes",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused(
    options: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        await crash_matrix(app_of(two_steps), two_steps, "go", **options)


async def test_one_fault_or_kind_of_fault_need_no_list() -> None:
    app = app_of(two_steps)

    one = await crash_matrix(app, two_steps, "go", only=Fault(3, "fence"))
    kind = await crash_matrix(app, two_steps, "go", faults="fence")

    assert (one.cases, kind.cases) == (1, 5)


# --- what is wrong in a workflow is found ---------------------------------------------


async def test_an_effect_in_the_body_that_changes_the_output_is_found() -> None:
    @workflow
    async def forgetful(ctx: Context) -> int:
        done.append("outside of any step")
        await act("in a step")
        return done.count("outside of any step")

    app = app_of(forgetful)
    failed = await failure(app, forgetful, reset=put_back)

    assert "forgetful does not bear this:\n  write 2, lose: acknowledged" in str(failed)
    assert "it ends differently: output: 2, without faults 1\n" in str(failed)
    assert failed.plan == (Fault(2, "lose"),)
    assert str(await again(failed, app=app, reset=put_back)) == str(failed)


async def test_a_body_that_throws_dice_is_found() -> None:
    dice = Random()

    @workflow
    async def gambler(ctx: Context) -> str:
        side = dice.choice(["left", "right"])
        return await ctx.step(side, lambda: side)

    def throw_alike() -> None:
        dice.seed(4)

    app = app_of(gambler)
    failed = await failure(app, gambler, faults=["crash_after"], reset=throw_alike)

    assert "status: 'blocked', without faults 'completed'" in str(failed)
    assert "HistoryDiverged" in str(failed)


async def test_a_body_that_breaks_the_rules_without_any_fault_is_found() -> None:
    @workflow
    async def sleepless(ctx: Context) -> None:
        current_step()

    failed = await failure(app_of(sleepless), sleepless)

    assert str(failed).startswith(
        "sleepless goes wrong without any fault: it is blocked: current_step() has a"
    )
    assert failed.plan == ()


async def test_a_world_that_is_not_put_back_is_found_before_any_fault() -> None:
    @workflow
    async def counts(ctx: Context) -> int:
        await act("mail")
        return len(done)

    failed = await failure(app_of(counts), counts)

    assert str(failed).startswith(
        "counts goes wrong without any fault: it ends differently: output: 2, without "
        "faults 1\nIt was run a second time. If something outside remembers the first"
    )


async def test_a_message_that_never_comes_is_named() -> None:
    @workflow
    async def patient(ctx: Context) -> str:
        message = await ctx.receive("approval", "refusal")
        return message.name

    failed = await failure(app_of(patient), patient, messages=[("aproval", "yes")])

    assert str(failed).startswith(
        "patient goes wrong without any fault: nothing is due, and no message is left "
        "for whoever waits: it waits for 'approval' or 'refusal'; "
        "not sent: 'aproval' to it\n"
    )


async def test_a_message_that_nobody_waits_for_is_named() -> None:
    @workflow
    async def impatient(ctx: Context) -> Any:
        try:
            return (await ctx.receive("approval", timeout=60)).body
        except ReceiveTimeout:
            return "nobody"

    app = app_of(impatient)
    failed = await failure(app, impatient, messages=[("aproval", "yes")])

    assert str(failed).startswith(
        "impatient goes wrong without any fault: nobody waits for message 'aproval' "
        "to it\n"
    )


async def test_a_workflow_that_never_ends_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @workflow
    async def endless(ctx: Context) -> None:
        while True:
            await ctx.sleep(60)

    monkeypatch.setattr("edgeflow.testing.lives.LOOKS", 20)
    failed = await failure(app_of(endless), endless)

    assert "without any fault: it has not ended after 20 runs" in str(failed)


class Broken(MemoryStore):
    """Answers, but writes nothing."""

    async def commit(self, instance: str, commit: Commit) -> Committed:
        raise StoreUnavailable("the disk is full")


class Odd(MemoryStore):
    """Fails as no store may."""

    async def claim(self, *given: Any, **options: Any) -> Any:
        raise ZeroDivisionError("a defect")


@pytest.mark.parametrize(
    ("store", "why"),
    [
        (Broken, "ends process after process: StoreUnavailable.*the disk is full"),
        (Odd, "any fault: ZeroDivisionError: a defect"),
    ],
)
async def test_a_store_that_does_not_work_is_no_endless_loop(
    store: Callable[[], MemoryStore], why: str
) -> None:
    with pytest.raises(MatrixFailed, match=why):
        await crash_matrix(app_of(two_steps), two_steps, "go", store=store)


# --- what has to be the same ----------------------------------------------------------


async def test_what_has_to_be_the_same_can_be_chosen() -> None:
    @workflow
    async def clock(ctx: Context) -> tuple[str, float]:
        return await act("done"), ctx.now().timestamp()

    def text(end: End) -> str:
        return str(end.output[0])

    app = app_of(clock)
    failed = await failure(app, clock, faults=["slow"])
    assert failed.plan == (Fault(1, "slow"),)
    assert "output: ['done', " in str(failed)

    report = await crash_matrix(app, clock, same=text)
    assert report.cases == 10 * report.writes


async def test_the_world_outside_can_have_to_be_the_same() -> None:
    def outside(_: End) -> tuple[object, ...]:
        return tuple(done)

    app = app_of(two_steps)
    options = {"same": outside, "reset": put_back}
    failed = await failure(app, two_steps, "go", **options)

    assert failed.plan == (Fault(2, "lose"),)
    assert (
        "it ends differently: ('go 1', 'go 1', 'go 2'), without faults ('go 1', 'go 2')"
    ) in str(failed)
    assert str(await again(failed, app=app, **options)) == str(failed)


async def test_the_world_is_put_back_before_each_run() -> None:
    resets: list[int] = []
    report = await crash_matrix(
        app_of(two_steps), two_steps, "go", sample=7, reset=lambda: resets.append(1)
    )

    assert len(resets) == 2 + report.cases == 9


# --- how a failure is told ------------------------------------------------------------


@dataclass
class Order:
    words: list[str]


@workflow(name="two words")
async def two_words(ctx: Context, order: Order) -> list[Any]:
    done.append("body")
    found = [await act(word) for word in order.words]
    return [*found, (await ctx.receive("word")).body, done.count("body")]


async def test_the_line_that_repeats_a_failure_repeats_it() -> None:
    app = app_of(two_words)
    failed = await failure(
        app,
        two_words,
        Order(["one", "two"]),
        messages=[("word", "three"), Post("again", asks=True)][:1],
        parked=True,
        reset=put_back,
        store=MemoryStore,
    )

    assert str(failed).endswith(
        "\nTo repeat it:\n  await crash_matrix(app, 'two words', "
        "Order(words=['one', 'two']), messages=[Post('word', 'three')], parked=True, "
        "reset=reset, store=store, only=[Fault(2, 'lose')])"
    )
    names = {"app": app, "Order": Order, "reset": put_back, "store": MemoryStore}
    repeated = await again(failed, **names)
    assert str(repeated) == str(failed)
    assert repeated.plan == failed.plan


async def test_the_story_tells_what_happened_in_its_order() -> None:
    app = app_of(two_words)
    order = Order(["one", "two"])
    failed = await failure(
        app,
        two_words,
        order,
        messages=[("word", "three")],
        reset=put_back,
        faults=["crash_before"],
    )

    story = str(failed).partition("without faults")[2].partition("\n\n")[2]
    told = [line.strip() for line in story.splitlines()]
    places = [
        told.index(line)
        for line in (
            "process 1",
            "1 it 1: start -> pending",
            "act[0], attempt 1",
            "-- the process ends before it is written",
            "the process ends",
            "on disk: it 2, running; no entries",
            "process 2",
            "message 'word' comes for it",
        )
    ]
    assert places == sorted(places)


async def test_of_a_long_story_the_beginning_and_the_end_are_told() -> None:
    @workflow
    async def long_winded(ctx: Context) -> None:
        for number in range(100):
            await act(number)
        await ctx.receive("never")

    told = str(await failure(app_of(long_winded), long_winded))

    assert "\n   1 it 1: start -> pending\n" in told
    assert re.search(r"\n   \.\.\. \d+ lines \.\.\.\n", told)
    assert told.endswith(" 103 it 103: nothing new -> suspended, waits for never")


async def test_one_of_two_faults_is_told_if_it_is_enough() -> None:
    @workflow
    async def forgetful(ctx: Context) -> int:
        done.append("body")
        await act("in a step")
        return done.count("body")

    app = app_of(forgetful)
    failed = await failure(app, forgetful, sample=0, pairs=20, reset=put_back)

    assert len(failed.plan) == 1
    assert str(failed).count("\n  write ") == 1


async def test_two_faults_are_told_if_it_takes_both() -> None:
    @workflow
    async def bears_one(ctx: Context) -> bool:
        done.append("body")
        await act("in a step")
        return done.count("body") <= 2

    app = app_of(bears_one)
    await crash_matrix(app, bears_one, reset=put_back)
    failed = await failure(app, bears_one, sample=0, pairs=40, reset=put_back)

    assert len(failed.plan) == 2
    assert str(failed).count("\n  write ") == 2
    assert str(await again(failed, app=app, reset=put_back)) == str(failed)


# --- what is wrong in the engine is found ---------------------------------------------


async def test_a_flush_that_is_left_out_before_a_rest_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # O-12, G1
    is_written: Any = vars(Run)["_is_written"]

    def leave_out(self: Running, rest: Any, deaths: int) -> bool:
        return rest.status == "suspended" or bool(is_written(self, rest, deaths))

    monkeypatch.setattr(Run, "_is_written", leave_out)
    failed = await failure(app_of(errand), errand)

    assert (
        "flaky[0]: the outcome of attempt 1 is not durable when control leaves"
    ) in str(failed)


async def test_a_flush_that_is_left_out_between_two_steps_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # O-12, G2: by what was done outside, as nothing inside of edgeflow tells of it
    def repeats_one_at_most(_: End) -> bool:
        return len(done) <= 1 + len(set(done))

    app = app_of(two_steps)
    options: dict[str, Any] = {"same": repeats_one_at_most, "reset": put_back}
    options["faults"] = [kind for kind in KINDS if kind != "lose"]  # this repeats more
    await crash_matrix(app, two_steps, "go", **options)

    settle = Desk.settle

    def leave_out(self: Desk, entry: Any, _: object) -> None:
        settle(self, entry, "suspend")

    monkeypatch.setattr(Desk, "settle", leave_out)
    failed = await failure(app, two_steps, "go", **options)

    assert failed.plan == (Fault(3, "fence"),)
    assert "two_steps does not bear this:\n  write 3, fence: another" in str(failed)
    assert "it ends differently: False, without faults True" in str(failed)


async def test_a_count_that_is_kept_in_memory_only_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # O-12, G7
    record = Journal.record

    def leave_out(self: Journal, path: Any, status: str, **fields: Any) -> Any:
        entry = record(self, path, status, **fields)
        if status == "retrying":
            self.lines.drop(entry.key)
        return entry

    monkeypatch.setattr(Journal, "record", leave_out)
    failed = await failure(app_of(errand), errand)

    assert (
        "flaky[0]: the outcome of attempt 1 is not durable when control leaves"
    ) in str(failed)


async def test_a_count_that_a_new_process_forgets_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # O-12, G7
    @workflow
    async def hasty(ctx: Context) -> Any:
        return await flaky.using(retry=QUICK)("found")

    begin = StepOp[Any].begin

    def forget(self: StepOp[Any], run: Running) -> None:
        entry = run.journal.entries.get(self.key)
        if entry is not None:
            entry.data["attempts"] = 0
        begin(self, run)

    monkeypatch.setattr(StepOp, "begin", forget)
    app = app_of(hasty)
    failed = await failure(app, hasty)

    assert failed.plan == (Fault(3, "crash_after"),)
    assert (
        "hasty does not bear this:\n  write 3, crash_after: it is written, and the "
        "process ends\n\nflaky[0] makes attempt 1 again, though the failure of "
        "attempt 1 is durable since commit 3\n"
    ) in str(failed)
    assert str(await again(failed, app=app)) == str(failed)


async def test_what_is_no_workflow_is_refused() -> None:
    async def plain(ctx: Context) -> None: ...

    with pytest.raises(TypeError, match=r"plain.* is no workflow: decorate it"):
        await crash_matrix(App("memory:"), plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_store_instead_of_what_makes_one_is_refused() -> None:
    @workflow
    async def idle(ctx: Context) -> None: ...

    with pytest.raises(TypeError, match="store is what makes a new store"):
        await crash_matrix(app_of(idle), idle, store=MemoryStore())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_real_io_under_a_time_limit_is_told_from_a_defect() -> None:
    @step(timeout=20, retry=Retry(attempts=1))
    async def fetch() -> None:
        await asyncio.sleep(0.05)

    @workflow
    async def asks(ctx: Context) -> None:
        await fetch()

    with pytest.raises(MatrixFailed, match="Time is virtual: it does not wait"):
        await crash_matrix(app_of(asks), asks)
