"""`flow`: what a test of a workflow is written with."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, assert_type

import pytest

from edgeflow import (
    AlreadyExists,
    App,
    ChildError,
    Context,
    Event,
    FatalError,
    ReceiveTimeout,
    Retry,
    StepError,
    UnknownInstance,
    UnknownWorkflow,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowFailed,
    current_step,
    step,
    workflow,
)
from edgeflow.testing import Flow, RecordingStore, Stuck
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from edgeflow.engine.settings import Durability

DAY = 86_400.0


@dataclass
class Order:
    id: str
    cents: int


@dataclass
class Approval:
    by: str


@step(retry=Retry(attempts=3, first=60, jitter=0))
async def charge(order: Order) -> str:
    if order.cents <= 0:
        raise FatalError("nothing to charge")
    current_step().state["charged"] = order.cents
    return f"paid {order.cents}"


@workflow
async def fulfil(ctx: Context, order: Order) -> str:
    payment = await charge(order)
    try:
        approval = await ctx.receive(
            "approval", type=Approval, timeout=timedelta(days=2)
        )
    except ReceiveTimeout:
        return "nobody approved"
    return f"{payment}, approved by {approval.body.by}"


@workflow
async def nap(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "awake"


ORDER = Order("o-1", 4200)


# --- running ------------------------------------------------------------------------


async def test_a_run_stops_where_the_workflow_waits_and_no_time_passes(
    flow: Flow,
) -> None:
    began = flow.clock.now()
    order = await flow.start(fulfil, ORDER)

    outcome = await order.drive()

    assert (outcome.status, outcome.awaiting) == ("suspended", ("approval",))
    assert outcome.wake_at is not None
    assert outcome.wake_at - began == pytest.approx(2 * DAY, abs=1)
    assert flow.clock.now() == pytest.approx(began, abs=1)
    assert await order.drive() == outcome


async def test_an_instance_that_was_started_has_not_run(flow: Flow) -> None:
    order = await flow.start(fulfil, ORDER)

    assert (await order.info()).status == "pending"
    assert await order.history() == []


async def test_a_message_is_sent_once_the_workflow_waits_for_it(flow: Flow) -> None:
    order = await flow.start(fulfil, ORDER)

    assert await order.send("approval", Approval("Grace"))

    assert assert_type(await order.result(), str) == "paid 4200, approved by Grace"
    assert (await order.drive()).output == "paid 4200, approved by Grace"


async def test_a_result_lets_time_pass_from_wake_up_to_wake_up(flow: Flow) -> None:
    began = flow.clock.now()

    assert await flow.run(fulfil, ORDER) == "nobody approved"

    assert flow.clock.now() - began == pytest.approx(2 * DAY, abs=1)


async def test_the_parts_of_an_instance_can_be_looked_at(flow: Flow) -> None:
    order = await flow.start(fulfil, ORDER)
    await order.drive()

    history = await order.history()

    assert [(entry.name, entry.status) for entry in history] == [
        ("charge", "completed")
    ]
    assert await order.state() == {"charged": 4200}
    assert (await order.info()).awaiting == ("approval",)


async def test_a_journal_is_drawn_as_show_draws_it(flow: Flow) -> None:
    order = await flow.start(fulfil, ORDER)
    await order.drive()
    drawn = await order.journal()

    first, _, *facts, _, entry, _, _, state = drawn.splitlines()

    assert first == "◷ fulfil  fulfil  suspended"
    assert [line.split()[0] for line in facts] == [
        "started",
        "updated",
        "waits",
        "input",
    ]
    assert re.fullmatch(r'✓ charge +0 ms  "paid 4200"', entry)
    assert state.split() == ["charged", "4200"]


# --- how it can end -----------------------------------------------------------------


async def test_a_result_raises_what_run_raises(flow: Flow) -> None:
    @workflow
    async def breaks_rules(ctx: Context) -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(WorkflowFailed, match="nothing to charge"):
        await flow.run(fulfil, Order("o-2", 0))
    with pytest.raises(WorkflowBlocked, match="can never happen"):
        await flow.run(breaks_rules)
    sleeper = await flow.start(nap, 60)
    await sleeper.cancel()
    with pytest.raises(WorkflowCancelled):
        await sleeper.result()


async def test_a_workflow_that_only_a_message_can_wake_has_no_result(
    flow: Flow,
) -> None:
    @workflow
    async def listens(ctx: Context) -> None:
        await ctx.sleep(60)
        await ctx.receive("yes", "no")

    with pytest.raises(Stuck) as caught:
        await flow.run(listens)

    said, _, journal = str(caught.value).partition("\n\n")
    assert said == ("'listens' cannot end: it waits for the message 'yes' or 'no'")
    assert journal.startswith("◷ listens  listens  suspended")
    assert "✓ sleep" in journal


async def test_a_result_can_be_waited_for_so_long_and_no_longer(flow: Flow) -> None:
    sleeper = await flow.start(nap, 100)

    with pytest.raises(TimeoutError, match="it wakes in 40 s"):
        await sleeper.result(timeout=60)

    assert await sleeper.result(timeout=timedelta(seconds=41)) == "awake"


async def test_a_workflow_without_an_end_is_given_up(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    @workflow
    async def ticks(ctx: Context) -> None:
        await ctx.loop("ticks", lambda _: ctx.sleep(60), state=None)

    monkeypatch.setattr("edgeflow.testing.flow.LOOKS", 20)

    with pytest.raises(Stuck, match="has not ended after 20 wake-ups: it wakes in"):
        await flow.run(ticks)
    with pytest.raises(Stuck, match="20 times in this sleep"):
        await flow.sleep(timedelta(hours=1))


async def test_what_is_due_for_ever_is_given_up(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    @workflow
    async def plays(ctx: Context, other: str) -> None:
        while True:
            await ctx.send(other, "ball")
            await ctx.receive("ball")

    monkeypatch.setattr("edgeflow.testing.flow.LOOKS", 20)
    await flow.start(plays, "right", id="left")
    await flow.start(plays, "left", id="right")

    with pytest.raises(Stuck, match="due again after each of 20 looks: now '"):
        await flow.drive()


# --- sending ------------------------------------------------------------------------


async def test_time_passes_until_a_workflow_waits_for_a_message(flow: Flow) -> None:
    @workflow
    async def later(ctx: Context) -> Any:
        await ctx.sleep(timedelta(days=365))
        return (await ctx.receive("go")).body

    it = await flow.start(later)
    await it.send("go", 7)

    assert await it.result() == 7


@workflow
async def two_questions(ctx: Context) -> str:
    try:
        await ctx.receive("first", timeout=60)
    except ReceiveTimeout:
        await ctx.receive("second")
    return "answered"


async def test_no_time_passes_while_it_waits_for_another_message(flow: Flow) -> None:
    it = await flow.start(two_questions)

    with pytest.raises(Stuck) as caught:
        await it.send("second")

    assert str(caught.value).startswith(
        "'two_questions' does not wait for 'second': it waits for the message 'first' "
        "and wakes in "
    )
    await flow.sleep(60)
    await it.send("second")
    assert await it.result() == "answered"


async def test_what_has_ended_waits_for_no_message(flow: Flow) -> None:
    done = await flow.start(nap, 60)
    with pytest.raises(Stuck, match=r"^'nap' does not wait for 'go': it has completed"):
        await done.send("go")

    failed = await flow.start(fulfil, Order("o-2", 0))
    with pytest.raises(Stuck, match=r"it is failed: .*nothing to charge"):
        await failed.send("approval")


async def test_one_message_is_sent_once(flow: Flow) -> None:
    @workflow
    async def hears(ctx: Context) -> list[Any]:
        return [(await ctx.receive("word")).body for _ in range(2)]

    it = await flow.start(hears)

    sent = [
        await it.send("word", "a", id="1"),
        await it.send("word", "a", id="1"),
        await it.send("word", "b"),
    ]

    assert sent == [True, False, True]
    assert await it.result() == ["a", "b"]


async def test_an_answer_comes_from_the_workflow_that_is_asked(flow: Flow) -> None:
    @workflow
    async def account(ctx: Context) -> None:
        balance = 0
        while True:
            message = await ctx.receive("deposit", "say nothing")
            await ctx.sleep(30)
            if message.name == "deposit":
                balance += message.body
                await message.reply(balance)

    it = await flow.start(account)

    assert [await it.ask("deposit", 5), await it.ask("deposit", 2)] == [5, 7]
    with pytest.raises(TimeoutError, match="did not answer 'say nothing' in 60 s"):
        await it.ask("say nothing")
    with pytest.raises(Stuck, match="does not wait for 'withdraw'"):
        await it.ask("withdraw")


# --- several ------------------------------------------------------------------------


async def test_instances_wake_each_at_its_time(flow: Flow) -> None:
    woken: list[tuple[str, float]] = []
    began = flow.clock.now()

    @step
    async def note(name: str) -> None:
        woken.append((name, flow.clock.now() - began))

    @workflow
    async def wakes(ctx: Context, seconds: float) -> None:
        await ctx.sleep(seconds)
        await note(ctx.id)

    for seconds in (30, 10, 20):
        await flow.start(wakes, seconds)
    await flow.sleep(25)

    assert [name for name, _ in woken] == ["wakes-2", "wakes-3"]
    assert [at for _, at in woken] == pytest.approx([10, 20], abs=1)
    assert flow.clock.now() == pytest.approx(began + 25, abs=0.01)
    await flow.handle("wakes").result()
    assert woken[2][0] == "wakes"


@workflow
async def child(ctx: Context, name: str) -> str:
    await ctx.sleep(60)
    return f"{name} {(await ctx.receive('go')).body}"


@workflow
async def parent(ctx: Context) -> str:
    try:
        return await ctx.call(child, "Tim", id="tim")
    except ChildError as error:
        return error.kind


async def test_children_are_driven_with_their_parents(flow: Flow) -> None:
    family = flow.of(App("memory:", workflows=[parent, child]))
    top = await family.start(parent)
    await top.drive()

    await family.handle("tim").send("go", "on")

    assert await top.result() == "Tim on"


async def test_who_waits_for_a_child_says_so(flow: Flow) -> None:
    family = flow.of(App("memory:", workflows=[parent, child]))

    with pytest.raises(Stuck) as caught:
        await family.run(parent)

    assert str(caught.value).startswith(
        "'parent' cannot end: it waits for its child 'tim': "
        "it waits for the message 'go'\n\n"
    )


async def test_a_child_whose_workflow_is_missing_says_so(flow: Flow) -> None:
    with pytest.raises(Stuck, match=r"child 'tim': it is blocked: .* called 'child'"):
        await flow.run(parent)


async def test_an_id_is_the_name_of_the_workflow_unless_it_is_given(flow: Flow) -> None:
    ids = [(await flow.start(nap, 1)).id for _ in range(2)]

    assert ids == ["nap", "nap-2"]
    assert (await flow.start(nap, 1, id="mine")).id == "mine"
    with pytest.raises(AlreadyExists):
        await flow.start(nap, 1, id="mine")


async def test_keys_are_the_same_in_each_test_run_and_differ_per_instance() -> None:
    @workflow
    async def keys(ctx: Context) -> str:
        return await ctx.step("key", lambda: current_step().key)

    first, second = Flow(), Flow()
    found = [await first.run(keys), await first.run(keys)]

    assert found == [await second.run(keys), await second.run(keys)]
    assert found[0] != found[1]


# --- an app of one's own ------------------------------------------------------------


async def test_a_flow_of_an_app_has_all_of_it_but_its_store() -> None:
    opened: list[str] = []
    heard: list[Event] = []

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[str]:
        opened.append("in")
        yield "the bank"
        opened.append("out")

    store = RecordingStore(MemoryStore())
    app = App(store, lifespan=lifespan, observers=[heard.append], durability="suspend")

    @step
    async def bank() -> str:
        return str(current_step().resources)

    @app.workflow
    async def asks(ctx: Context) -> str:
        return f"{await bank()}, {await bank()}"

    flow = Flow(app)

    assert await flow.run(asks) == "the bank, the bank"
    assert store.calls == []
    assert opened == ["in", "out"]
    assert [event.kind for event in heard] == [
        "step_completed",
        "step_completed",
        "completed",
    ]
    assert app.workflows == (asks,)


async def test_a_workflow_that_an_app_has_not_is_unknown_there(flow: Flow) -> None:
    with pytest.raises(UnknownWorkflow, match="called 'nap' here; registered: fulfil"):
        await flow.of(App("memory:", workflows=[fulfil])).start(nap, 1)


@pytest.mark.parametrize("durability", ["step", "behind", "suspend"])
async def test_what_was_not_written_when_the_process_died_is_done_again(
    durability: Durability,
) -> None:
    done: list[str] = []

    @step
    async def first() -> None:
        done.append("first")

    @step
    async def second() -> None:
        done.append("second")
        if done.count("second") == 1:
            flow.restart()

    @workflow
    async def both(ctx: Context) -> str:
        await first()
        await second()
        return "done"

    flow = Flow(App("memory:", workflows=[both], durability=durability))

    assert await flow.run(both) == "done"
    again = ["first"] if durability == "suspend" else []
    assert done == ["first", "second", *again, "second"]


async def test_what_was_never_started_is_unknown(flow: Flow) -> None:
    nobody = flow.handle("nobody")

    for call in (nobody.drive, nobody.result, nobody.journal):
        with pytest.raises(UnknownInstance, match="'nobody'"):
            await call()


async def test_two_flows_share_nothing(flow: Flow) -> None:
    other = Flow()
    await flow.start(nap, 1, id="mine")

    assert await other.run(nap, 5, id="mine") == "awake"
    assert other.clock.now() > flow.clock.now()


# --- other processes ----------------------------------------------------------------


async def test_a_step_in_which_the_process_dies_runs_again_with_its_key(
    flow: Flow,
) -> None:
    keys: list[str] = []

    @step
    async def pay() -> str:
        keys.append(current_step().key)
        if len(keys) == 1:
            flow.restart()
        return f"paid in life {len(keys)}"

    @workflow
    async def pays(ctx: Context) -> str:
        return await pay()

    it = await flow.start(pays)
    await flow.drive()

    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert await it.result() == "paid in life 2"


async def test_a_thread_in_which_the_process_dies_is_not_called_twice_if_it_must_not(
    flow: Flow,
) -> None:
    calls: list[str] = []

    @step(at_most_once=True)
    def pay() -> None:
        calls.append("paid")
        flow.restart()

    @workflow
    async def pays(ctx: Context) -> str:
        try:
            await pay()
        except StepError as error:
            return error.kind
        return "paid"

    assert await flow.run(pays) == "interrupted"
    assert calls == ["paid"]


async def test_a_new_process_replays_the_body_and_no_step(flow: Flow) -> None:
    entered: list[str] = []

    @step
    async def once() -> None:
        entered.append("step")

    @workflow
    async def plain(ctx: Context) -> str:
        entered.append("body")
        await once()
        await ctx.receive("go")
        return "gone"

    it = await flow.start(plain)
    await it.drive()
    flow.restart()
    await it.send("go")

    assert await it.result() == "gone"
    assert entered == ["body", "step", "body"]


async def test_the_others_do_not_notice_a_restart(flow: Flow) -> None:
    lives: list[str] = []

    @step
    async def dies() -> None:
        lives.append("life")
        if len(lives) == 1:
            flow.restart()

    @workflow
    async def mortal(ctx: Context) -> str:
        await dies()
        return await ctx.call(child, "Tim", id="tim")

    flow.app.register(child)
    sleeper, it = await flow.start(nap, 1), await flow.start(mortal)
    await flow.handle("mortal").drive()

    await flow.handle("tim").send("go", "on")

    assert await it.result() == "Tim on"
    assert await sleeper.result() == "awake"


async def test_a_trouble_of_the_store_is_not_taken_for_a_restart(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = await flow.start(nap, 1)

    async def fails(*_: object) -> None:
        raise ConnectionError("the store is gone")

    monkeypatch.setattr(flow.store, "commit", fails)

    with pytest.raises(Exception, match="the store is gone"):
        await it.drive()
