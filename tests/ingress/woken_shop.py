"""A handler on a platform that is asked to wake it, and who asks in which order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from edgeflow import App, Context, current_step, step, workflow
from edgeflow.platform import Alarm
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.ingress.place import Alarms, Place, event

if TYPE_CHECKING:
    from edgeflow.platform import Answer, Background, Waker
    from edgeflow.store import Commit, Committed, Envelope, Store

LEASE = 30.0


class Diary(RecordingStore):
    """Writes its commits where the alarms are written, and takes its time for that."""

    def __init__(
        self, inner: Store, clock: VirtualClock, takes: float, diary: list[Any]
    ) -> None:
        super().__init__(inner)
        self._clock = clock
        self._takes = takes
        self.diary = diary

    async def commit(self, instance: str, commit: Commit) -> Committed:
        await self._pause()
        done = await super().commit(instance, commit)
        self.diary.append((instance, commit))
        return done

    async def send(self, message: Envelope) -> bool:
        await self._pause()
        return await super().send(message)

    async def _pause(self) -> None:
        if self._takes:
            await self._clock.sleep(self._takes)


@workflow
async def child(ctx: Context) -> str:
    return "grown"


@step
async def be_told() -> None:
    await current_step().stopping


class Shop:
    """A handler that does what its event says, where alarms can be armed."""

    def __init__(self, background: Background = "none", takes: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.now = self.clock.now()
        self.diary: list[Any] = []
        self.alarms = Alarms(self.diary)
        self.store = Diary(MemoryStore(), self.clock, takes, self.diary)
        self.background: Background = background
        self.entered = 0
        self.steps = 0
        self.gate = asyncio.Event()
        self.inside = asyncio.Event()
        self.app, self.handler = self.process()

    def process(self, waker: Waker | None = None) -> tuple[App, Any]:
        platform = Place(self.background, waker or self.alarms)
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
        """Have somebody look at it who comes by no alarm."""
        return await self.asked({"edgeflow": {"wake": instance}})

    async def looked_at(self) -> None:
        """Have it looked at by every door that changes nothing as long as it sleeps."""
        await self.woken()
        await self.asked({"edgeflow": {"look": "i"}})
        await self.asked({"edgeflow": {"run_due": None}})
        await self.asked(SLEEP)

    async def fired(self, alarm: Alarm) -> Answer:
        """Let the platform call as it was asked to, whatever the time."""
        return await self.asked(alarm.event())

    def whens(self, instance: str) -> list[float]:
        """When it is woken, in seconds from the beginning, in the order of arming."""
        return [a.when - self.now for a in self.armed if a.instance == instance]

    @property
    def armed(self) -> list[Alarm]:
        return [each for each in self.diary if isinstance(each, Alarm)]

    def before(self, alarm: Alarm) -> Commit:
        """Give the commit that was written next after an alarm was armed."""
        return self._commit(self.diary.index(alarm) + 1)

    def after(self, alarm: Alarm) -> Commit:
        """Give the commit that was written last before an alarm was armed."""
        return self._commit(self.diary.index(alarm) - 1)

    def _commit(self, at: int) -> Commit:
        _, commit = self.diary[at]
        assert isinstance(_, str)
        found: Commit = commit
        return found


NET = 10.0
"""How many seconds after a commit has begun the first alarm of what is soon comes."""

SLEEP = {"id": "i", "do": "sleep", "seconds": 60}
