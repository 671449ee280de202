"""What the thread answers to a task of the loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import Self

T = TypeVar("T")


class Answer(asyncio.Future[T]):
    """A future whose task goes on as soon as it is told, not in the loop's next turn.

    That saves each call of the store a turn. For tasks only: who is given to
    `add_done_callback` first is called within `resolve` and `refuse`, where no other
    task runs.
    """

    _waker: tuple[Callable[[Any], object], Context | None] | None = None

    def add_done_callback(
        self, fn: Callable[[Self], object], /, *, context: Context | None = None
    ) -> None:
        """Have the task woken; whoever else asks is called in the loop's next turn."""
        if self._waker is None and not self.done():
            self._waker = fn, context
        else:
            super().add_done_callback(fn, context=context)

    def cancel(self, msg: Any = None) -> bool:
        """Give it up, unless it is there; the task is told in the loop's next turn."""
        waker, self._waker = self._waker, None
        if waker is not None:
            super().add_done_callback(waker[0], context=waker[1])
        return super().cancel(msg)

    def resolve(self, result: T) -> None:
        """Give the result, if it is still awaited."""
        if not self.done():
            self.set_result(result)
            self._wake()

    def refuse(self, error: BaseException) -> None:
        """Raise an error where it is still awaited."""
        if not self.done():
            self.set_exception(error)
            self._wake()

    def _wake(self) -> None:
        waker, self._waker = self._waker, None
        if waker is not None:
            wake, context = waker
            # An empty context is false.
            (copy_context() if context is None else context).run(wake, self)


def tell(
    loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: object
) -> None:
    """Have a loop call something; if it is closed, nobody waits for that any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)
