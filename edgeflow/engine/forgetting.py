"""What is to be forgotten of a journal, and what cannot be kept without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.engine.entries import turns_of
from edgeflow.engine.scope import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgeflow.engine.entries import Entries, Entry
    from edgeflow.engine.scope import Key, Path


class Forgotten:
    """A growing set of entries; `closed` adds all that depends on them."""

    def __init__(self, entries: Entries) -> None:
        """Forget nothing of `entries` yet."""
        self._entries = entries
        self._keys: set[Key] = set()
        self._loops: set[Key] = set()
        """Loops of which everything is forgotten."""

    def add(self, keys: Iterable[Key]) -> None:
        """Add some entries."""
        self._keys.update(key for key in keys if key in self._entries)

    def entries(self) -> list[Entry]:
        """Give what has been added by now."""
        return [self._entries[key] for key in self._keys]

    def add_undone(self) -> bool:
        """Add the steps that were undone, with their undos; tell if there are any."""
        undos = [key for key, entry in self._entries.items() if entry.kind == "undo"]
        self.add(undos)
        self.add(key[:-2] for key in undos)
        return bool(undos)

    def add_cancelled(self) -> None:
        """Add what was given up: in another order it may be asked for again."""
        entries = self._entries.items()
        self.add(key for key, entry in entries if entry.status == "cancelled")

    def add_cut_off(self) -> None:
        """Add what was given up at the end of the instance: nothing vouches for it."""
        entries = self._entries.items()
        self.add(
            key
            for key, entry in entries
            if entry.status == "cancelled" and not self._is_vouched_for(entry)
        )

    def _is_vouched_for(self, entry: Entry) -> bool:
        around = (
            self._entries.get(entry.key[:end]) for end in range(2, len(entry.key), 2)
        )
        ended = any(block is not None and block.is_done for block in around)
        return ended or self._entries.is_past(entry)

    def add_since(self, position: int) -> None:
        """Add what was recorded at a position of the journal, and after it."""
        entries = self._entries.items()
        self.add(key for key, entry in entries if entry.position >= position)

    def add_below(self, path: Path) -> None:
        """Add an entry with all under it; of a turn, what it begins with is kept."""
        own = key_of(path)
        self.add(key for key in self._entries if key[: len(own)] == own)
        if path[-1][0] == "turn":
            self._keys.discard(own)

    def closed(self) -> list[Key]:
        """Add the blocks that vouch for what is forgotten, and later turns of its loop.

        Gives all, in the order of the journal.
        """
        fresh = list(self._keys)
        while fresh:
            entry = self._entries[fresh.pop()]
            for key in self._implied(entry):
                if key in self._entries and key not in self._keys:
                    self._keys.add(key)
                    fresh.append(key)
        return sorted(self._keys, key=lambda key: self._entries[key].position)

    def _implied(self, entry: Entry) -> Iterator[Key]:
        for end in range(2, len(entry.key), 2):
            block = self._entries.get(entry.key[:end])
            if block is not None and block.is_done:
                yield block.key
        for loop, turn in turns_of(entry.path):
            yield from self._turns_after(loop, turn)
        if entry.kind == "loop" and not self._entries.begun(entry.key):
            yield from self._all_of(entry.key)  # what its pruned turns have left

    def _turns_after(self, loop: Key, turn: int) -> Iterator[Key]:
        """Let a loop go back to a turn, or to its start if it was pruned."""
        if loop in self._loops:
            return
        begun = self._entries.begun(loop)
        left = [key for number, key in begun.items() if number <= turn]
        if turn not in begun or self._keys.issuperset(left):
            self._loops.add(loop)
            yield from self._all_of(loop)
        else:
            yield from (key for number, key in begun.items() if number > turn)

    def _all_of(self, loop: Key) -> Iterator[Key]:
        yield from (key for key in self._entries if key[: len(loop)] == loop)


def position(
    entries: Entries, to: Sequence[Sequence[Any]], recovered: int
) -> tuple[Path, int | None]:
    """Find where in the journal an entry, or a block, began.

    What was done up to `recovered` has lost its order: of that, the block counts
    that it was handed out with. Gives its path, or that of its loop if its turn is
    pruned; and None if there is no such entry.
    """
    path = _within_reach(entries, tuple(map(tuple, to)))
    found = [entry for entry in entries.values() if entry.path[: len(path)] == path]
    if not path or not found:
        return path, None
    around = [entries.get(key_of(path[:end])) for end in range(1, len(path))]
    ended = [block for block in around if block is not None and block.is_done]
    ordered = [entry for entry in found if entry.position > recovered]
    ordered = ordered or [block for block in ended if block.position > recovered]
    return path, min(_began(entry, recovered) for entry in ordered or found)


def _within_reach(entries: Entries, path: Path) -> Path:
    for end, (kind, _, turn) in enumerate(path):
        if kind != "turn":
            continue
        begun = entries.begun(key_of(path[:end]))
        if turn not in begun and int(turn) < max(begun, default=0):
            return path[:end]
    return path


def _began(entry: Entry, recovered: int) -> int:
    since = entry.data.get("since")
    if since is not None and since >= recovered:
        return int(since) + 1
    return entry.position + (not entry.is_done)
