"""The processes of a fleet: `edgeflow serve`, ended and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fleet.judge import Life

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random
    from typing import Self

    from edgeflow.testing.processes.log import Line

ROOT = Path(__file__).parents[2]
COMMAND = (
    Path(sys.executable).with_name("edgeflow"),
    *("serve", "tests.fleet.program:app"),
)
POLITE = 0.3
"""The part of the ends that is asked for by SIGTERM; the others are SIGKILL."""
PAUSES = (0.2, 0.6)
"""Seconds between two ends, at least and at most."""
ABSENCE = 0.5
"""Seconds that a place stays empty after an end, at most."""
PATIENCE = 20.0
"""Seconds in which a process has to end after SIGTERM."""


@dataclass
class Served:
    """One process, and what it has told so far."""

    name: str
    folder: Path
    settings: Mapping[str, str]
    lines: list[Line] = field(default_factory=list[Any])
    ended: float = float("inf")
    sent: signal.Signals | None = None
    """The last signal that it got from us."""
    sent_at: float = 0.0
    _rest: bytes = b""

    def __post_init__(self) -> None:
        """Start it."""
        told = self.folder / f"{self.name}.told"
        told.touch()
        self._file = told.open("rb", buffering=0)
        self._errors = self.folder / f"{self.name}.err"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                COMMAND,
                cwd=ROOT,
                env={**os.environ, **self.settings, "FLEET_TOLD": str(told)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                process_group=0,  # ^C is for who started us
            )

    def hear(self) -> list[Line]:
        """Give what it has told since the last call."""
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        news: list[Line] = [json.loads(line) for line in whole]
        self.lines += news
        return news

    def end(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.sent, self.sent_at = number, time.time()
        self._process.send_signal(number)

    def is_over(self) -> bool:
        """Tell whether it has ended; one that does not end in time is killed."""
        if self._process.poll() is None:
            if self.sent == signal.SIGTERM and time.time() > self.sent_at + PATIENCE:
                self._process.kill()
            return False
        self.ended = min(self.ended, time.time())
        return True

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._file.close()

    def as_life(self) -> Life:
        return Life(self.name, self.lines, self.ended)

    def complaints(self) -> list[str]:
        """Say what is wrong with how it ended, and with what it wrote to stderr."""
        said = self._errors.read_text("utf-8", "replace")
        code, wrong = self._process.returncode, list[str]()
        allowed = {-signal.SIGKILL} if self.sent == signal.SIGKILL else {0}
        if not self.lines:  # it was told to end before it could hear it
            allowed.add(-signal.SIGTERM)
        if code not in allowed:
            wrong.append(f"exit {code} after {self.sent!r}")
        if "Traceback" in said:
            wrong.append("a traceback")
        return [f"{self.name}: {what}:\n{said[-3000:]}" for what in wrong]


class Fleet:
    """Some places, each with a process after the other; a context manager."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        places: int,
        ends: int,
        chance: Random,
    ) -> None:
        """Draw when and how `ends` processes are to end, by `chance`."""
        self.served: list[Served] = []
        self.restarts = 0
        self._folder, self._settings = folder, settings
        self._places: list[Served | None] = [None] * places
        self._empty_until = [0.0] * places
        self._lives = [0] * places
        self._plan = [
            (
                chance.uniform(*PAUSES),
                chance.randrange(places),
                signal.SIGTERM if chance.random() < POLITE else signal.SIGKILL,
                chance.uniform(0, ABSENCE),
            )
            for _ in range(ends)
        ]
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for served in self.served:
            served.close()

    def count(self, number: signal.Signals) -> int:
        return sum(1 for served in self.served if served.sent == number)

    def turn(self) -> Iterable[Line]:
        """Start and end what it is time for; give what was told since the last turn."""
        now = time.time()
        for place, served in enumerate(self._places):
            if served is not None and served.is_over():
                self._places[place] = None
            elif served is None and now >= self._empty_until[place]:
                self._start(place)
        if self._plan and not self._next:
            self._next = now + self._plan[0][0]
        if self._plan and now >= self._next:
            _, place, how, absence = self._plan[0]
            served = self._places[place]
            if served is not None and served.lines:  # it is at work by now
                self._plan.pop(0)
                self._next = 0.0
                self._empty_until[place] = now + absence
                if served.sent is None or how == signal.SIGKILL:
                    served.end(how)
        return [line for served in self.served for line in served.hear()]

    def stop(self) -> None:
        """Ask all to end, and start none any more."""
        self._plan.clear()
        self._empty_until = [float("inf")] * len(self._places)
        for served in self._places:
            if served is not None and served.sent is None:
                served.end(signal.SIGTERM)

    def is_over(self) -> bool:
        """Tell whether no process is left."""
        return not any(self._places)

    def _start(self, place: int) -> None:
        self._lives[place] += 1
        self.restarts += self._lives[place] > 1
        name = f"{place}-{self._lives[place]}"
        served = Served(name, self._folder, self._settings)
        self._places[place] = served
        self.served.append(served)
