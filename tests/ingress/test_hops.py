"""Who comes by an alarm before its time has it armed once more; who only looks, not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edgeflow.platform import Alarm
from tests.ingress.place import endpoint_of, event
from tests.ingress.woken_shop import LEASE, SLEEP, Shop

if TYPE_CHECKING:
    from edgeflow.platform import Background

DAY = 86_400.0
LONGEST = 900.0
"""The longest delay of a queue, in seconds."""


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

        early = await shop.fired(shop.armed[0])

        assert early.value["status"] == "suspended"
        assert shop.entered == 1
        assert len(shop.store.commits) == written
        first, second = shop.armed
        assert second == first
        assert second.name(second.when) == first.name(first.when)

        shop.clock.advance(60)
        assert (await shop.fired(second)).value["status"] == "completed"
        assert len(shop.armed) == 2


# G10 G11
async def test_who_is_woken_before_a_message_can_be_received_is_woken_again() -> None:
    shop = Shop()
    await shop.asked({"id": "other", "do": "receive"})
    await shop.asked({"id": "i", "do": "send", "delay": 600})
    (alarm,) = shop.armed

    early = await shop.fired(alarm)

    assert early.value["status"] == "suspended"
    assert shop.armed == [alarm, alarm]
    shop.clock.advance(600)
    assert (await shop.fired(alarm)).value["status"] == "completed"


# G10
async def test_if_it_cannot_be_armed_again_the_platform_is_to_call_again() -> None:
    shop = Shop()
    await shop.asked(SLEEP)
    shop.alarms.failures = 1000

    early = await shop.fired(shop.armed[0])

    assert early.status == 503
    assert shop.entered == 1


# G10
@pytest.mark.parametrize("background", ["none", "runs"])
async def test_who_only_looks_at_one_that_sleeps_arms_nothing(
    background: Background,
) -> None:
    """Else each look began a chain of wake-ups, as long as the sleep."""
    shop = Shop(background)
    async with endpoint_of(shop.handler).lifespan():
        await shop.asked(SLEEP)

        for _ in range(20):
            await shop.looked_at()

    assert len(shop.armed) == 1


# G10
async def test_a_sleep_of_a_day_is_96_wakes_of_900_s_whoever_looks_in_between() -> None:
    shop = Shop()
    await shop.asked(SLEEP | {"seconds": DAY})
    wakes, coming = 0, shop.armed

    while coming:
        (alarm,) = coming
        known = len(shop.armed)
        await shop.looked_at()
        shop.clock.advance(min(alarm.when - shop.clock.now(), LONGEST))
        await shop.fired(alarm)
        wakes += 1
        await shop.looked_at()
        coming = shop.armed[known:]

    assert wakes == DAY / LONGEST
    assert (await shop.app.handle("i").info()).status == "completed"
    assert shop.clock.now() == shop.now + DAY


# G10
@pytest.mark.parametrize("key", ["1", "3", "", "2 ", "a message", "\ud800"], ids=ascii)
@pytest.mark.parametrize("instance", ["i", "nobody"])
async def test_an_alarm_that_nobody_wants_any_more_is_not_armed_again(
    instance: str, key: str
) -> None:
    """One of the commit before, say, of a message that was received, or made up."""
    shop = Shop()
    await shop.asked(SLEEP)
    (alarm,) = shop.armed
    assert alarm.key == "2"

    answer = await shop.fired(Alarm(instance, key, alarm.when))

    assert answer.status == 200
    assert shop.armed == [alarm]


# G10 G11
async def test_an_alarm_whose_time_has_come_is_used_up_though_its_message_waits() -> (
    None
):
    """Who does not receive it yet would be woken for ever."""
    shop = Shop()
    await shop.asked({"id": "other", "do": "sleep", "seconds": 600})
    await shop.asked({"id": "i", "do": "send", "delay": 60})
    known = len(shop.armed)
    shop.clock.advance(60)

    answer = await shop.fired(shop.armed[-1])

    assert answer.value["status"] == "suspended"
    assert len(await shop.store.unread("other")) == 1
    assert len(shop.armed) == known


# G10 G14
async def test_the_alarm_of_one_that_was_cancelled_is_not_armed_again() -> None:
    shop = Shop()
    await shop.asked(SLEEP)
    (alarm,) = shop.armed
    await shop.app.handle("i").cancel()
    known = len(shop.armed)

    assert (await shop.fired(alarm)).value["status"] == "cancelled"
    last = (await shop.app.store.load("i")).head.seq  # type: ignore[union-attr]  # it is there
    await shop.fired(Alarm("i", str(last), alarm.when))

    assert len(shop.armed) == known


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
        assert answer.value["wake_at"] == shop.now + LEASE
    second = await shop.asked({"id": "i", "do": "work"})

    assert (second.status, second.value["wake_at"]) == (202, shop.now + LEASE)
    armed = [(alarm.instance, alarm.when) for alarm in shop.armed]
    assert armed == [("i", shop.now + LEASE)] * 3

    shop.gate.set()
    await running
    shop.clock.advance(LEASE)
    assert (await shop.fired(shop.armed[-1])).value["status"] == "completed"
    assert shop.steps == 1


# G10 G11  P-02
async def test_who_comes_before_the_end_of_that_lease_leaves_one_alarm_as_well() -> (
    None
):
    """Else those of a lease above the longest delay would double each time."""
    shop = Shop()
    _, elsewhere = shop.process()
    running = asyncio.create_task(elsewhere(event({"id": "i", "do": "work"})))
    await shop.inside.wait()
    await shop.woken()
    (alarm,) = shop.armed

    assert (await shop.fired(alarm)).value["status"] == "running"

    assert shop.armed == [alarm, alarm]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# G10 G11  P-02
async def test_a_message_for_later_is_not_forgotten_because_its_receiver_runs() -> None:
    shop = Shop()
    await shop.asked({"id": "j", "do": "send", "delay": 600})
    (alarm,) = shop.armed
    _, elsewhere = shop.process()
    running = asyncio.create_task(elsewhere(event({"id": "other", "do": "work"})))
    await shop.inside.wait()

    assert (await shop.fired(alarm)).value["status"] == "running"

    assert shop.armed[1:] == [
        Alarm("other", shop.armed[1].key, shop.now + LEASE),
        alarm,
    ]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
