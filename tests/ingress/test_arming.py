"""A platform is asked to wake what will be due: before the flush that says so."""

from __future__ import annotations

import pytest

from edgeflow.platform import Alarm
from tests.ingress.place import error_type
from tests.ingress.woken_shop import LEASE, NET, SLEEP, Shop


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
def test_the_event_of_an_alarm_has_the_alarm_in_it() -> None:
    event = Alarm("i", "2", 1000.75).event()

    assert event == {"edgeflow": {"wake": "i", "alarm": ["2", 1000.75]}}


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
@pytest.mark.parametrize(
    ("delay", "whens"),
    [(None, [NET, 0]), (4.0, [NET, 4]), (NET, [NET]), (600.0, [600])],
)
async def test_who_is_sent_a_message_is_woken_when_it_can_be_received(
    delay: float | None, whens: list[float]
) -> None:
    """What is soon is armed again once it can be seen; before that it finds nothing."""
    shop = Shop()

    await shop.asked({"id": "i", "do": "send", "delay": delay})

    net, *again = shop.armed
    commit = shop.before(net)
    (message,) = commit.sends
    assert shop.armed == [Alarm("other", message.id, shop.now + t) for t in whens]
    assert [shop.after(alarm) for alarm in again] == [commit] * len(again)


# G10
async def test_a_sleep_below_the_net_is_armed_before_and_after_the_flush() -> None:
    shop = Shop()

    await shop.asked(SLEEP | {"seconds": 5})

    net, again = shop.armed
    assert shop.before(net) is shop.after(again)
    assert shop.whens("i") == [NET, 5]
    assert net.key == again.key == str(shop.before(net).last)


# G10
async def test_a_child_is_woken_to_begin_and_its_parent_when_it_has_ended() -> None:
    shop = Shop()

    await shop.asked({"id": "i", "do": "call"})
    born = [alarm for alarm in shop.armed if alarm.instance == "young"]
    assert shop.whens("young") == [NET, 0]
    assert shop.before(born[0]) is shop.after(born[1])
    assert shop.before(born[0]).status == "pending"

    await shop.fired(born[1])
    later = shop.clock.now() - shop.now
    assert shop.whens("i") == [later + NET, later]
    assert (await shop.fired(shop.armed[-1])).value["status"] == "completed"


# G10  S10
async def test_who_is_suspended_before_its_time_is_woken_at_once() -> None:
    shop = Shop()

    await shop.asked({"id": "i", "do": "be told"}, seconds_left=3)

    net, again = shop.armed
    commit = shop.before(net)
    assert (commit.status, commit.due) == ("suspended", again.when)
    assert shop.after(again) is commit
    assert again.when <= shop.clock.now() < net.when


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


# G10 G11
async def test_if_what_is_soon_cannot_be_armed_again_it_comes_a_little_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is written is not taken back: the alarm from before the flush is there."""
    shop = Shop()
    await shop.asked({"id": "other", "do": "receive"})
    sent_at = shop.clock.now() - shop.now
    shop.alarms.refused_before = shop.clock.now() + NET

    answer = await shop.asked({"id": "i", "do": "send"})

    assert (answer.status, answer.value) == (200, None)
    assert shop.whens("other") == [sent_at + NET]
    assert "it is woken 10 s later" in caplog.text
    shop.clock.advance(NET)
    assert (await shop.fired(shop.armed[0])).value["status"] == "completed"
