"""`App`: workflows and a store, put together; start, run, drive, find."""

from __future__ import annotations

import os
import random
import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgeflow.clock import Clock, SystemClock, seconds
from edgeflow.engine.frames import Codec, PlainCodec
from edgeflow.engine.journal import Wiring
from edgeflow.engine.observing import Observers
from edgeflow.engine.plan import Plan
from edgeflow.engine.scope import checked_id
from edgeflow.engine.settings import Settings
from edgeflow.engine.threads import Threads
from edgeflow.errors import ConfigError
from edgeflow.handle import Handle, info_of, unwrap
from edgeflow.making import maker
from edgeflow.registry import Registry
from edgeflow.session import Session
from edgeflow.starting import start
from edgeflow.store import Query, Status, Store
from edgeflow.stores import DEFAULT_URL, store_from_url
from edgeflow.workflows import Workflow, WorkflowDecorator, define

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import timedelta
    from types import TracebackType
    from typing import Self

    from edgeflow.context import Context
    from edgeflow.engine.settings import Durability
    from edgeflow.events import Observer
    from edgeflow.outcome import Info, Outcome
    from edgeflow.starting import OnConflict

In = TypeVar("In")
R = TypeVar("R")

NO_OPTIONS = {"self", "store", "clock", "workflows", "observers"}


class App:
    """Workflows over one store.

    `async with app:` makes this process a worker that wakes due instances. Without
    it each call opens what it needs and closes it again.
    """

    def __init__(
        self,
        store: Store | str | None = None,
        *,
        workflows: Iterable[Workflow[Any, Any]] = (),
        durability: Durability = "step",
        linger: float | timedelta = 0.1,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        version: str | None = None,
        codec: Codec | None = None,
        observers: Sequence[Observer] = (),
        strict_names: bool = False,
        max_dirty_bytes: int = 256 * 1024,
        max_dirty_age: float = 1.0,
        max_parked: int = 1000,
        keep_finished: float | timedelta | None = None,
        lease: float = 30.0,
        poll: float = 1.0,
        grace: float = 8.0,
        margin: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        """Put an app together; nothing is opened yet.

        Args:
            store: a store, or its URL; default: EDGEFLOW_STORE, else
                sqlite:///edgeflow.db.
            workflows: made with `@workflow` elsewhere.
            durability: when a step's result is flushed: "step" (before the body gets
                it), "behind" (at once, in the background), "suspend" (with the next
                suspension or gate).
            linger: waits up to this many seconds are spent in memory.
            lifespan: gives an async context manager of the live objects that steps
                find as `current_step().resources`.
            version: of the code; another one reopens blocked instances.
            codec: wraps all bytes that go to the store.
            observers: each is called with every `Event`, after its commit.
            strict_names: refuse a second use of a name in one scope.
            max_dirty_bytes: flush when so many bytes are dirty, in every mode.
            max_dirty_age: seconds that anything stays dirty while steps run.
            max_parked: instances at rest kept in memory by a worker.
            keep_finished: seconds after which an instance that has ended is deleted,
                by a worker or by `run_due`; None: never.
            lease: seconds for which a running instance is left alone by others.
            poll: seconds between looks for due instances.
            grace: seconds that running steps get to end when the app is left.
            margin: seconds before the deadline of `drive` at which steps are cut.
            clock: for tests.

        Raises:
            ConfigError: if the store's URL is not known.
            DefinitionError: if two workflows have one name.
        """
        self._options = {k: v for k, v in locals().items() if k not in NO_OPTIONS}
        if store is None:
            store = os.environ.get("EDGEFLOW_STORE", DEFAULT_URL)
        self.store: Store = store_from_url(store) if isinstance(store, str) else store
        self.version = version
        self.clock: Clock = clock or SystemClock()
        self._registry = Registry()
        self._worker_name = f"{socket.gethostname()}:{os.getpid()}"
        wiring = Wiring(
            self.store, self.clock, codec or PlainCodec(), self._worker_name, version
        )
        self._observers = Observers(observers, self.clock)
        self._random: random.Random = random.SystemRandom()
        settings = Settings(
            threads=Threads(),
            chance=lambda: self._random.random(),  # noqa: PLW0108  a twin has another
            observers=self._observers,
            durability=durability,
            linger=seconds(linger),
            max_dirty_bytes=max_dirty_bytes,
            max_dirty_age=max_dirty_age,
            lease=lease,
            grace=grace,
            strict_names=strict_names,
        )
        plan = Plan(
            settings=lambda _: settings,
            body=self._registry.body,
            decode=self._registry.decode,
            token=lambda: self._random.randbytes(16),
            lease=lease,
            poll=poll,
            max_parked=max_parked,
            grace=grace,
            margin=margin,
            keep_finished=None if keep_finished is None else seconds(keep_finished),
        )
        self.wiring = wiring
        make_worker = maker(wiring, self._registry, settings, plan)
        self.session = Session(wiring, make_worker, lifespan)
        self._open: list[AsyncExitStack] = []
        for known in workflows:
            self.register(known)

    # --- workflows --------------------------------------------------------------

    @overload
    def workflow(
        self, function: Callable[[Context, In], Coroutine[Any, Any, R]], /
    ) -> Workflow[In, R]: ...
    @overload
    def workflow(
        self, function: Callable[[Context], Coroutine[Any, Any, R]], /
    ) -> Workflow[None, R]: ...
    @overload
    def workflow(
        self, /, *, name: str | None = None, durability: Durability | None = None
    ) -> WorkflowDecorator: ...
    def workflow(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        durability: Durability | None = None,
    ) -> Any:
        """Make an `async def` a workflow of this app; see `edgeflow.workflow`."""
        if function is None:
            return partial(self._define, name=name, durability=durability)
        return self._define(function, name=name, durability=durability)

    def _define(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        durability: Durability | None,
    ) -> Workflow[Any, Any]:
        return self.register(define(function, name, durability))

    def register(self, workflow: Workflow[In, R]) -> Workflow[In, R]:
        """Add a workflow that was made elsewhere.

        Raises:
            DefinitionError: if another one has its name.
        """
        return self._registry.register(workflow)

    @property
    def workflows(self) -> tuple[Workflow[Any, Any], ...]:
        """The registered workflows, in the order of their registration."""
        return self._registry.all()

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
        self.store = store_from_url(store) if isinstance(store, str) else store
        self.wiring.store = self.store

    def known(self, name: str) -> Workflow[Any, Any] | None:
        """Give the workflow of this name, if it is registered here."""
        return self._registry.get(name)

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

        Raises:
            WorkflowFailed: if its body raised.
            WorkflowCancelled: if it was cancelled.
            WorkflowBlocked: if it needs corrected code.
            Fenced: if another process took it over.
            StoreUnavailable: if it could not be flushed; run it again to go on.
        """
        async with self.session.using(runs=True) as worker:
            known = self._registry.find(workflow)
            instance = await start(worker, known, input, id, "attach", run=True)
            return unwrap(instance, await worker.attend(instance))

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
        """
        wait = None if deadline is None else seconds(deadline)
        async with self.session.using(runs=True) as worker:
            return await worker.drive(id, wait)

    async def run_due(self, limit: int | None = None) -> list[Outcome[Any]]:
        """Drive every due instance once: what a cron job or an alarm calls.

        Args:
            limit: how many at most; default: all that are due now.
        """
        outcomes: list[Outcome[Any]] = []
        async with self.session.using(runs=True) as worker:
            left, since = limit, self.clock.now()
            while left is None or left > 0:
                most = 100 if left is None else min(left, 100)
                found = await worker.claim(most, since)
                if not found:
                    break
                outcomes += await worker.drive_all(found)
                left = None if left is None else left - len(found)
            await worker.retention.sweep()
        return outcomes

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
