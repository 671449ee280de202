"""The guard of a process: whom it hears before, whom it calls too, and letting go."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from .guards import BOTH, DEADLINE, INT, TERM, Work, drain, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.shutdown import Guard


# --- who is called --------------------------------------------------------------


def test_whoever_heard_before_is_called_too_and_ends_the_process(
    guard: Guard, work: Work
) -> None:
    # P-09
    heard: list[int] = []
    signal.signal(TERM, lambda number, _: heard.append(number))
    assert guard.listen(BOTH)
    assert guard.listen(BOTH)  # once is enough

    signal.raise_signal(TERM)

    assert heard == guard.heard == [TERM]
    assert work.ends == [False]
    assert guard.take_exit() is None


def test_what_is_ignored_stays_ignored(guard: Guard, work: Work) -> None:
    # P-09
    signal.signal(INT, signal.SIG_IGN)
    guard.listen(BOTH)

    assert signal.getsignal(INT) is signal.SIG_IGN
    signal.raise_signal(INT)
    assert guard.heard == work.ends == []


@pytest.mark.parametrize(
    ("number", "handler", "end"),
    [
        (INT, signal.default_int_handler, KeyboardInterrupt()),
        (INT, signal.SIG_DFL, KeyboardInterrupt()),
        (TERM, signal.SIG_DFL, SystemExit(143)),
    ],
)
def test_what_ends_the_process_by_itself_is_not_called_and_replaced_by_an_orderly_end(
    guard: Guard, work: Work, number: int, handler: Any, end: BaseException
) -> None:
    # P-09 G3
    signal.signal(number, handler)
    guard.listen(BOTH)

    signal.raise_signal(number)

    assert work.ends == [False]
    assert repr(guard.take_exit()) == repr(end)


def test_the_handler_of_asyncios_runner_is_not_called(guard: Guard, work: Work) -> None:
    # P-09 G3: it would cancel the main task, and the second time tear it
    signal.signal(INT, signal.default_int_handler)

    async def main() -> str:
        assert signal.getsignal(INT) is not signal.default_int_handler
        guard.listen(BOTH)
        for _ in range(2):
            signal.raise_signal(INT)
            await asyncio.sleep(0)
        return "not cancelled"

    assert asyncio.run(main()) == "not cancelled"
    assert guard.heard == [INT, INT]
    assert repr(guard.take_exit()) == "KeyboardInterrupt()"


async def test_a_handler_of_the_loop_is_called_too(guard: Guard, work: Work) -> None:
    # P-09
    loop, fired = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(TERM, fired.set)
    try:
        guard.listen(BOTH)
        signal.raise_signal(TERM)
        await asyncio.wait_for(fired.wait(), DEADLINE)
    finally:
        loop.remove_signal_handler(TERM)

    assert work.ends == [False]
    assert guard.take_exit() is None  # the loop's owner sees to that


def test_a_server_that_replaces_us_is_called_once_we_listen_again(
    guard: Guard, work: Work
) -> None:
    # P-09
    heard: list[int] = []
    guard.listen(BOTH)
    signal.signal(TERM, lambda number, _: heard.append(number))
    signal.raise_signal(TERM)
    assert (heard, guard.heard) == ([TERM], [])

    guard.listen(BOTH)
    signal.raise_signal(TERM)

    assert (heard, guard.heard) == ([TERM, TERM], [TERM])


# --- letting go -----------------------------------------------------------------


def test_after_the_last_ward_those_hear_again_who_did_before(
    guard: Guard, work: Work
) -> None:
    # P-09
    before, other = [signal.getsignal(number) for number in BOTH], Work()
    guard.attach(other)
    guard.listen(BOTH)
    guard.detach(work)
    assert [signal.getsignal(number) for number in BOTH] != before

    guard.detach(other)
    guard.detach(other)

    assert [signal.getsignal(number) for number in BOTH] == before


def test_whoever_listens_by_now_is_not_replaced(guard: Guard, work: Work) -> None:
    # P-09
    def newer(*_: object) -> None: ...

    guard.listen(BOTH)
    signal.signal(TERM, newer)

    guard.detach(work)

    assert signal.getsignal(TERM) is newer


def test_with_nothing_attached_a_signal_does_what_it_did_before(guard: Guard) -> None:
    # P-09
    heard: list[int] = []
    signal.signal(TERM, lambda number, _: heard.append(number))
    signal.signal(INT, signal.default_int_handler)
    guard.listen(BOTH)

    signal.raise_signal(TERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(INT)

    assert heard == [TERM]
    assert guard.heard == []


def test_once_all_is_durable_another_signal_does_what_it_did_before(
    guard: Guard, work: Work
) -> None:
    # P-09: a server may be slow for reasons of its own
    heard: list[int] = []
    signal.signal(TERM, lambda number, _: heard.append(number))
    guard.listen(BOTH)
    signal.raise_signal(TERM)
    drain(guard, work)

    signal.raise_signal(TERM)

    assert heard == [TERM, TERM]
    assert guard.heard == [TERM]


def test_until_all_is_closed_another_signal_is_swallowed_if_it_is_on_us_to_end(
    guard: Guard, work: Work
) -> None:
    # P-09
    signal.signal(INT, signal.default_int_handler)
    guard.listen(BOTH)
    signal.raise_signal(INT)
    drain(guard, work)

    signal.raise_signal(INT)
    guard.detach(work)

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(INT)


def test_one_that_came_later_and_calls_who_it_found_is_called_once(
    guard: Guard, work: Work
) -> None:
    # P-09
    heard: list[str] = []
    signal.signal(TERM, lambda _number, _frame: heard.append("first"))
    guard.listen(BOTH)
    found: Any = signal.getsignal(TERM)

    def later(number: int, frame: Any) -> None:
        heard.append("later")
        found(number, frame)

    signal.signal(TERM, later)
    guard.listen(BOTH)

    signal.raise_signal(TERM)

    assert heard == ["later", "first"]
    assert guard.heard == [TERM]
    assert not guard.ends
    assert work.ends == [False]


def test_who_goes_on_after_a_signal_begins_anew_once_its_loops_are_gone(
    guard: Guard, work: Work
) -> None:
    # P-09: a program with a handler of its own, that does not end
    signal.signal(TERM, lambda _number, _frame: None)
    guard.listen(BOTH)
    signal.raise_signal(TERM)
    drain(guard, work)
    guard.forget_if_over()
    assert guard.heard == [TERM]
    guard.detach(work)
    guard.forget_if_over()
    assert guard.heard == [TERM]  # its loop is a server's, which is to end

    work.lives = False
    guard.forget_if_over()

    assert guard.heard == []


def test_whoever_catches_the_end_of_the_process_may_go_on(
    guard: Guard, work: Work
) -> None:
    # P-09
    signal.signal(TERM, signal.SIG_DFL)
    guard.listen(BOTH)
    signal.raise_signal(TERM)
    work.is_drained = True

    assert repr(guard.take_exit()) == "SystemExit(143)"
    assert guard.take_exit() is None  # once: a second one would tear the unwinding
    guard.detach(work)

    assert guard.heard == []
    assert guard.take_exit() is None
    guard.attach(again := Work())
    guard.listen(BOTH)
    signal.raise_signal(TERM)
    assert again.ends == [False]


def test_what_is_attached_while_the_process_ends_is_ended_at_once(
    guard: Guard, work: Work
) -> None:
    # P-07
    guard.hear(TERM)
    guard.attach(late := Work())
    guard.attach(late)

    assert late.ends == [False, False]
    assert not guard.is_drained
    drain(guard, work)
    assert not guard.is_drained
    drain(guard, late)
    assert guard.is_drained
    guard.detach(work)
    guard.detach(late)
    assert guard.wait(0)


# --- threads and forks ----------------------------------------------------------


def in_thread(call: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def test_another_thread_cannot_listen_unless_that_was_prepared(guard: Guard) -> None:
    # P-09
    before = signal.getsignal(TERM)

    assert not in_thread(lambda: guard.listen(BOTH))

    assert signal.getsignal(TERM) is before


@pytest.mark.skipif(
    not hasattr(signal, "SIGRTMIN"), reason="macOS has no real-time signals"
)
def test_prepared_the_main_thread_listens_when_another_thread_wants_it(
    guard: Guard, work: Work
) -> None:
    # P-09
    signal.signal(TERM, signal.SIG_DFL)
    number = signal.SIGRTMIN + 7
    guard.prepare()
    try:
        assert in_thread(lambda: guard.listen(BOTH))
        wait_for(lambda: signal.getsignal(TERM) is not signal.SIG_DFL)
        signal.raise_signal(TERM)
    finally:
        signal.signal(number, signal.SIG_DFL)

    assert guard.heard == [TERM]
    assert work.ends == [False]


@pytest.mark.skipif(
    not hasattr(signal, "SIGRTMIN"), reason="macOS has no real-time signals"
)
def test_a_real_time_signal_of_somebody_else_is_left_alone(guard: Guard) -> None:
    # P-09
    def theirs(*_: object) -> None: ...

    number = signal.SIGRTMIN + 7
    signal.signal(number, theirs)
    try:
        guard.prepare()
        assert signal.getsignal(number) is theirs
    finally:
        signal.signal(number, signal.SIG_DFL)
    assert not in_thread(lambda: guard.listen(BOTH))


def test_after_a_fork_nothing_is_attached(guard: Guard, work: Work) -> None:
    # P-08: what `process_guard` has the child do
    guard.hear(TERM)
    guard.forget()

    assert guard.heard == []
    assert guard.is_drained
    assert guard.take_exit() is None


@pytest.mark.parametrize("number", BOTH)
def test_an_end_taken_in_another_thread_comes_once_nobody_needs_us(
    guard: Guard, work: Work, number: int
) -> None:
    # P-09: there it would end the thread, and no more
    heard: list[int] = []
    signal.signal(INT, signal.default_int_handler)
    signal.signal(TERM, signal.SIG_DFL)
    guard.listen(BOTH)
    signal.raise_signal(number)
    end = in_thread(guard.take_exit)
    signal.signal(number, lambda number, _: heard.append(number))
    assert heard == []

    guard.detach(work)

    wait_for(lambda: heard == [number])
    assert repr(end) == f"SystemExit({128 + number})"
