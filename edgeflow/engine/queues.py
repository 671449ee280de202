"""Queues that take no room while there is nothing in them."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar

T = TypeVar("T")

NOTHING: deque[Any] = deque(maxlen=0)
"""The queue of who has none: an empty deque takes 760 bytes, and a run has five."""


def put(queue: deque[T], item: T) -> deque[T]:
    """Add to the end of a queue; give the queue, which may be a new one."""
    if queue is NOTHING:
        queue = deque()
    queue.append(item)
    return queue
