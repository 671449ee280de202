"""Journeys in real processes that are struck by signals, and what they did."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import random
    import signal
    from collections.abc import Sequence
    from typing import Self

PROGRAM = Path(__file__).with_name("journey.py")

Strikes: TypeAlias = "tuple[tuple[float, signal.Signals], ...]"
"""Signals, and how many seconds after the beginning of a life each comes."""


class Nursery:
    """A process that forks lives, one at a time; a context manager."""

    def __init__(self, limit: float = 10.0) -> None:
        """Give each life `limit` seconds."""
        self._limit = limit
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # ^C is for who started us
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def live(self, **orders: Any) -> dict[str, Any]:
        """Let a process live; give its exit code, and whether it would not end."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({**orders, "limit": self._limit}) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer


@dataclass
class Life:
    """How one process went."""

    strikes: Strikes
    code: int
    hung: bool
    entered: list[str]
    """The steps whose functions were called, in order."""
    left: set[str]
    """Those whose functions returned."""


@dataclass
class Travel:
    """One instance, and the processes that it took."""

    folder: Path
    kind: str
    durability: str
    lives: list[Life] = field(default_factory=list["Life"])
    _read: int = 0

    def live(self, nursery: Nursery, strikes: Strikes = ()) -> Life:
        self.folder.mkdir(exist_ok=True)
        end = nursery.live(
            folder=str(self.folder),
            kind=self.kind,
            durability=self.durability,
            strikes=strikes,
        )
        notes = self._notes()
        entered = [what for word, what in notes if word == "enters"]
        left = {what for word, what in notes if word == "leaves"}
        self.lives.append(Life(strikes, end["code"], end["hung"], entered, left))
        return self.lives[-1]

    def _notes(self) -> list[list[str]]:
        """What was noted since the last call."""
        path = self.folder / "effects"
        text = path.read_text("utf-8") if path.exists() else ""
        news, self._read = text[self._read :], len(text)
        return [line.split() for line in news.splitlines()]

    @property
    def has_ended(self) -> bool:
        return bool(self.lives) and self.lives[-1].code == 0

    @property
    def entered(self) -> Counter[str]:
        return Counter(what for life in self.lives for what in life.entered)

    def again(self, number: int) -> set[str]:
        """The steps of a life that a later one entered too."""
        later = {what for life in self.lives[number + 1 :] for what in life.entered}
        return later.intersection(self.lives[number].entered)

    @property
    def outputs(self) -> list[Any]:
        """What its processes said; a signal may come after that."""
        text = (self.folder / "out").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def errors(self) -> str:
        path = self.folder / "err"
        return path.read_text("utf-8") if path.exists() else ""

    def __str__(self) -> str:
        lines = [f"{self.kind}, {self.durability}"]
        for life in self.lives:
            lines.append(f"{life.strikes}: exit {life.code}, {life.hung=}")
            lines.append(f"  entered {life.entered}, left {sorted(life.left)}")
        return "\n".join([*lines, self.errors()[-4000:]])


def drawn(
    chance: random.Random, signals: Sequence[signal.Signals], within: float
) -> Strikes:
    """Draw a signal within some seconds, once or twice."""
    number, first = chance.choice(signals), round(chance.uniform(0, within), 4)
    if chance.random() < 1 / 2:
        return ((first, number),)
    return (first, number), (first + round(chance.uniform(0, 0.03), 4), number)
