"""A guard that hears again, or whose time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgeflow.engine.shutdown import DELIBERATE_SECONDS

from .guards import DEADLINE, INT, TERM, Exits, Work, drain

if TYPE_CHECKING:
    import pytest

    from edgeflow.engine.shutdown import Guard


def test_a_second_signal_is_counted_and_changes_nothing(
    guard: Guard, work: Work, exits: Exits
) -> None:
    # P-09
    for number in (TERM, TERM, INT):
        guard.hear(number)

    assert guard.heard == [TERM, TERM, INT]
    assert work.ends == [False]
    drain(guard, work)
    assert exits.codes == []


def test_a_deliberate_second_ctrl_c_gives_steps_no_more_time(
    guard: Guard, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    # P-09
    began, now = time.monotonic(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: began + now[0])
    guard.hear(INT)
    now[0] = DELIBERATE_SECONDS - 0.01
    guard.hear(INT)
    now[0] = DELIBERATE_SECONDS
    guard.hear(TERM)
    assert work.ends == [False]

    guard.hear(INT)

    assert work.ends == [False, True]
    drain(guard, work)


def test_a_deliberate_second_ctrl_c_brings_the_deadline_forward(
    guard: Guard, exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    # P-08 P-09
    began, now = time.monotonic(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: began + now[0])
    guard.attach(work := Work(seconds=1e6))
    guard.hear(INT)
    now[0] = DELIBERATE_SECONDS
    guard.hear(INT)

    assert exits.came.wait(DEADLINE)
    assert (work.rescues, exits.codes) == (1, [130])


def test_at_the_deadline_all_is_rescued_and_the_process_is_left(
    guard: Guard, exits: Exits
) -> None:
    # P-08
    class Broken(Work):
        def rescue(self) -> None:
            super().rescue()
            raise OSError("the disk is full")

    works = [Work(0.0), Broken(0.0), Work(0.0)]
    for work in works:
        guard.attach(work)
    guard.hear(TERM)

    assert exits.came.wait(DEADLINE)
    assert [work.rescues for work in works] == [1, 1, 1]
    assert exits.codes == [143]


def test_the_ward_that_may_take_longest_sets_the_deadline(
    guard: Guard, exits: Exits
) -> None:
    # P-08
    short, long = Work(0.0), Work(DEADLINE)
    guard.attach(short)
    guard.attach(long)
    guard.hear(TERM)
    assert not exits.came.wait(0.05)

    drain(guard, short, long)

    assert guard.wait(DEADLINE)
    assert (short.rescues, long.rescues, exits.codes) == (0, 0, [])


def test_what_is_drained_in_time_is_not_rescued(guard: Guard, exits: Exits) -> None:
    # P-08
    guard.attach(work := Work(0.05))
    guard.hear(TERM)
    drain(guard, work)

    assert not exits.came.wait(0.15)
    assert work.rescues == 0
