"""What is kept of an error, and what comes back (CONFORMANCE H-05 to H-07)."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest

from edgeflow import (
    App,
    Context,
    ErrorInfo,
    Retry,
    StepError,
    step,
    workflow,
)
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from edgeflow import EntryInfo, Outcome, Workflow

Durability: TypeAlias = Literal["step", "behind", "suspend"]
MODES: list[Durability] = ["step", "behind", "suspend"]
ONCE = Retry(attempts=1)


@dataclass
class World:
    """A store and a clock; every `process` starts with nothing in memory."""

    durability: Durability = "step"
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def process(self, code: Workflow[None, Any]) -> App:
        return App(
            self.store,
            workflows=[code],
            clock=self.clock,
            durability=self.durability,
        )

    async def start(self, code: Workflow[None, Any]) -> None:
        await self.process(code).start(code, id="i")

    async def finish(self, code: Workflow[None, Any]) -> Outcome[Any]:
        """Start it, unless it is; drive it in process after process until it ends."""
        await self.start(code)
        while (outcome := await self.process(code).drive("i")).status == "suspended":
            assert outcome.wake_at is not None
            self.clock.advance(outcome.wake_at - self.clock.now())
        return outcome

    async def history(self) -> list[EntryInfo]:
        return await App(self.store, clock=self.clock).handle("i").history()


@pytest.fixture
def world() -> World:
    return World()


class MyErr(Exception):
    class Inner(Exception):
        pass


class Telling(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code

    def __edgeflow_data__(self) -> dict[str, int]:
        return {"code": self.code}


# H-05  G8
async def test_type_message_and_data_of_an_error_are_what_it_offers(
    world: World,
) -> None:
    runs: list[list[ErrorInfo]] = []

    @step(retry=ONCE)
    async def broken(which: int) -> None:
        raise [MyErr("boom"), MyErr.Inner("in", 2), Telling(5), KeyError("k")][which]

    @workflow
    async def code(ctx: Context) -> None:
        runs.append(seen := [])
        for which in range(4):
            try:
                await broken(which)
            except StepError as error:
                seen.append(error.error)
        failures = await asyncio.gather(
            *(broken(which) for which in range(4)), return_exceptions=True
        )
        seen += [e.error for e in failures if isinstance(e, StepError)]
        await ctx.sleep(60)

    assert (await world.finish(code)).status == "completed"

    module = MyErr.__module__
    expected = [
        ErrorInfo(f"{module}.MyErr", "boom", ["boom"]),
        ErrorInfo(f"{module}.MyErr.Inner", "('in', 2)", ["in", 2]),
        ErrorInfo(f"{module}.Telling", "code 5", {"code": 5}),
        ErrorInfo("KeyError", "'k'", ["k"]),
    ]
    assert runs == [expected * 2] * 2


class PaymentDeclined(Exception):
    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)
        self.code = code


class Loaded(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code

    def __edgeflow_data__(self) -> int:
        return self.code

    @classmethod
    def __edgeflow_load__(cls, data: int) -> Loaded:
        return cls(code=data)


class NotRebuilt(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")  # args do not fit __init__


class PaymentExpired(PaymentDeclined):
    """A type of its own: not listed, though its base is."""


# H-06, S7  G8
@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        (PaymentDeclined(51, "no funds"), PaymentDeclined),
        (Loaded(code=7), Loaded),
        (ValueError("listed too"), ValueError),
        (KeyError("not listed"), StepError),
        (PaymentExpired(54, "expired"), StepError),
        (NotRebuilt(1, 2), StepError),
    ],
    ids=lambda value: None if isinstance(value, type) else type(value).__name__,
)
async def test_listed_types_are_raised_as_themselves(
    world: World, raised: Exception, caught: type[Exception]
) -> None:
    calls: list[int] = []
    seen: list[Exception] = []

    @step(
        raises=(PaymentDeclined, Loaded, NotRebuilt, ValueError),
        retry=Retry(attempts=3),
    )
    async def charge() -> None:
        calls.append(1)
        raise raised

    @workflow
    async def code(ctx: Context) -> None:
        try:
            await charge()
        except Exception as error:
            seen.append(error)
        await ctx.sleep(600)

    assert (await world.finish(code)).status == "completed"

    assert len(calls) == 3  # retried like others
    assert [type(error) for error in seen[-2:]] == [caught, caught]
    for error in seen:
        assert error is not raised
        assert error.__cause__ is None  # as it is on replay
        assert error.__traceback__ is not None
        if isinstance(error, StepError):
            assert error.kind == "exhausted"
            assert error.error.message == str(raised)
        else:
            assert error.args == raised.args
            seen_of_it = dict(vars(error))
            del seen_of_it["__edgeflow_path__"]
            assert seen_of_it == vars(raised)


# H-07  G8
async def test_the_stored_type_of_an_error_is_never_imported_or_called(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(os, "system", ran.append)
    unloaded = "antigravity"
    assert unloaded not in sys.modules
    system = type("system", (Exception,), {"__module__": "os"})
    fly = type("fly", (Exception,), {"__module__": unloaded})
    kinds: list[str] = []

    @step(retry=Retry(attempts=2), raises=(PaymentDeclined,))
    async def broken(which: int) -> None:
        raise [system, fly][which]("echo called")

    @workflow
    async def code(ctx: Context) -> None:
        for which in range(2):
            try:
                await broken(which)
            except StepError as error:
                kinds.append(error.error.type)
        await ctx.sleep(60)

    assert (await world.finish(code)).status == "completed"

    assert kinds[-2:] == ["os.system", "antigravity.fly"]
    assert ran == []
    assert unloaded not in sys.modules
    loaded = await world.store.load("i")
    assert loaded is not None
    for frame in loaded.frames:
        assert b"Traceback" not in frame.body
        assert b".py" not in frame.body
