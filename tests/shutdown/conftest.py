"""A guard for each test; the signals are given back."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from edgeflow.engine.shutdown import Guard

from .guards import BOTH, Exits, Work

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def exits() -> Exits:
    return Exits()


@pytest.fixture
def guard(exits: Exits) -> Iterator[Guard]:
    before = {number: signal.getsignal(number) for number in BOTH}
    guard = Guard(leave=exits)
    yield guard
    guard.forget()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def work(guard: Guard) -> Work:
    work = Work()
    guard.attach(work)
    return work
