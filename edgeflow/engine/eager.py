"""Tasks of the host's loop that run at once, up to their first wait.

What waits for nothing, a quick step or a store in memory, then takes no turn of the
loop: https://docs.python.org/3/library/asyncio-task.html#eager-task-factory. Before
Python 3.12 such a task begins in the loop's next turn, as all others do.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context

T = TypeVar("T")

if sys.version_info >= (3, 12):

    def start(
        work: Coroutine[Any, Any, T],
        host: asyncio.AbstractEventLoop,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Begin `work` as a task of the host's loop; it may be done by now.

        Raises:
            KeyboardInterrupt, SystemExit: if it raised one at once.
        """
        if host.get_task_factory() is not None:
            return host.create_task(work, context=context)
        return asyncio.Task(work, loop=host, context=context, eager_start=True)

else:

    def start(
        work: Coroutine[Any, Any, T],
        host: asyncio.AbstractEventLoop,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Begin `work` as a task of the host's loop, in its next turn."""
        return host.create_task(work, context=context)
