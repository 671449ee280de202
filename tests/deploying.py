"""One workflow in several versions, each deployed to a process of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from edgeflow import App, Context, Outcome, Workflow, step, workflow
from edgeflow.testing import RecordingStore, VirtualClock
from edgeflow_memory import MemoryStore

Part: TypeAlias = Callable[[Context], Awaitable[Any]]


CALLS: Counter[str] = Counter()
"""How often each step was entered."""


@step
async def one() -> int:
    CALLS["one"] += 1
    return 1


@step
async def two() -> int:
    CALLS["two"] += 1
    return 2


@step
async def three() -> int:
    CALLS["three"] += 1
    return 3


@workflow
async def child(_ctx: Context) -> str:
    return "child"


def deployment(part: Part) -> Workflow[None, Any]:
    """A version of one workflow."""

    @workflow(name="deployed")
    async def body(ctx: Context) -> Any:
        return await part(ctx)

    return body


async def nap(ctx: Context) -> None:
    await ctx.sleep(60)


class Deployments:
    """A database and a clock that outlive every process."""

    def __init__(self) -> None:
        self.store = RecordingStore(MemoryStore())
        self.clock = VirtualClock()

    def process(self, part: Part, version: str | None = None, **settings: Any) -> App:
        """A fresh process with this code."""
        return App(
            self.store,
            clock=self.clock,
            workflows=[deployment(part), child],
            version=version,
            **settings,
        )

    async def start(self, part: Part) -> Outcome[Any]:
        """Start the instance under this code, and let it get to its first wait."""
        app = self.process(part)
        await app.start("deployed", id="i")
        return await app.drive("i")

    async def later(
        self, part: Part, seconds: float = 60, version: str | None = None
    ) -> Outcome[Any]:
        """Go on in a new process, under this code, after some time."""
        self.clock.advance(seconds)
        return await self.process(part, version).drive("i")

    async def history(self) -> list[Any]:
        return await self.process(nap).handle("i").history()
