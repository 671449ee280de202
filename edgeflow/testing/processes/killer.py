"""In the process that is to be killed: it counts moments, and ends at one of them."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from signal import SIGKILL, Signals
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Generator
    from random import Random
    from typing import Self

Where: TypeAlias = Literal[
    "before_commit",  # it is asked for, and not begun
    "in_commit",  # SQLite works on it; if it is done before, right after it
    "after_commit",  # it is written, and nobody knows
    "in_step",  # an attempt of a step, or of an undo, is about to call its function
    "after_step",  # the function has returned or raised; nothing of it is durable
    "suspended",  # the instance is at rest, and this is durable
    "moment",  # whatever it does `seconds` after it began
]

INSTRUCTIONS = 10
"""Of SQLite's virtual machine, for each tick of a commit."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A signal at a moment in the life of a process; its repr makes it again."""

    where: Where
    nth: int = 1
    """Which of these moments, counted from 1 in each process."""
    by: Signals = SIGKILL
    seconds: float = 0.0
    """How long after the moment the signal comes; of "moment": after the beginning."""
    tick: int = 1
    """Of "in_commit": after how many times ten instructions of SQLite."""

    def __repr__(self) -> str:
        parts = [repr(self.where), str(self.nth), f"signal.{self.by.name}"]
        parts += [f"seconds={self.seconds:.6g}"] * (self.seconds > 0)
        parts += [f"tick={self.tick}"] * (self.where == "in_commit")
        return f"Kill({', '.join(parts)})"

    @classmethod
    def at_random(
        cls,
        random: Random,
        *,
        by: Signals = SIGKILL,
        within: float = 0.5,
        most: int = 6,
    ) -> Self:
        """Draw one: every second by the clock, else by count.

        Args:
            random: draws it.
            by: the signal.
            within: seconds, for one by the clock.
            most: the highest count.
        """
        if random.random() < 1 / 2:
            return cls("moment", by=by, seconds=random.uniform(0, within))
        where = random.choice([each for each in get_args(Where) if each != "moment"])
        nth, tick = random.randint(1, most), random.randint(1, 60)
        return cls(where, nth, by, tick=tick if where == "in_commit" else 1)


class Killer:
    """Waits for the moment of a `Kill`, in the process that it strikes."""

    def __init__(self, kill: Kill | None) -> None:
        """Kill at that moment, if there is one."""
        self._kill = kill
        self._count = 0
        self._ticks = 0
        self._is_due = False
        """Whether the commit that is under way is the one."""
        if kill is not None and kill.where == "in_commit":
            self._watch_sqlite()

    def passes(self, where: Where) -> None:
        """Let such a moment pass, or be the last."""
        if self._is_at(where):
            self._strike()

    @contextmanager
    def in_commit(self) -> Generator[None]:
        """Let a commit be under way."""
        is_due = self._is_at("in_commit")
        if is_due and self._kill is not None and self._kill.seconds:
            self._strike()
        elif is_due:
            self._is_due = True
        yield
        if self._is_due:  # SQLite was faster
            self._strike()

    def _is_at(self, where: Where) -> bool:
        kill = self._kill
        if kill is None or kill.where != where:
            return False
        self._count += 1
        return self._count == kill.nth

    def _strike(self) -> None:
        self._is_due = False
        if self._kill is None:
            return
        if self._kill.seconds:
            threading.Thread(target=self._strike_later, daemon=True).start()
        else:
            os.kill(os.getpid(), self._kill.by)

    def _strike_later(self) -> None:
        if self._kill is not None:
            time.sleep(self._kill.seconds)
            os.kill(os.getpid(), self._kill.by)

    def _watch_sqlite(self) -> None:
        """Have every connection of this process, which is ours, tell of its ticks."""
        connect = sqlite3.connect

        def connected(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)
            connection.set_progress_handler(self._tick, INSTRUCTIONS)
            return connection

        sqlite3.connect = connected  # type: ignore[assignment]

    def _tick(self) -> int:
        if self._is_due and self._kill is not None:
            self._ticks += 1
            if self._ticks == self._kill.tick:
                self._strike()
        return 0  # go on
