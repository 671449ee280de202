"""The event loop that a body runs on: deterministic, without I/O.

It has a ready queue, tasks, futures and timers, and nothing else. The engine
runs it within a callback of the host's loop until its queue is empty; then
everything the body has started waits for something only the engine can
deliver. A host's task that is current then, as that of a flush, is set aside
meanwhile: Python 3.14 refuses to enter a task while another one is current in the
same thread.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from zlib import crc32

from edgeflow.engine.order import BodyTask, started_together
from edgeflow.engine.scope import scope
from edgeflow.errors import BodyError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from contextvars import Context

log = logging.getLogger("edgeflow")

FEW_TASKS = 16
"""References to tasks, dead or alive, that are not worth a look."""
NO_TASKS: list[weakref.ref[asyncio.Task[Any]]] = []
"""Empty, and replaced where something is put into it."""
SPIN_LIMIT = 2_000_000
"""Callbacks without a moment of rest after which a body is said to spin."""

REFUSED = {
    "add_reader": "watching a file descriptor",
    "add_writer": "watching a file descriptor",
    "remove_reader": "watching a file descriptor",
    "remove_writer": "watching a file descriptor",
    "add_signal_handler": "handling a signal",
    "remove_signal_handler": "handling a signal",
    "connect_accepted_socket": "using a socket",
    "connect_read_pipe": "using a pipe",
    "connect_write_pipe": "using a pipe",
    "create_connection": "opening a socket",
    "create_datagram_endpoint": "opening a socket",
    "create_server": "opening a socket",
    "create_unix_connection": "opening a socket",
    "create_unix_server": "opening a socket",
    "getaddrinfo": "resolving a host name",
    "getnameinfo": "resolving a host name",
    "run_in_executor": "running code in a thread or executor",
    "sendfile": "using a socket",
    "set_default_executor": "running code in a thread or executor",
    "sock_accept": "using a socket",
    "sock_connect": "using a socket",
    "sock_recv": "using a socket",
    "sock_recv_into": "using a socket",
    "sock_recvfrom": "using a socket",
    "sock_recvfrom_into": "using a socket",
    "sock_sendall": "using a socket",
    "sock_sendfile": "using a socket",
    "sock_sendto": "using a socket",
    "start_tls": "using a socket",
    "subprocess_exec": "starting a subprocess",
    "subprocess_shell": "starting a subprocess",
    "run_forever": "running a loop",
    "run_until_complete": "running a loop",
    "stop": "stopping the loop",
    "close": "closing the loop",
}


class LoopOwner(Protocol):
    """What the loop asks of the run that it belongs to."""

    def violate(self, error: BodyError) -> None:
        """Remember that the body broke the rules; the instance becomes blocked."""
        ...

    def check_open(self) -> bool:
        """Raise if the body is to end; False: it was told so often enough."""
        ...

    def timer_set(self, timer: BodyTimer) -> None: ...

    def timer_cancelled(self, timer: BodyTimer) -> None: ...


class BodyTimer(asyncio.TimerHandle):
    """A timer of the body: durable, as its firing is recorded."""

    __slots__ = ("body", "op")

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        body: BodyLoop,
        context: Context | None,
    ) -> None:
        """Call back at `when`, in s since the epoch."""
        super().__init__(when, callback, args, body, context)
        self.body = body
        self.op: object = None

    def fire(self) -> None:
        """Let the callback run in the next turn of the body."""
        self.body.enqueue(self)


class BodyHandle(asyncio.Handle):
    """A call of the body's loop; that of asyncio keeps what only debugging needs."""

    __slots__ = ()

    def __init__(  # pyright: ignore[reportMissingSuperCall]  # that is what it spares
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: BodyLoop,
        context: Context | None,
    ) -> None:
        """Call back in this context, or in the one of now."""
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class BodyLoop(asyncio.AbstractEventLoop):
    """One body's loop; `owner` is the run that it belongs to."""

    __slots__ = (
        "_early",
        "_first",
        "_most_tasks",
        "_number",
        "_others",
        "_task_factory",
        "closing",
        "now",
        "owner",
        "ready",
    )

    def __init__(self, owner: LoopOwner, now: float, first: int) -> None:
        """Start at `now`, the time recorded last, in seconds since the epoch.

        `first` is the number of the first task, which is its hash.
        """
        self.owner = owner
        self.now = now
        self._first: asyncio.Task[Any] | None = None
        self._others: list[weakref.ref[asyncio.Task[Any]]] = NO_TASKS
        self._most_tasks = FEW_TASKS
        self.closing = False
        self.ready: list[asyncio.Handle] = []
        """What is to be run."""
        self._task_factory: Any = None
        self._number = first
        self._early: dict[Coroutine[Any, Any, Any], BodyTask] | None = None
        """Tasks that `as_completed` has yet to ask for."""

    def run_until_idle(self) -> None:
        """Run all that is ready, within a callback of the host's loop.

        Raises:
            BodyError: if the body never comes to rest.
        """
        host = asyncio._get_running_loop()  # noqa: SLF001  as every maker of loops does
        hooks = sys.get_asyncgen_hooks()
        left = SPIN_LIMIT
        current = None if host is None else asyncio.current_task(host)
        if host is not None and current is not None:
            asyncio._leave_task(host, current)  # noqa: SLF001  as every maker of tasks does
        asyncio._set_running_loop(self)  # noqa: SLF001  as every maker of loops does
        sys.set_asyncgen_hooks(None, self._close_generator)
        try:
            while self.ready and left > 0:
                batch, self.ready = self.ready, []
                left -= len(batch)
                at = 0
                try:
                    for at, handle in enumerate(batch, start=1):  # noqa: B007  used below
                        if not handle._cancelled:  # noqa: SLF001  as above, and quick
                            handle._run()  # noqa: SLF001  as every maker of loops does
                except BaseException:
                    self.ready[:0] = batch[at:]
                    raise
            if not self.ready:
                return
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(host)  # noqa: SLF001  as every maker of loops does
            if host is not None and current is not None:
                asyncio._enter_task(host, current)  # noqa: SLF001  as every maker of tasks does
        raise BodyError(
            "the body spins without waiting for anything that can happen: "
            "wait for an operation, an asyncio.Event or ctx.sleep instead"
        )

    def refuse(self, call: str, doing: str) -> NoReturn:
        """Block the instance because of a call that a body cannot make.

        Raises:
            BodyError: always; names the call and says what to do.
        """
        error = BodyError(
            f"{call} is not possible in a workflow body: {doing} would happen again "
            "on every replay. Do this in a step"
        )
        self.owner.violate(error)
        raise error

    def time(self) -> float:
        """Give the time recorded with the last delivery: the same on replay."""
        where = scope.get(None)
        return self.now if where is None else max(self.now, where.since)

    def call_soon(  # type: ignore[override]  # typeshed's *Ts say no more than Any
        self,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = BodyHandle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]  # typeshed's *Ts say no more than Any
        self,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.Handle:
        if asyncio._get_running_loop() is self:  # noqa: SLF001  as every maker of loops does
            self.refuse("loop.call_soon_threadsafe()", "waiting for another thread")
        handle = asyncio.Handle(callback, args, self, context)
        handle.cancel()  # a thread that the body cannot have waited for
        return handle

    def call_later(  # type: ignore[override]  # typeshed's *Ts say no more than Any
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # typeshed's *Ts say no more than Any
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = BodyTimer(when, callback, args, self, context)
        self.owner.timer_set(timer)
        return timer

    def enqueue(self, handle: asyncio.Handle) -> None:
        """Let a handle run in the next turn."""
        self.ready.append(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, BodyTimer):
            self.owner.timer_cancelled(handle)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # no generators
        self,
        coro: Coroutine[Any, Any, Any],
        **options: Any,
    ) -> asyncio.Task[Any]:
        if self._task_factory is not None:
            task: asyncio.Task[Any] = self._task_factory(self, coro, **options)
            self._note(task)
            return task
        if not self._early:
            try:
                together = started_together(coro)
            except BodyError as error:
                self.owner.violate(error)
                raise
            if len(together) == 1:
                return self._new_task(coro, options)
            self._early = {each: self._new_task(each, options) for each in together}
        return self._early.pop(coro, None) or self._new_task(coro, options)

    def _new_task(
        self, coro: Coroutine[Any, Any, Any], options: dict[str, Any]
    ) -> BodyTask:
        task = BodyTask(coro, number=self._number, loop=self, **options)
        self._number += 1
        self._note(task)
        return task

    def _note(self, task: asyncio.Task[Any]) -> None:
        if self._first is None:
            self._first = task
            return
        self._others = self._others or []
        self._others.append(weakref.ref(task))
        if len(self._others) > self._most_tasks:
            self._others = [ref for ref in self._others if ref() is not None]
            self._most_tasks = FEW_TASKS + 2 * len(self._others)

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """The first task, and those that somebody holds, the oldest first."""
        held = [task for ref in self._others if (task := ref()) is not None]
        return held if self._first is None else [self._first, *held]

    def get_task_factory(self) -> Any:
        return self._task_factory

    def set_task_factory(self, factory: Any) -> None:
        self._task_factory = factory

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001  as in the base class
        pass

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def get_exception_handler(self) -> None:
        return None

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what a task of the body left unhandled; not while it is put away."""
        if not self.closing:
            log.error(
                "%s: %s",
                self.owner,
                context.get("message", "unhandled error in a body"),
                exc_info=context.get("exception"),
            )

    def _close_generator(self, agen: AsyncGenerator[Any, Any]) -> None:
        if not self.closing:
            self.create_task(agen.aclose())


def make_loop(owner: LoopOwner, now: float, seed: str) -> BodyLoop:
    """Make the loop of a run that starts at `now`, in s since the epoch.

    `seed` is the instance's own: asyncio keeps the tasks of all loops in one set, so
    that those of many instances must not have the same few hashes.
    """
    first = crc32(seed.encode()) << 20
    return BodyLoop(owner, now, first)  # type: ignore[abstract]  # REFUSED has the rest


def _refusal(name: str, doing: str) -> Callable[..., asyncio.Future[Any]]:
    def method(
        self: BodyLoop, *_args: object, **_kwargs: object
    ) -> asyncio.Future[Any]:
        if self.owner.check_open():
            self.refuse(f"loop.{name}()", doing)
        return self.create_future()

    method.__name__ = name
    return method


for _name, _doing in REFUSED.items():
    setattr(BodyLoop, _name, _refusal(_name, _doing))
