"""What real processes did, held against what was durable when they did it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow.testing.processes.log import Line

Name: TypeAlias = tuple[str, tuple[str | int, ...]]
"""A step or an undo: the id of its instance, and its own identity there."""

Record: TypeAlias = tuple[list[str | int], str, str, int]
"""Of a step: its identity, its path, its status, and how many attempts it made."""

OVER = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Effect:
    """An attempt that was begun, written down outside of edgeflow before it was."""

    instance: str
    path: str
    """Where in the body: `pay[0] > charge[1]`."""
    attempt: int


@dataclass(slots=True)
class _Known:
    """What is durable of a step."""

    status: str = ""
    attempts: int = 0
    intends: bool = False
    """Whether the intent of an at_most_once attempt was written in this life."""


@dataclass(slots=True)
class _Life:
    effects: list[Effect] = field(default_factory=list["Effect"])
    in_flight: dict[Name, Effect] = field(default_factory=dict["Name", "Effect"])
    asked: dict[int, tuple[str, int, list[Record]]] = field(
        default_factory=dict[int, "tuple[str, int, list[Record]]"]
    )
    """What each commit holds, by its number."""


class Judge:
    """Reads what the lives of an instance have told, one after the other."""

    def __init__(self) -> None:
        """Begin before the first life."""
        self.complaints: list[str] = []
        self.in_flight: list[Effect] = []
        """Attempts that the last life had begun, and whose outcome was not durable."""
        self.again: list[Effect] = []
        """Attempts that were begun though an earlier life had begun them."""
        self._known: dict[Name, _Known] = {}
        self._frames: dict[str, int] = {}
        """The last frame of each instance that was acknowledged."""
        self._begun: set[tuple[Name, int]] = set()

    @property
    def progress(self) -> int:
        """How many outcomes of attempts are known to be durable."""
        return sum(known.attempts for known in self._known.values())

    def hear(self, lines: Iterable[Line]) -> list[Effect]:
        """Judge a life; give its effects."""
        life = _Life()
        for known in self._known.values():
            known.intends = False
        for word, *values in lines:
            match word, values:
                case "found", [found]:
                    for instance, what in found.items():
                        self._find(instance, what["seq"], what["entries"])
                case "began", [instance, key, path, attempt]:
                    effect = Effect(instance, path, attempt)
                    self._begin((instance, tuple(key)), effect, life)
                case "asked", [number, instance, seq, _, records]:
                    life.asked[number] = instance, seq, records
                case "acked", [number]:
                    self._write(life, *life.asked[number])
                case _:
                    pass
        self.in_flight = list(life.in_flight.values())
        return life.effects

    def _find(self, instance: str, seq: int, records: list[Record]) -> None:
        last = self._frames.get(instance, 0)
        if seq < last:
            self.complaints.append(
                f"{instance}: frame {last} was acknowledged, frame {seq} is the last"
            )
        for record in records:
            self._note(instance, record)

    def _write(
        self, life: _Life, instance: str, seq: int, records: list[Record]
    ) -> None:
        """Take what a commit holds as durable from now on."""
        self._frames[instance] = max(seq, self._frames.get(instance, 0))
        for record in records:
            key, _, status, attempts = record
            name = instance, tuple(key)
            self._note(instance, record)
            self._known[name].intends = status == "started"
            begun = life.in_flight.get(name)
            if begun and status != "started" and begun.attempt <= attempts:
                del life.in_flight[name]

    def _note(self, instance: str, record: Record) -> None:
        key, path, status, attempts = record
        known = self._known.setdefault((instance, tuple(key)), _Known())
        reversed_ = known.status in OVER and known.status != status
        if reversed_ or attempts < known.attempts:
            self.complaints.append(
                f"{path} of {instance} is {status} after {attempts} attempts, and was "
                f"{known.status} after {known.attempts}"
            )
        known.status, known.attempts = status, attempts

    def _begin(self, name: Name, effect: Effect, life: _Life) -> None:
        known, mine = self._known.get(name) or _Known(), effect.attempt
        failed = known.attempts - (known.status == "started")
        what = f"{effect.path} of {effect.instance}"
        if known.status in OVER:
            self.complaints.append(f"{what} begins again, though it is {known.status}")
        elif known.status == "started" and not known.intends:
            self.complaints.append(f"{what} begins again, though it is at_most_once")
        elif mine != failed + 1:
            self.complaints.append(
                f"{what} makes attempt {mine}, and {failed} failed attempts are durable"
            )
        elif effect in life.effects:
            self.complaints.append(f"{what} makes attempt {mine} twice in one process")
        if (name, mine) in self._begun:
            self.again.append(effect)
        self._begun.add((name, mine))
        life.effects.append(effect)
        life.in_flight[name] = effect
