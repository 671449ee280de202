"""One attempt of a step: its surroundings, its call, its time limit."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar

from edgeflow.engine.eager import start
from edgeflow.engine.loop import BodyLoop
from edgeflow.errors import BodyError
from edgeflow.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

    from edgeflow.clock import Alarm, Clock
    from edgeflow.engine.ops.step import StepOp
    from edgeflow.engine.run import Run
    from edgeflow.engine.threads import Threads
    from edgeflow.state import Draft

T = TypeVar("T")


class Stopping:
    """Whether the step is asked to end soon: a flag that can be awaited too."""

    def __init__(self) -> None:
        """Start unset."""
        self._set = False
        self._waiters: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        return self._set

    def __await__(self) -> Generator[Any, Any, None]:
        if not self._set:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            yield from waiter

    def set(self) -> None:
        """Ask the step to end; called by the engine, on the loop."""
        self._set = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class StepContext:
    """What a step can ask about itself: `edgeflow.current_step()`."""

    __slots__ = ("_draft", "_op", "_run", "_stopping", "attempt", "deadline")

    def __init__(
        self,
        run: Run,
        op: StepOp[Any],
        attempt: int,
        deadline: float | None,
        draft: Draft,
    ) -> None:
        """Describe one attempt of `op`."""
        self.attempt = attempt
        """1 for the first; recorded failures plus one."""
        self.deadline = deadline
        """When the attempt is cut off, in s since the epoch; None: never."""
        self._run = run
        self._op = op
        # At once for a thread, which may ask for it while it is set.
        self._stopping = Stopping() if op.plain else None
        self._draft = draft

    @property
    def instance(self) -> str:
        """Id of the instance."""
        return self._run.id

    @property
    def workflow(self) -> str:
        return self._run.workflow_name

    @property
    def name(self) -> str:
        return self._op.name

    @property
    def key(self) -> str:
        """An idempotency key: the same for all attempts, in every process."""
        return self._run.journal.stable_id(self._op.key)

    @property
    def resources(self) -> Any:
        """What `App(lifespan=…)` yielded in this process."""
        return self._run.settings.resources

    @property
    def stopping(self) -> Stopping:
        """True, and its `await` returns, once the process wants to end."""
        if self._stopping is None:
            self._stopping = Stopping()
        return self._stopping

    @property
    def state(self) -> Draft:
        """The durable state of the instance: changes count if the step succeeds."""
        self._draft.check_open()
        return self._draft

    @property
    def log(self) -> Any:
        """A structlog logger, bound to instance, workflow, step and attempt."""
        return logger(
            instance=self.instance,
            workflow=self.workflow,
            step=self.name,
            attempt=self.attempt,
        )


_current: ContextVar[StepContext | None] = ContextVar("edgeflow.step", default=None)


def current_step() -> StepContext:
    """Give what the running step can know about itself.

    Raises:
        BodyError: if no step is running here: in a body, or in plain code.
    """
    step = _current.get()
    if step is not None:
        return step
    error = BodyError(
        "current_step() has a meaning in a step only: state, attempt and "
        "resources cannot be used in a workflow's body. Do this in a step"
    )
    loop = asyncio._get_running_loop()  # noqa: SLF001  as makers of loops do
    if isinstance(loop, BodyLoop):
        loop.owner.violate(error)
    raise error


class Attempt:
    """A running call of a step's function."""

    __slots__ = (
        "_alarm",
        "_is_cancelled",
        "_task",
        "began",
        "clock",
        "draft",
        "step",
        "timed_out",
    )

    def __init__(
        self, step: StepContext, draft: Draft, clock: Clock, began: float
    ) -> None:
        """Prepare a call; `start` begins it, at `began` in s since the epoch."""
        self.step = step
        self.draft = draft
        self.clock = clock
        self.began = began
        self.timed_out = False
        self._is_cancelled = False
        self._alarm: Alarm | None = None
        self._task: asyncio.Task[Any] | None = None

    def start(
        self,
        call: Callable[[], Any],
        *,
        host: asyncio.AbstractEventLoop,
        threads: Threads | None,
        timeout: float | None,
        context: Context,
        ended: Callable[[], None],
    ) -> bool:
        """Begin: in a thread if `threads` is given, else on the host's loop.

        True: it has ended at once. Else `ended` is called when it has.
        """
        context = context.copy()
        context.run(_current.set, self.step)
        if threads is None:
            work = _called(call)
        else:
            work = self._called_in_thread(call, threads, context.copy())
        task = self._task = start(work, host, context)
        if task.done():
            return True
        if self._is_cancelled:  # by what it did before its first wait
            task.cancel()
        task.add_done_callback(lambda _: self._end(ended))
        if timeout is not None:
            when = self.began + timeout
            self._alarm = self.clock.call_at(when, self._time_out)
        return False

    async def _called_in_thread(
        self, call: Callable[[], Any], threads: Threads, context: Context
    ) -> Any:
        with self.clock.busy():
            result = await threads.run(call, context)
        return await result if isawaitable(result) else result

    def _end(self, ended: Callable[[], None]) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        ended()

    def _time_out(self) -> None:
        self.timed_out = True
        self.cancel()

    def cancel(self) -> None:
        """Cancel an async function, abandon a thread; `ended` is called then."""
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    def result(self) -> Any:
        """Give what the function returned.

        Raises:
            TimeoutError: if the attempt ran into its time limit, whatever it did then.
            BaseException: what the function raised; CancelledError if cut off.
        """
        task = self._task
        if task is None:
            raise RuntimeError("the attempt was never started")
        if self.timed_out:
            if not task.cancelled():
                task.exception()
            seconds = self.clock.now() - self.began
            raise TimeoutError(f"the attempt took longer than {seconds:.3g} s")
        return task.result()


async def _called(call: Callable[[], Any]) -> Any:
    return await call()  # in the task, as what it does before its first await is
