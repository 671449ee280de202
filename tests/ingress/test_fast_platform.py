"""A platform may call before what it is asked for can be seen: then it calls again."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

import pytest

from tests.ingress.woken_shop import NET, Shop

if TYPE_CHECKING:
    from edgeflow.platform import Alarm, Answer


class AtOnce:
    """A platform that calls as soon as it is asked, however early that is."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._loop = asyncio.get_running_loop()
        self._calls: list[asyncio.Task[Answer]] = []

    def arm(self, alarm: Alarm) -> None:
        elsewhere = contextvars.Context()  # not in that of who arms, and holds time
        self._loop.call_soon_threadsafe(self._call, alarm, context=elsewhere)

    def _call(self, alarm: Alarm) -> None:
        self._calls.append(self._loop.create_task(self._shop.fired(alarm)))

    async def over(self) -> list[Answer]:
        """Wait until nothing is under way; give what the platform was answered."""
        done: list[Answer] = []
        while self._calls:
            done.append(await self._calls.pop())
        return done


def slow_shop() -> tuple[Shop, AtOnce]:
    """Give one whose store takes 0.2 s for each write, and its platform."""
    shop = Shop(takes=0.2)
    platform = AtOnce(shop)
    shop.app, shop.handler = shop.process(platform)
    return shop, platform


# G10 G11
@pytest.mark.parametrize("do", ["send", "call"])
async def test_a_wake_up_that_is_faster_than_the_commit_is_not_the_last(
    do: str,
) -> None:
    """The first finds nothing, and is used up; what follows the commit finds it."""
    shop, platform = slow_shop()
    await shop.asked({"id": "other", "do": "receive"})

    await shop.asked({"id": "i", "do": do})
    answers = await platform.over()

    assert {answer.status for answer in answers} == {200}
    asked_for = "i" if do == "call" else "other"
    assert (await shop.app.handle(asked_for).info()).status == "completed"
    assert shop.clock.now() < shop.now + NET


# G10 G11
async def test_a_wake_up_that_is_faster_than_a_message_is_not_the_last() -> None:
    shop, platform = slow_shop()
    await shop.asked({"id": "other", "do": "receive"})

    await shop.app.handle("other").send("go", "go!")
    await platform.over()

    assert (await shop.app.handle("other").info()).status == "completed"
    assert shop.clock.now() < shop.now + NET
