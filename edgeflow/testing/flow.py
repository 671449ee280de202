"""`Flow`: an app in a test, where time is virtual and nothing runs by itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar
from io import BytesIO, TextIOWrapper
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from edgeflow.app import App
from edgeflow.cli._console import Output
from edgeflow.cli.show import Page, Picture
from edgeflow.clock import seconds
from edgeflow.engine import opening
from edgeflow.engine.checking import exported
from edgeflow.engine.children import completion_name
from edgeflow.engine.inbox import Posted, reply_address, unseal
from edgeflow.errors import StoreError
from edgeflow.handle import Handle, unwrap
from edgeflow.posting import new_message_id, plain, post
from edgeflow.store import TERMINAL, Query
from edgeflow.stores import store_from_url
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed, FaultyStore
from edgeflow.testing.twins import twin
from edgeflow.workflows import Workflow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from datetime import timedelta

    from edgeflow.outcome import Outcome
    from edgeflow.store import Head, Store

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

LOOKS = 10_000
"""Looks for work, or wake-ups, in one call after which there is said to be no end."""

CHILD = completion_name("")

_driver: ContextVar[asyncio.Task[Any] | None] = ContextVar(
    "edgeflow.testing.driver", default=None
)
"""Whose call lets this run; None: nobody's, so it is the test."""


class Stuck(AssertionError):
    """Raised if an instance does not come to what a test asks of it; says why."""


class Flow:
    """An app on a new store in memory, with virtual time, driven by the test.

    Each run is in a process of its own: it replays, and begins with the lifespan of
    the app. Time passes only as far as a call says. It needs no closing.
    """

    def __init__(self, app: App | None = None) -> None:
        """Prepare.

        Args:
            app: whose workflows, lifespan, observers and options there are; its own
                store is not touched. Default: an app to which `start` adds workflows.
        """
        self.clock = VirtualClock()
        """What time it is; with `flow.clock.busy():` holds it still."""
        self.store = store_from_url("memory:")
        self.app = twin(app or App("memory:"), self.store, self.clock)
        """For what has no helper here: it works on the same store."""
        self._adopts = app is None
        self._seen = FaultyStore(self.store, clock=self.clock)
        self._processes = 0
        self._turn = asyncio.Lock()
        self._ids: dict[str, int] = {}

    def of(self, app: App) -> Flow:
        """Give another one, of this app."""
        return Flow(app)

    async def start(
        self, workflow: Workflow[Any, R], input: object = None, *, id: str | None = None
    ) -> Instance[R]:
        """Start an instance; it has not run yet.

        Args:
            workflow: one of the app's, if there is one.
            input: what the body gets.
            id: default: the name of the workflow, with a number from the second on.

        Raises:
            TypeError: if it is no workflow.
            UnknownWorkflow: if it is not one of the app's.
            AlreadyExists: if the id is taken.
            Unencodable: if the input does not fit.
        """
        given: Any = workflow  # whatever its type is said to be
        if not isinstance(given, Workflow):
            raise TypeError(f"{given!r} is no workflow: give what @workflow has made")
        if self._adopts:
            self.app.register(workflow)
        id_ = self._id_for(workflow.name) if id is None else id
        process = self._process(self.store)
        await process.start(workflow, input, id=id_, on_conflict="fail")
        return Instance(self, id_, workflow)

    async def run(
        self, workflow: Workflow[Any, R], input: object = None, *, id: str | None = None
    ) -> R:
        """Start an instance, and give its result: see `Instance.result`."""
        return await (await self.start(workflow, input, id=id)).result()

    def handle(self, id: str) -> Instance[Any]:
        """Give an instance by its id: a child, say."""
        return Instance(self, id, None)

    async def drive(self) -> None:
        """Run everything that is due, until nothing is; no time is let pass.

        Raises:
            Stuck: if there is no end to it.
        """
        due: Sequence[str] = ()
        async with self.turn():
            for _ in range(LOOKS):
                due = await self.store.claim(self.clock.now(), 100, 0.0, "the test")
                if not due:
                    return
                for instance in due:
                    await self._drive(instance)
        names = ", ".join(map(repr, due))
        raise Stuck(f"something is due again after each of {LOOKS} looks: now {names}")

    async def sleep(self, duration: float | timedelta) -> None:
        """Let time pass, in s; what becomes due on the way runs when it is due.

        Raises:
            Stuck: if there is no end to it.
        """
        end = self.clock.now() + seconds(duration)
        async with self.turn():
            for _ in range(LOOKS):
                await self.drive()
                if not await self.skip(end):
                    return
        raise Stuck(f"something wakes up again and again, {LOOKS} times in this sleep")

    async def skip(self, end: float = inf) -> bool:
        """Let time pass until something wakes up; it is due then, and has not run.

        Args:
            end: when to stop at the latest, in s since the epoch.

        Returns:
            False if nothing wakes up by then.
        """
        times = [head.wake_at for head in await self._heads()]
        wake_at = min((at for at in times if at is not None), default=inf)
        if min(wake_at, end) < inf:
            self.clock.advance(max(0.0, min(wake_at, end) - self.clock.now()))
        return wake_at < inf and wake_at <= end

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Let only one call of the test at a time run instances; the others wait.

        Raises:
            Stuck: if something that it runs calls it: that would wait for itself.
        """
        me = asyncio.current_task()
        if _driver.get() is me:
            yield
            return
        if _driver.get() is not None:
            raise Stuck(
                "this is called by what the flow runs, so it cannot let that go on: in "
                "a step, say flow.app.handle(id).send(…), which sends a message at once"
            )
        async with self._turn:
            token = _driver.set(me)
            try:
                yield
            finally:
                _driver.reset(token)

    def restart(self) -> None:
        """Let the process die, as by SIGKILL; whatever was running goes on in another.

        Call it in a step, and the step runs again; between two calls of the test,
        nothing is under way, and it makes no odds.
        """
        self._seen.kill()

    def _process(self, store: Store) -> App:
        """Give a process; with its seed, the keys of steps are always the same."""
        self._processes += 1
        return twin(self.app, store, self.clock, seed=self._processes)

    async def _drive(self, instance: str) -> None:
        try:
            await self._process(self._seen).drive(instance)
        except (Crashed, StoreError):
            if self._seen.crashed is None:
                raise
        if self._seen.crashed is not None:
            await self._bury()

    async def _bury(self) -> None:
        """Let its leases be over."""
        self._seen = self._seen.following()
        for head in await self._heads():
            await self.store.renew(head.instance, head.token, self.clock.now(), 0.0)

    async def _heads(self) -> list[Head]:
        return [head async for head in self.store.find(Query())]

    def _id_for(self, name: str) -> str:
        number = self._ids[name] = self._ids.get(name, 0) + 1
        return name if number == 1 else f"{name}-{number}"


class Instance(Handle[R_co]):
    """A handle that lets its instance run, and time pass, as far as a call needs."""

    def __init__(
        self, flow: Flow, id: str, workflow: Workflow[Any, R_co] | None
    ) -> None:
        """Stand for the instance `id`."""
        super().__init__(flow.app, id, workflow)
        self._flow = flow

    async def drive(self) -> Outcome[R_co]:
        """Run it, and all that is due, until nothing is; no time is let pass.

        Returns:
            How it ended, or what it waits for: `awaiting`, `wake_at`.

        Raises:
            UnknownInstance: if there is none.
        """
        async with self._flow.turn():
            await self._flow.drive()
            return await self._look()

    async def _look(self) -> Outcome[R_co]:
        async with self._flow.app.session.using() as worker:
            return await worker.drive(self.id)  # it rests, so this only looks

    async def result(self, timeout: float | timedelta | None = None) -> R_co:
        """Let time pass until it has ended; messages have to be there, or it waits.

        Args:
            timeout: seconds or timedelta that may pass; without it, as many as it
                takes.

        Raises:
            Stuck: if nothing but a message can wake it; names what it waits for.
            TimeoutError: if it has not ended in time.
            WorkflowFailed: if its body raised.
            WorkflowCancelled: if it was cancelled.
            WorkflowBlocked: if it needs corrected code.
        """
        flow, end = self._flow, inf
        if timeout is not None:
            end = flow.clock.now() + seconds(timeout)
        async with flow.turn():
            return await self._result(end)

    async def _result(self, end: float) -> R_co:
        flow = self._flow
        for _ in range(LOOKS):
            outcome = await self.drive()
            if is_over(outcome):
                return unwrap(self.id, outcome)
            if not await flow.skip(end):
                break
        else:
            raise await self._stuck(f"has not ended after {LOOKS} wake-ups")
        if end == inf:
            raise await self._stuck("cannot end")
        raise TimeoutError(f"{self.id!r} has not ended in time: {await self.rest()}")

    async def send(
        self, name: str, body: object = None, *, id: str | None = None
    ) -> bool:
        """Send a message as soon as it waits for it; it has not read it then.

        It runs until it does; time passes unless it waits for another message. To
        send one that it does not wait for yet: `flow.app.handle(id).send`.

        Returns:
            False if a message with this id was sent before.

        Raises:
            Stuck: if it does not come to wait for it; says what it does instead.
            Unencodable: if the body has no JSON form.
        """
        async with self._flow.turn():
            await self._until_it_awaits(name)
            return await super().send(name, body, id=id)

    async def ask(
        self, name: str, body: object = None, *, timeout: float | timedelta = 60
    ) -> Any:
        """Send a message as `send` does, and give the value that the body replies with.

        Raises:
            Stuck: if it does not come to wait for it; says what it does instead.
            TimeoutError: if no answer came within `timeout` seconds.
        """
        async with self._flow.turn():
            return await self._ask(name, body, seconds(timeout))

    async def _ask(self, name: str, body: object, wait: float) -> Any:
        await self._until_it_awaits(name)
        flow, ask = self._flow, new_message_id()
        now, address = flow.clock.now(), reply_address(ask)
        posted = Posted(plain(name, body), now, ask=ask, deadline=now + wait)
        await post(flow.app.wiring, self.id, ask, name, posted)
        await flow.drive()
        while not (answers := await flow.store.unread(address)):
            if not await flow.skip(now + wait):
                raise TimeoutError(f"{self.id!r} did not answer {name!r} in {wait:g} s")
            await flow.drive()
        return unseal(answers[0].body, flow.app.wiring.codec).body

    async def journal(self) -> str:
        """Draw its journal, as `edgeflow show` does."""
        app, stream = self._flow.app, TextIOWrapper(BytesIO(), encoding="utf-8")
        picture = Picture(
            await self.info(),
            await self.history(),
            await self.state(),
            await app.store.unread(self.id),
            exported((await opening.load(app.wiring, self.id, b""))[0]),
        )
        Page(Output(stream), self._flow.clock.now()).write(picture)
        stream.seek(0)
        return stream.read()

    async def _until_it_awaits(self, name: str) -> None:
        for _ in range(LOOKS):
            outcome = await self.drive()
            if name in outcome.awaiting:
                return
            if is_over(outcome) or named(outcome) or not await self._flow.skip():
                break
        raise await self._stuck(f"does not wait for {name!r}")

    async def _stuck(self, why: str) -> Stuck:
        said = f"{self.id!r} {why}: {await self.rest()}"
        return Stuck(f"{said}\n\n{await self.journal()}")

    async def rest(self) -> str:
        """Say in words how it rests, or ended."""
        outcome = await self.drive()
        error = outcome.error
        why = f": {error.type}: {error.message}" if error else ""
        if outcome.status == "completed":
            return f"it has completed with {outcome.output!r}"
        if is_over(outcome) or not (waits := await self._waits(outcome)):
            return f"it is {outcome.status}{why}"
        return f"it {' and '.join(waits)}{why}"

    async def _waits(self, outcome: Outcome[Any]) -> list[str]:
        waits: list[str] = []
        if names := named(outcome):
            wanted = " or ".join(map(repr, names))
            waits.append(f"waits for the message {wanted}")
        if outcome.wake_at is not None:
            waits.append(f"wakes in {outcome.wake_at - self._flow.clock.now():g} s")
        for name in outcome.awaiting:
            if name.startswith(CHILD):
                child = self._flow.handle(name.removeprefix(CHILD))
                waits.append(f"waits for its child {child.id!r}: {await child.rest()}")
        return waits


def is_over(outcome: Outcome[Any]) -> bool:
    """Tell whether it ended, or goes no further as it is."""
    return outcome.status in TERMINAL or outcome.status == "blocked"


def named(outcome: Outcome[Any]) -> list[str]:
    """Give the names of the messages that somebody can send it."""
    return [name for name in outcome.awaiting if name[:1] != "~"]
