"""A platform is asked to wake what will be due: before the flush that says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, current_step, step, workflow
from edgeflow.platform import Alarm
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.ingress.place import Alarms, Place, endpoint_of, error_type, event

if TYPE_CHECKING:
    from edgeflow.platform import Answer, Background
    from edgeflow.store import Commit, Committed, Store

LEASE = 30.0


class Diary(RecordingStore):
    """Writes its commits where the alarms are written."""

    def __init__(self, inner: Store, diary: list[Any]) -> None:
        super().__init__(inner)
        self.diary = diary

    async def commit(self, instance: str, commit: Commit) -> Committed:
        done = await super().commit(instance, commit)
        self.diary.append((instance, commit))
        return done


@workflow
async def child(ctx: Context) -> str:
    return "grown"


@step
async def be_told() -> None:
    await current_step().stopping


class Shop:
    """A handler that does what its event says, where alarms can be armed."""

    def __init__(self, background: Background = "none") -> None:
        self.clock = VirtualClock()
        self.now = self.clock.now()
        self.diary: list[Any] = []
        self.alarms = Alarms(self.diary)
        self.store = Diary(MemoryStore(), self.diary)
        self.background: Background = background
        self.entered = 0
        self.steps = 0
        self.gate = asyncio.Event()
        self.inside = asyncio.Event()
        self.app, self.handler = self.process()

    def process(self) -> tuple[App, Any]:
        platform = Place(self.background, self.alarms)
        app = App(
            self.store,
            workflows=[child],
            platform=platform,
            clock=self.clock,
            lease=LEASE,
        )

        async def do(ctx: Context, event: dict[str, Any]) -> Any:
            self.entered += 1
            return await self._do(ctx, event)

        return app, app.handler(id="id")(do)

    async def _do(self, ctx: Context, event: dict[str, Any]) -> Any:
        match event["do"]:
            case "sleep":
                return await ctx.sleep(event["seconds"])
            case "send":
                return await ctx.send("other", "go", 1, delay=event.get("delay"))
            case "call":
                return await ctx.call(child, None, id="young")
            case "be told":
                return await be_told()
            case "nothing":
                return "done"
            case "work":
                await ctx.step("work", self._work)
            case _:
                pass
        return (await ctx.receive("go", timeout=event.get("timeout"))).body

    async def _work(self) -> None:
        self.steps += 1
        self.inside.set()
        await self.gate.wait()

    async def asked(self, event_: Any, **known: Any) -> Answer:
        answer: Answer = await self.handler(event(event_, **known))
        return answer

    async def woken(self, instance: str = "i") -> Answer:
        return await self.asked({"edgeflow": {"wake": instance}})

    @property
    def armed(self) -> list[Alarm]:
        return [each for each in self.diary if isinstance(each, Alarm)]

    def before(self, alarm: Alarm) -> Commit:
        """Give the commit that was written next after an alarm was armed."""
        _, commit = self.diary[self.diary.index(alarm) + 1]
        assert isinstance(_, str)
        found: Commit = commit
        return found


SLEEP = {"id": "i", "do": "sleep", "seconds": 60}


# G10  P-04
async def test_the_alarm_is_armed_before_the_flush_that_suspends() -> None:
    shop = Shop()

    await shop.asked(SLEEP)

    (alarm,) = shop.armed
    commit = shop.before(alarm)
    assert alarm == Alarm("i", str(commit.last), shop.now + 60)
    assert (commit.status, commit.wake_at) == ("suspended", shop.now + 60)


# G10
def test_an_alarm_has_the_same_name_whoever_arms_it() -> None:
    alarm = Alarm("i", "2", 1000.75)

    assert alarm.name(1000.75) == Alarm("i", "2", 1000.0).name(1000.0)
    assert len(alarm.name(1000.75)) == 43
    others = [Alarm("j", "2", 1000), Alarm("i", "3", 1000), Alarm("i2", "", 1000)]
    names = {each.name(each.when) for each in [alarm, *others]}
    assert len(names | {alarm.name(2000)}) == 5


# G10
async def test_a_deadline_of_a_wait_is_armed_and_a_wait_for_ever_is_not() -> None:
    shop = Shop()

    await shop.asked({"id": "i", "do": "receive", "timeout": 600})
    await shop.asked({"id": "j", "do": "receive"})

    assert [(alarm.instance, alarm.when) for alarm in shop.armed] == [
        ("i", shop.now + 600)
    ]


# G10
async def test_a_wait_below_the_linger_arms_nothing() -> None:
    shop = Shop()

    answer = await shop.asked({"id": "i", "do": "sleep", "seconds": 0.05})

    assert answer.status == 200
    assert shop.armed == []


# G14
async def test_who_has_ended_is_not_woken() -> None:
    shop = Shop()

    await shop.asked({"id": "i", "do": "nothing"})
    await shop.asked({"id": "i", "do": "nothing"})
    await shop.woken()

    assert shop.armed == []


# G10 G11
@pytest.mark.parametrize("delay", [None, 600.0])
async def test_who_is_sent_a_message_is_woken_when_it_can_be_received(
    delay: float | None,
) -> None:
    shop = Shop()

    await shop.asked({"id": "i", "do": "send", "delay": delay})

    (alarm,) = shop.armed
    commit = shop.before(alarm)
    (message,) = commit.sends
    assert alarm == Alarm("other", message.id, shop.now + (delay or 0))


# G10
async def test_a_child_is_woken_to_begin_and_its_parent_when_it_has_ended() -> None:
    shop = Shop()

    await shop.asked({"id": "i", "do": "call"})
    born = [alarm for alarm in shop.armed if alarm.instance == "young"]
    assert [alarm.when for alarm in born] == [shop.now]
    assert shop.before(born[0]).status == "pending"

    await shop.woken("young")
    ended = [alarm for alarm in shop.armed if alarm.instance == "i"]
    assert [alarm.when for alarm in ended] == [shop.clock.now()]
    assert (await shop.woken("i")).value["status"] == "completed"


# G10  S10
async def test_who_is_suspended_before_its_time_is_woken_at_once() -> None:
    shop = Shop()

    await shop.asked({"id": "i", "do": "be told"}, seconds_left=3)

    (alarm,) = shop.armed
    commit = shop.before(alarm)
    assert (commit.status, commit.due) == ("suspended", alarm.when)
    assert alarm.when <= shop.clock.now()


# --- trouble ------------------------------------------------------------------------


# G10
async def test_a_scheduler_that_is_away_for_a_moment_is_asked_again() -> None:
    shop = Shop()
    shop.alarms.failures = 2

    answer = await shop.asked(SLEEP)

    assert (answer.status, shop.alarms.tries) == (202, 3)
    assert len(shop.armed) == 1
    assert shop.clock.now() < shop.now + 2


# G10 G12  P-05
async def test_if_nobody_would_wake_it_nothing_is_flushed_and_503_is_said() -> None:
    shop = Shop()
    shop.gate.set()
    await shop.asked({"id": "other", "do": "sleep", "seconds": 5})
    shop.alarms.failures = 1000
    written = len(shop.store.commits)

    answer = await shop.asked(SLEEP)

    assert (answer.status, error_type(answer)) == (503, "StoreUnavailable")
    assert not answer.is_decided
    assert b"scheduler" not in answer.content
    assert [c.status for c in shop.store.commits[written:]] == ["running"]
    assert (await shop.app.handle("i").info()).status == "running"
    assert not any(e.error for e in await shop.app.handle("i").history())

    shop.alarms.failures = 0
    assert (await shop.asked({"id": "next", "do": "nothing"})).value == "done"
    shop.clock.advance(LEASE)
    assert (await shop.asked(SLEEP)).value["status"] == "suspended"


# G10 G12
async def test_what_is_flushed_before_stays_flushed_if_the_end_cannot_be_armed() -> (
    None
):
    shop = Shop()
    shop.gate.set()
    shop.alarms.failures = 1000

    answer = await shop.asked({"id": "i", "do": "work"})
    assert answer.status == 202  # it waits for a message: nothing is to be armed
    sent = await shop.asked({"id": "j", "do": "send"})

    assert sent.status == 503
    assert shop.steps == 1
    assert (await shop.app.handle("j").info()).status == "running"


# --- too early ------------------------------------------------------------------------


# G10
@pytest.mark.parametrize("background", ["none", "runs"])
async def test_who_is_woken_too_early_is_woken_again_and_nothing_is_burnt(
    background: Background,
) -> None:
    """Its alarm is used up; in memory or not, it is armed once more as it was."""
    shop = Shop(background)
    async with endpoint_of(shop.handler).lifespan():
        await shop.asked(SLEEP)
        written = len(shop.store.commits)

        early = await shop.woken()

        assert early.value["status"] == "suspended"
        assert shop.entered == 1
        assert len(shop.store.commits) == written
        first, second = shop.armed
        assert second == first
        assert second.name(second.when) == first.name(first.when)

        shop.clock.advance(60)
        assert (await shop.woken()).value["status"] == "completed"
        assert len(shop.armed) == 2


# G10 G11
async def test_who_is_woken_before_a_message_can_be_received_is_woken_again() -> None:
    shop = Shop()
    await shop.asked({"id": "other", "do": "receive"})
    sent_at = shop.clock.now()
    await shop.asked({"id": "i", "do": "send", "delay": 600})

    early = await shop.woken("other")

    assert early.value["status"] == "suspended"
    assert [(alarm.instance, alarm.when) for alarm in shop.armed] == [
        ("other", sent_at + 600)
    ] * 2
    shop.clock.advance(600)
    assert (await shop.woken("other")).value["status"] == "completed"


# G10
async def test_if_it_cannot_be_armed_again_the_platform_is_to_call_again() -> None:
    shop = Shop()
    await shop.asked(SLEEP)
    shop.alarms.failures = 1000

    early = await shop.woken()

    assert early.status == 503
    assert shop.entered == 1


# G10 G11  P-02
async def test_who_runs_elsewhere_is_looked_at_again_when_that_lease_is_over() -> None:
    """Its process may have died, or may rest without having seen a message."""
    shop = Shop()
    _, elsewhere = shop.process()
    running = asyncio.create_task(elsewhere(event({"id": "i", "do": "work"})))
    await shop.inside.wait()

    for trigger in ({"wake": "i"}, {"send": {"to": "i", "name": "go", "body": "go!"}}):
        answer = await shop.asked({"edgeflow": trigger})
        assert answer.value["status"] == "running"
    second = await shop.asked({"id": "i", "do": "work"})

    assert second.status == 202
    armed = [(alarm.instance, alarm.when) for alarm in shop.armed]
    assert armed == [("i", shop.now + LEASE)] * 3

    shop.gate.set()
    await running
    shop.clock.advance(LEASE)
    assert (await shop.woken()).value["status"] == "completed"
    assert shop.steps == 1
