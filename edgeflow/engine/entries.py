"""The entries of a journal, and what is to be found among them without a search."""

from __future__ import annotations

from typing import Any

from edgeflow.engine.scope import Key, Path, key_of
from edgeflow.late import dataclass

UNDER_WAY = frozenset({"retrying", "started", "called", "open"})


@dataclass(slots=True)
class Entry:
    """What the journal knows of one operation."""

    key: Key
    path: Path
    data: dict[str, Any]
    mark: int = 0
    """Which change of the journal this was; 0 for what was loaded."""
    delivered: bool = False

    @property
    def kind(self) -> str:
        return self.path[-1][0]

    @property
    def status(self) -> str:
        return str(self.data["status"])

    @property
    def attempts(self) -> int:
        return int(self.data.get("attempts", 0))

    @property
    def is_done(self) -> bool:
        """Whether it is a completion: it has a place in the order of deliveries."""
        return "n" in self.data

    @property
    def position(self) -> int:
        """How many completions were recorded with or before it."""
        data = self.data
        return int(data["n"] if "n" in data else data["after"])


# Empty for most instances, and replaced where something is put into it.
NO_SURVIVORS: dict[Key, Entry] = {}
NO_TURNS: dict[Key, dict[int, dict[Key, None]]] = {}
NO_NUMBERS: dict[Key, int] = {}


class Entries(dict[Key, Entry]):
    """All entries by their identity."""

    __slots__ = ("_current", "_turns", "pending", "survivors")

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.pending: dict[Key, Entry] = {}
        """Those that are under way."""
        self.survivors: dict[Key, Entry] = NO_SURVIVORS
        """Those of pruned turns that an undo may need."""
        self._turns: dict[Key, dict[int, dict[Key, None]]] = NO_TURNS
        self._current: dict[Key, int] = NO_NUMBERS
        """The last turn of each loop, once it was asked for."""

    def put(self, entry: Entry) -> None:
        """Add an entry, or replace the one with its identity."""
        self[entry.key] = entry
        if entry.data["status"] in UNDER_WAY:
            self.pending[entry.key] = entry
        elif self.pending:
            self.pending.pop(entry.key, None)
        if len(entry.path) == 1:
            return  # in no loop
        self._turns = self._turns or {}
        for loop, turn in turns_of(entry.path):
            of_loop = self._turns.setdefault(loop, {})
            of_loop.setdefault(turn, {})[entry.key] = None
            if entry.kind == "turn":
                self._current.pop(loop, None)

    def drop(self, key: Key) -> None:
        """Remove an entry, if it is there."""
        entry = self.pop(key, None)
        if entry is None:
            return
        self.pending.pop(key, None)
        self.survivors.pop(key, None)
        self._unlist(entry)

    def _unlist(self, entry: Entry) -> None:
        for loop, turn in turns_of(entry.path):
            of_loop = self._turns.get(loop, {})
            of_turn = of_loop.get(turn, {})
            of_turn.pop(entry.key, None)
            if not of_turn:
                of_loop.pop(turn, None)
            if not of_loop:
                self._turns.pop(loop, None)
            if entry.kind == "turn":
                self._current.pop(loop, None)

    def prune(self, loop: Key, to: int) -> list[Key]:
        """Remove the turns of a loop up to `to`, but for what an undo may need."""
        of_loop = self._turns.get(loop, {})
        past = [turn for turn in of_loop if turn <= to]
        gone: list[Key] = []
        for turn in past:
            for key in list(of_loop[turn]):
                entry = self[key]
                if "undo" in entry.data or entry.kind == "undo":
                    self._survive(entry)
                    self._unlist(entry)  # the next pruning need not look at it
                else:
                    gone.append(key)
        for key in gone:
            self.drop(key)
        return gone

    def _survive(self, entry: Entry) -> None:
        self.survivors = self.survivors or {}
        self.survivors[entry.key] = entry

    def find_survivors(self) -> None:
        """Tell again what was left by prunings that a snapshot does not speak of."""
        for entry in self.values():
            if "undo" not in entry.data and entry.kind != "undo":
                continue
            for loop, turn in turns_of(entry.path):
                known = (*loop, "turn", turn) in self
                if not known and turn < self.current_turn(loop):
                    self._survive(entry)
        for entry in self.survivors.values():
            self._unlist(entry)

    def begun(self, loop: Key) -> dict[int, Key]:
        """Give the records of a loop's turns that are not pruned, by number."""
        keys = {turn: (*loop, "turn", turn) for turn in self._turns.get(loop, ())}
        return {turn: key for turn, key in keys.items() if key in self}

    def current_turn(self, loop: Key) -> int:
        """Give the number of the turn that a loop is in, from 0 on."""
        if loop not in self._current:
            self._current = self._current or {}
            self._current[loop] = max(self.begun(loop), default=0)
        return self._current[loop]

    def is_past(self, entry: Entry) -> bool:
        """Tell whether it lies in a turn, or a loop, that will not be run again."""
        for loop, turn in turns_of(entry.path):
            if turn < self.current_turn(loop):
                return True
            of_loop = self.get(loop)
            if of_loop is not None and of_loop.is_done:
                return True
        return False

    def in_order(self) -> list[Entry]:
        """Give the done ones, in the order of their completion."""
        done = (entry for entry in self.values() if entry.is_done)
        return sorted(done, key=lambda entry: int(entry.data["n"]))


def turns_of(path: Path) -> list[tuple[Key, int]]:
    """Name the turns around an entry: the key of each loop, and the turn's number."""
    found: list[tuple[Key, int]] = []
    for at, (kind, _, number) in enumerate(path):
        if kind == "turn":
            found.append((key_of(path[:at]), int(number)))
    return found
