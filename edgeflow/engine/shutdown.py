"""The process-end hook: hear the signal, have everything made durable, let go.

It is a help, not the foundation: nothing is ever visible outside that a crash at
this moment could make unsaid. It only saves work from being done again.

One guard hears for the whole process. A signal handler runs between any two
bytecodes of the main thread, so it takes no lock, does no I/O and logs nothing: it
counts, starts a watchdog, and tells the loops. If they are not done by the deadline,
because one is stuck or slow, the watchdog writes what is dirty and ends the process.
"""

from __future__ import annotations

import _thread
import asyncio
import functools
import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SIGNALLED = 128
"""What shells add to the number of the signal that ended a process."""

DELIBERATE_SECONDS = 0.5
"""A second signal that comes sooner is the same one, sent to us on two ways."""


WATCH_SECONDS = 0.02
"""How often the watchdog looks at the time; it may have been brought forward."""


class Ward(Protocol):
    """What has to be made durable before the process ends."""

    @property
    def seconds(self) -> float:
        """How long it may take, from the signal on."""
        ...

    @property
    def reserve(self) -> float:
        """How much of that is left once running steps get no more time."""
        ...

    @property
    def is_drained(self) -> bool:
        """Whether all of it is durable."""
        ...

    def is_alive(self) -> bool:
        """Whether its event loop still runs."""
        ...

    def end(self, *, hurry: bool) -> None:
        """Begin; `hurry`: running steps get no more time. From a signal handler too."""
        ...

    def rescue(self) -> None:
        """Write what is dirty, from a thread, though the loop be stuck."""
        ...


class Guard:
    """Hears that the process is to end, and has its wards drained."""

    def __init__(self, leave: Callable[[int], Any] = os._exit) -> None:
        """Hear nothing yet; `leave` ends the process with an exit code."""
        self.heard: list[int] = []
        """The signals so far."""
        self.ends = False
        """Whether it is on us to end the process: nobody else has heard the signal."""
        self._told: list[Ward] = []
        """Who was there when the first signal came."""
        self._given: set[int | None] = set()
        self._left: set[int | None] = set()
        """The threads whose loops were given what ends them, and have been left."""
        self.closing = 0
        """How many users of an app close it now: who ends a loop lets them."""
        self._leave = leave
        self._at = self._limit = 0.0
        """When the first signal came, and when all must be over; monotonic."""
        self._wards: list[Ward] = []
        self._all_drained = threading.Event()
        self.check()
        self._found: dict[int, list[Any]] = {}
        """Who heard before us, the last one last: who came later may call us, too."""
        self._depth = 0
        """How many of those are being called."""
        self._wanted: tuple[int, ...] = ()
        self._beckon: int | None = None
        self._on_signal = self._hear  # one object, to be known again

    # --- wards ----------------------------------------------------------------

    def attach(self, ward: Ward) -> None:
        """Have this one drained too; at once, if the process ends already."""
        if ward not in self._wards:
            self._wards.append(ward)
        self._all_drained.clear()
        if self.heard:
            ward.end(hurry=False)
        self.check()

    def detach(self, ward: Ward) -> None:
        """Let go of one; after the last, whoever heard before us hears again."""
        if ward in self._wards:
            self._wards.remove(ward)
        self.check()
        if self._wards:
            return
        self.unlisten()
        if self._given:
            number = self.heard[0]
            is_elsewhere = threading.main_thread().ident not in self._given
            self.forget()  # whoever catches what ends the process may go on
            if is_elsewhere:
                os.kill(os.getpid(), number)  # now it does what it does without us

    def check(self) -> None:
        """Take note that a ward may be drained."""
        if all(ward.is_drained for ward in self._wards):
            self._all_drained.set()

    def forget_if_over(self) -> None:
        """Begin anew if a signal was heard, and the process went on after it.

        Its loops are gone by then. While one runs, a server's, it is to end.
        """
        is_gone = not any(ward.is_alive() for ward in self._told)
        if self._told and is_gone and not self._wards:
            self.forget()

    def wait(self, timeout: float) -> bool:
        """Wait, in a thread that runs no loop of ours, until all is durable."""
        return self._all_drained.wait(timeout)

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left to be made durable."""
        return self._all_drained.is_set()

    @property
    def is_left(self) -> bool:
        """Whether the loop of this thread was left, so that its tasks unwind."""
        return threading.get_ident() in self._left

    def take_exit(self) -> BaseException | None:
        """Give, once, what ends the loop of this thread; to be raised out of it.

        In the main thread it ends the process as the signal would have, but orderly.
        If no loop is there, that follows when the last ward is detached. None: the
        process is not told to end, or somebody else sees to that.
        """
        if not self.ends or threading.get_ident() in self._given:
            return None
        self._given.add(threading.get_ident())
        if self.heard[0] == signal.SIGINT and _is_main():
            return KeyboardInterrupt()
        return SystemExit(SIGNALLED + self.heard[0])

    def leave_loop(self, end: BaseException) -> NoReturn:
        """Raise what `take_exit` gave, from a plain callback of the loop.

        Raises:
            BaseException: `end`.
        """
        self._left.add(threading.get_ident())
        raise end

    # --- hearing --------------------------------------------------------------

    def listen(self, signals: tuple[int, ...]) -> bool:
        """Hear these signals, before whoever hears them now, who is called too.

        What is ignored stays ignored. False: this is not the main thread, and
        `prepare` was not called in it.
        """
        if all(signal.getsignal(number) is self._on_signal for number in signals):
            return True
        if _is_main():
            for number in signals:
                self._take(number)
            return True
        if self._beckon is None:
            return False
        self._wanted = signals
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, self._beckon)
        return True

    def prepare(self) -> None:
        """Make `listen` possible from other threads; call it in the main thread.

        Only there may a handler be set. So one for a real-time signal is set now,
        which survives a fork, and which servers leave alone; a thread that wants us
        to listen sends it to the main thread.
        """
        first = getattr(signal, "SIGRTMIN", None)  # there are none on macOS
        if first is None or self._beckon is not None:
            return
        number = first + 7  # the first few are popular
        with suppress(ValueError):  # not the main thread
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._beckoned)
                self._beckon = number

    def unlisten(self) -> None:
        """Let those hear again who did before us, if nobody else does by now."""
        if not _is_main():
            return
        for number, found in self._found.items():
            if found and signal.getsignal(number) is self._on_signal:
                signal.signal(number, found.pop())

    def _beckoned(self, _number: int, _frame: FrameType | None) -> None:
        self.listen(self._wanted)

    def _take(self, number: int) -> None:
        found = signal.getsignal(number)
        if found in (self._on_signal, signal.SIG_IGN, None):  # None: set in C
            return
        with suppress(ValueError):  # an interpreter within another
            signal.signal(number, self._on_signal)
            self._found.setdefault(number, []).append(found)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        """Be the handler of a signal.

        Called by one that came later, and calls who it has found, it is called again
        for the same signal: then it is the turn of who was there before that one.
        """
        found = self._found_before(number)
        if not self._wards or (self._all_drained.is_set() and not self.ends):
            self._pass(number, frame, found)
            return
        is_ours = not callable(found) or _ends_by_itself(found)
        self.ends |= is_ours
        if not self._depth:
            self.hear(number)
        if not is_ours:
            self._pass(number, frame, found)

    def _found_before(self, number: int) -> Any:
        found = self._found.get(number, [])
        return found[-1 - self._depth] if self._depth < len(found) else signal.SIG_DFL

    def _pass(self, number: int, frame: FrameType | None, found: Any) -> None:
        """Let a signal do what it does without us."""
        if not callable(found):
            signal.signal(number, found)
            signal.raise_signal(number)
            return
        self._depth += 1
        try:
            found(number, frame)
        finally:
            self._depth -= 1

    def hear(self, number: int) -> None:
        """Begin the end as a signal does; from any thread, and from a signal handler.

        A second one is the same, unless it comes so late that somebody means it:
        then running steps get no more time. No flush is torn by it.
        """
        self.heard.append(number)
        now, wards = time.monotonic(), list(self._wards)
        if len(self.heard) == 1:
            self._told = wards
            self._at = now
            self._limit = now + max((ward.seconds for ward in wards), default=0.0)
            # Not `threading.Thread`: starting one takes a lock that may be held here.
            with suppress(RuntimeError):  # the interpreter is ending
                _thread.start_new_thread(self._watch, (number,))
            hurry = False
        elif number == signal.SIGINT and now - self._at >= DELIBERATE_SECONDS:
            soon = now + max((ward.reserve for ward in wards), default=0.0)
            self._limit = min(self._limit, soon)
            hurry = True
        else:
            return
        for ward in wards:
            ward.end(hurry=hurry)

    # --- the deadline -----------------------------------------------------------

    def _watch(self, number: int) -> None:
        drained = self._all_drained  # who begins anew, begins with another one
        while not drained.wait(WATCH_SECONDS):
            if time.monotonic() >= self._limit:
                for ward in list(self._wards):
                    with suppress(Exception):  # the others may still be saved
                        ward.rescue()
                self._leave(SIGNALLED + number)
                return
        # All is durable. What is left of the time is for unwinding, and closing.
        while self.ends and self._wards and drained is self._all_drained:
            if time.monotonic() >= self._limit:
                self._leave(SIGNALLED + number)
                return
            time.sleep(WATCH_SECONDS)

    def forget(self) -> None:
        """Begin anew: after a fork, what was attached is another process's."""
        self.heard.clear()
        self._told.clear()
        self._given.clear()
        self._left.clear()
        self.ends = False
        self._wards.clear()
        self._all_drained.set()  # who watches it has nothing to wait for
        self._all_drained = threading.Event()
        self.check()


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _ends_by_itself(handler: Any) -> bool:
    """Tell whether a handler is Python's or asyncio's own for SIGINT.

    The first raises KeyboardInterrupt wherever the main thread is; the second cancels
    the main task, and at the next signal does as the first: each tears a flush.
    """
    if handler is signal.default_int_handler:
        return True
    owner = getattr(getattr(handler, "func", None), "__self__", None)
    return isinstance(handler, functools.partial) and isinstance(owner, asyncio.Runner)


@functools.cache
def process_guard() -> Guard:
    """Give the guard of this process."""
    guard = Guard()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=guard.forget)
    return guard
