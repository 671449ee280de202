"""No answer before the commit; no body and no word if the store is down (P-05)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, StoreUnavailable, step
from edgeflow.errors import OutcomeUnknown
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.ingress.place import (
    Alarms,
    Place,
    anyone,
    endpoint_of,
    error_type,
    event,
    http,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgeflow.platform import Answer
    from edgeflow.store import Commit, Committed, Envelope, Loaded

SECRET = "/var/lib/shop/edgeflow.db on db-7.internal"
"""What nobody outside need know."""


class Troubled(RecordingStore):
    """A store that is slow, or away for some of its methods."""

    def __init__(self, clock: VirtualClock, takes: float = 0.0) -> None:
        super().__init__(MemoryStore())
        self.clock = clock
        self.takes = takes
        self.away: set[str] = set()
        """Names of the methods that fail."""
        self.after = 0
        """How many commits succeed before those fail."""
        self.when: list[float] = []
        """When each commit was done."""
        self.then: Callable[[], Awaitable[None]] | None = None
        """What happens when a message has just been sent."""
        self.error: type[StoreUnavailable | OutcomeUnknown] = StoreUnavailable

    def _check(self, method: str) -> None:
        if method in self.away:
            raise self.error(f"cannot open {SECRET}")

    async def open(self) -> None:
        self._check("open")
        await super().open()

    async def load(self, instance: str) -> Loaded | None:
        self._check("load")
        return await super().load(instance)

    async def send(self, message: Envelope) -> bool:
        self._check("send")
        sent = await super().send(message)
        if self.then is not None:
            await self.then()
        return sent

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if len(self.commits) >= self.after:
            self._check("commit")
        if self.takes:
            await self.clock.sleep(self.takes)
        done = await super().commit(instance, commit)
        self.when.append(self.clock.now())
        return done


class Shop:
    def __init__(self, takes: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.store = Troubled(self.clock, takes)
        self.alarms = Alarms()
        platform = Place(waker=self.alarms)
        self.app = App(self.store, platform=platform, clock=self.clock)
        self.entered: list[str] = []

        @step
        async def charge() -> str:
            self.entered.append("charge")
            return "paid"

        @self.app.handler(id="id", authorize=anyone)
        async def buy(ctx: Context, event: dict[str, Any]) -> str:
            self.entered.append("body")
            if "told" in event:
                return str((await ctx.receive("go")).body)
            return await charge()

        self.handler: Any = buy

    async def asked(self, event_: Any) -> Answer:
        answer: Answer = await self.handler(event(event_))
        return answer


ORDER = {"id": "i"}


def is_silent(answer: Answer) -> bool:
    """Tell whether an answer asks to come again, and says nothing of the store."""
    assert (answer.status, answer.headers) == (503, {"Retry-After": "1"})
    assert not answer.is_decided
    assert not answer.is_refused
    return not any(word.encode() in answer.content for word in SECRET.split())


# P-05  G2
async def test_the_answer_waits_for_the_last_commit_however_slow_it_is() -> None:
    shop = Shop(takes=0.3)
    began = shop.clock.now()

    answering = asyncio.create_task(shop.handler(event(ORDER)))
    done: list[float] = []
    answering.add_done_callback(lambda _: done.append(shop.clock.now()))
    answer: Answer = await answering

    assert answer.status == 200
    assert [commit.status for commit in shop.store.commits][-1] == "completed"
    assert done[0] == shop.store.when[-1]
    assert done[0] - began == pytest.approx(0.3 * len(shop.store.commits))


# P-05  G12
@pytest.mark.parametrize("error", [StoreUnavailable, OutcomeUnknown])
@pytest.mark.parametrize("away", [{"open"}, {"commit"}, {"commit", "load"}])
async def test_a_store_that_is_down_is_503_and_the_body_is_not_entered(
    away: set[str], error: type[StoreUnavailable | OutcomeUnknown]
) -> None:
    shop = Shop()
    shop.store.away, shop.store.error = away, error

    answer = await shop.asked(ORDER)

    assert is_silent(answer)
    assert shop.entered == []
    assert shop.store.commits == []

    shop.store.away = set()
    assert (await shop.asked(ORDER)).value == "paid"
    assert shop.entered == ["body", "charge"]


# P-05  G2 G12
@pytest.mark.parametrize("commits", [1, 2])
async def test_a_store_that_goes_down_meanwhile_is_503_and_nothing_is_said(
    commits: int,
) -> None:
    """The first commit is the start, the second the step, the last the output."""
    shop = Shop()
    shop.store.away, shop.store.after = {"commit"}, commits

    answer = await shop.asked(ORDER)

    assert is_silent(answer)
    assert b"paid" not in answer.content
    assert len(shop.store.commits) == commits
    info = await shop.app.handle("i").info()
    assert info.status == "running"

    shop.store.away = set()
    shop.clock.advance(shop.app.config["lease"])
    assert (await shop.asked(ORDER)).value == "paid"
    assert shop.entered.count("charge") == (2 if commits == 1 else 1)
    failed = [entry for entry in await shop.app.handle("i").history() if entry.error]
    assert failed == []


# P-05  G12
async def test_every_door_is_503_while_the_store_is_down_and_open_again_after() -> None:
    shop = Shop()
    doors = [
        event({"edgeflow": {"wake": "i"}}),
        event({"edgeflow": {"look": "i"}}),
        event({"edgeflow": {"send": {"to": "i", "name": "go"}}}),
        http("/edgeflow/instances/i", method="GET"),
        http("/edgeflow/instances/i/messages/go"),
    ]
    async with endpoint_of(shop.handler).lifespan():
        shop.store.away = {"load", "send", "commit"}
        for request in doors:
            assert is_silent(await shop.handler(request))
        shop.store.away = set()
        for request in doors:
            assert (await shop.handler(request)).status in {200, 404}


SEND = {"edgeflow": {"send": {"to": "i", "name": "go", "body": "go!"}}}


# P-05  G11
@pytest.mark.parametrize("can_be_armed", [True, False])
@pytest.mark.parametrize("away", ["load", "commit"])
async def test_a_message_that_is_durable_is_never_answered_503(
    away: str, caplog: pytest.LogCaptureFixture, *, can_be_armed: bool
) -> None:
    """Who heard 503 would send it again, and without an id it would be another."""
    shop = Shop()
    await shop.asked({"id": "i", "told": True})
    shop.store.away = {away}
    shop.alarms.failures = 0 if can_be_armed else 1000
    sent_at = shop.clock.now()

    answer = await shop.asked(SEND)

    assert answer.status == 202
    assert answer.value == {"id": "i", "status": "unknown", "sent": True}
    assert answer.is_decided
    assert not any(word.encode() in answer.content for word in SECRET.split())
    assert "a message to 'i' waits for its next run" in caplog.text

    shop.store.away, shop.alarms.failures = set(), 0
    (message,) = await shop.store.unread("i")
    armed = [(a.instance, a.key, a.when >= sent_at) for a in shop.alarms.diary]
    assert armed == [("i", message.id, True)] * can_be_armed
    shop.clock.advance(shop.app.config["lease"])
    woken = await shop.asked({"edgeflow": {"wake": "i"}})
    assert woken.value["status"] == "completed"
    assert (await shop.app.handle("i").info()).output == "go!"


# P-07  G11
async def test_nor_is_one_after_which_the_process_was_told_to_end() -> None:
    shop = Shop()
    await shop.asked({"id": "i", "told": True})
    worker = await shop.app.session.stay(serves=False)
    shop.store.then = worker.shut

    answer = await shop.asked(SEND)

    assert answer.status == 202
    assert answer.value == {"id": "i", "status": "unknown", "sent": True}
    assert [alarm.instance for alarm in shop.alarms.diary] == ["i"]


# P-05
async def test_an_answer_whose_loss_is_settled_by_reading_is_given_all_the_same() -> (
    None
):
    shop = Shop()

    class Forgetful(Troubled):
        async def commit(self, instance: str, commit: Commit) -> Committed:
            await super().commit(instance, commit)
            raise OutcomeUnknown("the answer was lost")

    shop.app.use_store(Forgetful(shop.clock))

    assert (await shop.asked(ORDER)).value == "paid"
    assert shop.entered == ["body", "charge"]


async def test_a_lifespan_that_fails_is_503_says_nothing_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fails = [True]

    class Resources:
        async def __aenter__(self) -> str:
            if fails.pop():
                raise ConnectionError(f"no bank at {SECRET}")
            return "resources"

        async def __aexit__(self, *_: object) -> None: ...

    app = App(MemoryStore(), platform=Place(), clock=VirtualClock(), lifespan=Resources)

    @app.handler(id="id")
    async def buy(ctx: Context, event: Any) -> str:
        return "bought"

    answer: Answer = await buy(event(ORDER))

    assert is_silent(answer)
    assert error_type(answer) == "Unavailable"
    assert b"Traceback" not in answer.content
    assert b'File "' not in answer.content
    assert SECRET in caplog.text
    fails.append(False)
    assert (await buy(event(ORDER))).value == "bought"
