"""Tasks in an order that replay repeats.

asyncio keeps tasks in sets, and a set is walked in the order of hashes; those
of objects are their addresses, which differ in every process. So a body's tasks
hash by their number. One place is left: `asyncio.as_completed` puts its
awaitables into a set before it makes tasks of them, so there the tasks are made
in the order of the list that it was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from inspect import currentframe
from typing import TYPE_CHECKING, Any, cast

from edgeflow.errors import BodyError

if TYPE_CHECKING:
    from types import FrameType

_TASKS = asyncio.ensure_future.__code__.co_filename
_STARTERS = {"ensure_future", "_ensure_future"}
_DEPTH = 5
"""Frames between `create_task` and `as_completed`, at most, on 3.11 to 3.13."""


class BodyTask(asyncio.Task[Any]):
    """A task of a body: the number of its creation is its hash."""

    __slots__ = ("_number",)

    def __init__(
        self, coro: Coroutine[Any, Any, Any], *, number: int, **options: Any
    ) -> None:
        """Be the task number `number` of its loop."""
        self._number = number  # asyncio asks for the hash in __init__
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


def started_together(
    coro: Coroutine[Any, Any, Any],
) -> list[Coroutine[Any, Any, Any]]:
    """Give the coroutines that are to become tasks now, in order; mostly just this.

    Raises:
        BodyError: if `as_completed` was given an iterator, whose order is lost.
    """
    caller = currentframe()
    for _ in range(2):
        caller = caller and caller.f_back
    if caller is None or caller.f_code.co_name not in _STARTERS:
        return [coro]
    for _ in range(_DEPTH):
        caller = caller.f_back
        if caller is None or caller.f_code.co_filename != _TASKS:
            return [coro]
        given = caller.f_locals.get("fs", caller.f_locals.get("aws"))
        if _is_as_completed(caller) and given is not None:
            return _in_order(given)
    return [coro]


def _is_as_completed(frame: FrameType) -> bool:
    name = frame.f_code.co_qualname
    return name in {"as_completed", "_AsCompletedIterator.__init__"}


def _in_order(given: object) -> list[Coroutine[Any, Any, Any]]:
    if not isinstance(given, Sequence):
        raise BodyError(
            "asyncio.as_completed starts what an iterator or a set gives in random "
            "order, which replay cannot repeat: give it a list"
        )
    found = cast("Sequence[object]", given)
    coroutines = [item for item in found if asyncio.iscoroutine(item)]
    return list(dict.fromkeys(coroutines))
