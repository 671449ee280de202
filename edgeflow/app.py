"""`App`: workflows and a store, put together; start, run, drive, find."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgeflow.clock import Clock, SystemClock, seconds
from edgeflow.config import KEYS, sources
from edgeflow.definitions import Definitions
from edgeflow.engine.frames import Codec, PlainCodec
from edgeflow.engine.observing import Observers
from edgeflow.engine.scope import checked_id
from edgeflow.errors import ConfigError
from edgeflow.handle import Handle, info_of, unwrap
from edgeflow.making import Entropy, Parts, wire
from edgeflow.platforms import choose, configure
from edgeflow.session import Session
from edgeflow.starting import new_id, start
from edgeflow.store import Query, Status, Store
from edgeflow.stores import placed
from edgeflow.workflows import Workflow

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Callable,
        Iterable,
        Mapping,
        Sequence,
    )
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta
    from random import Random
    from types import TracebackType
    from typing import Self

    from edgeflow.config import Config
    from edgeflow.engine.settings import Durability
    from edgeflow.events import Observer
    from edgeflow.outcome import Info, Outcome
    from edgeflow.platform import Platform
    from edgeflow.starting import OnConflict

In = TypeVar("In")
R = TypeVar("R")

NO_OPTIONS = {"__class__", "self", "store", "clock", "workflows", "observers"}


class App(Definitions):
    """Workflows over one store.

    `async with app:` makes this process a worker that wakes due instances. Without
    it each call opens what it needs and closes it again.
    """

    def __init__(
        self,
        store: Store | str | None = None,
        *,
        workflows: Iterable[Workflow[Any, Any]] = (),
        durability: Durability | None = None,
        linger: float | timedelta | None = None,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        version: str | None = None,
        codec: Codec | None = None,
        platform: str | Platform | None = None,
        observers: Sequence[Observer] = (),
        config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        strict_names: bool | None = None,
        max_dirty_bytes: int | None = None,
        max_dirty_age: float | None = None,
        max_parked: int | None = None,
        max_running: int | None = None,
        keep_finished: float | timedelta | None = None,
        lease: float | None = None,
        poll: float | None = None,
        grace: float | None = None,
        margin: float | None = None,
        max_run: float | timedelta | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Put an app together; nothing is opened yet.

        What is None is read from the configuration: variables EDGEFLOW_*, then
        `[tool.edgeflow]` in pyproject.toml or edgeflow.toml, then the defaults.

        Args:
            store: a store, or its URL; default: sqlite:///edgeflow.db.
            workflows: made with `@workflow` elsewhere.
            durability: when a step's result is flushed: "step" (before the body gets
                it; the default), "behind" (at once, in the background), "suspend"
                (with the next suspension or gate).
            linger: waits up to this many seconds are spent in memory; default: 0.1.
            lifespan: gives an async context manager of the live objects that steps
                find as `current_step().resources`.
            version: of the code; another one reopens blocked instances.
            codec: wraps all bytes that go to the store.
            platform: what calls handlers and ends the process, or its name; default:
                what the environment looks like, else "process".
            observers: each is called with every `Event`, after its commit.
            config: a file, or its content; default: that of EDGEFLOW_CONFIG, or the
                next one from the current directory upwards.
            strict_names: refuse a second use of a name in one scope.
            max_dirty_bytes: flush when so many bytes are dirty, in every mode.
            max_dirty_age: seconds that anything stays dirty while steps run.
            max_parked: instances at rest kept in memory by a worker.
            max_running: instances that a worker executes at once.
            keep_finished: seconds after which an instance that has ended is deleted,
                by a worker or by `run_due`; default: never.
            lease: seconds for which a running instance is left alone by others.
            poll: the longest pause between looks for due instances, in seconds; after
                work it is 0.05 and grows.
            grace: seconds that running steps get to end when the process, or the app,
                is to end; default: as the platform allows.
            margin: seconds before a deadline at which steps are cut.
            max_run: seconds that a handler's run may take where the platform gives no
                deadline.
            clock: for tests.

        Raises:
            ConfigError: if a setting is unknown or bad, or the store's URL or the
                platform is not known.
            DefinitionError: if two workflows have one name.
        """
        super().__init__(workflows)
        self._options = {k: v for k, v in locals().items() if k not in NO_OPTIONS}
        found = sources(config, environ=os.environ, directory=os.getcwd())  # noqa: PTH109  pathlib is slow to import
        choice = choose(found, os.environ, platform)
        given = {k: v for k, v in self._options.items() if k in KEYS} | {"store": store}
        self.config: Config = configure(found, choice, given)
        self.platform: Platform = choice.platform
        self.platform_why = choice.why
        self.store: Store = placed(self.config["store"])
        self.clock: Clock = clock or SystemClock()
        self._observers = Observers(observers, self.clock)
        self._random: Entropy | Random = Entropy()
        self.wiring, make_worker = wire(
            Parts(
                store=self.store,
                clock=self.clock,
                codec=codec or PlainCodec(),
                config=self.config,
                platform=self.platform,
                registry=self._registry,
                observers=self._observers,
                # Not bound here: a twin, for a test, has another `_random`.
                chance=lambda: self._random.random(),  # noqa: PLW0108
                token=lambda: self._random.randbytes(16),
            )
        )
        install = self.platform.install
        self.session = Session(self.wiring, make_worker, lifespan, install)
        self._open: list[AsyncExitStack] = []

    def observe(self, observer: Observer) -> None:
        """Add an observer; it hears what happens from now on."""
        self._observers.add(observer)

    def use_store(self, store: Store | str) -> None:
        """Work on another store; say so before anything is opened.

        Raises:
            ConfigError: if the URL is not known, or the app is open.
        """
        if self.session.is_open:
            raise ConfigError("use_store: the app is open already")
        self.store = placed(store)
        self.wiring.store = self.store

    # --- running ----------------------------------------------------------------

    async def __aenter__(self) -> Self:
        stack = AsyncExitStack()
        await stack.enter_async_context(self.session.using(serves=True))
        self._open.append(stack)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._open.pop().__aexit__(kind, error, traceback)

    @overload
    async def start(
        self,
        workflow: Workflow[None, R],
        input: None = None,
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
    ) -> Handle[R]: ...
    @overload
    async def start(
        self,
        workflow: Workflow[In, R],
        input: In,
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
    ) -> Handle[R]: ...
    @overload
    async def start(
        self,
        workflow: str,
        input: object = None,
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
    ) -> Handle[Any]: ...
    async def start(
        self,
        workflow: Workflow[Any, Any] | str,
        input: object = None,
        *,
        id: str | None = None,
        on_conflict: OnConflict = "attach",
    ) -> Handle[Any]:
        """Start an instance; its input is durable when this returns.

        Within `async with app` it runs here at once, else when somebody drives it.
        One that another process runs, or ran until it died, is left to it until its
        lease is over; `run` and `drive` take it over at once.

        Args:
            workflow: or its name.
            input: what the body gets.
            id: of the instance; default: a new one.
            on_conflict: if the id is taken, "attach" to what is there, "fail", or
                "restart" what has ended: its history, state and inbox are forgotten.

        Raises:
            UnknownWorkflow: if it is not registered here.
            Unencodable: if the input does not fit; nothing was written.
            AlreadyExists: if the id belongs to another workflow, on "fail", or on
                "restart" of what has not ended.
            StoreUnavailable: if it could not be written.
        """
        async with self.session.using(runs=False) as worker:
            known = self._registry.find(workflow)
            instance = await start(
                worker, known, input, id, on_conflict, run=worker.serving
            )
            return Handle(self, instance, known)

    @overload
    async def run(
        self, workflow: Workflow[None, R], input: None = None, *, id: str | None = None
    ) -> R: ...
    @overload
    async def run(
        self, workflow: Workflow[In, R], input: In, *, id: str | None = None
    ) -> R: ...
    @overload
    async def run(
        self, workflow: str, input: object = None, *, id: str | None = None
    ) -> Any: ...
    async def run(
        self,
        workflow: Workflow[Any, Any] | str,
        input: object = None,
        *,
        id: str | None = None,
    ) -> Any:
        """Start an instance, or attach to it, and stay until its result is there.

        What it calls is run here too. What it starts (`ctx.start`) outlives it: that
        goes on where a worker runs, as in `async with app`.

        Raises:
            WorkflowFailed: if its body raised.
            WorkflowCancelled: if it was cancelled.
            WorkflowBlocked: if it needs corrected code.
            Fenced: if another process took it over.
            StoreUnavailable: if it could not be flushed; run it again to go on.
            ProcessEnding: if the process was told to end, and a server sees to that.
        """
        async with self.session.using(runs=True) as worker:
            known = self._registry.find(workflow)
            instance = new_id() if id is None else checked_id(id)
            async with worker.attendance.given(instance):
                await start(worker, known, input, instance, "attach", run=True)
                return unwrap(instance, await worker.attendance.attend(instance))

    async def drive(
        self,
        id: str,
        *,
        deadline: float | timedelta | None = None,
    ) -> Outcome[Any]:
        """Run an instance here, once: until it is finished or suspended.

        Args:
            id: of the instance.
            deadline: seconds or timedelta from now; it is suspended before.

        Raises:
            UnknownInstance: if there is none.
            Fenced: if another process took it over meanwhile.
            StoreUnavailable: if it could not be flushed.
            ProcessEnding: if the process was told to end before it began.
        """
        wait = None if deadline is None else seconds(deadline)
        async with self.session.using(runs=True) as worker:
            return await worker.drive(id, wait)

    async def run_due(
        self, limit: int | None = None, *, deadline: float | timedelta | None = None
    ) -> list[Outcome[Any]]:
        """Drive every due instance once: what a cron job or an alarm calls.

        Args:
            limit: how many at most; default: all that are due now.
            deadline: seconds or timedelta from now; what runs is suspended before.
        """
        wait = None if deadline is None else seconds(deadline)
        async with self.session.using(runs=True) as worker:
            return await worker.due.run(limit, wait)

    # --- looking ----------------------------------------------------------------

    def handle(self, id: str) -> Handle[Any]:
        """Give a handle on an instance; nothing is looked up yet."""
        return Handle(self, checked_id(id), None)

    async def find(
        self,
        *,
        workflow: Workflow[Any, Any] | str | None = None,
        status: Status | None = None,
    ) -> AsyncGenerator[Info]:
        """Yield instances in the order of their ids, as they last rested."""
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        async with self.session.using():
            async for head in self.store.find(Query(workflow=name, status=status)):
                yield info_of(head)
