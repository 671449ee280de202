"""The entries of a journal as a tree, and what became of each part of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow.outcome import EntryInfo

UNDER_WAY = {"retrying", "started", "open", "called", "begun"}


@dataclass
class Node:
    """An operation, or a scope around some."""

    kind: str = ""
    name: str = ""
    ordinal: str | int = 0
    entry: EntryInfo | None = None
    outer: Node | None = field(default=None, repr=False)
    inner: dict[tuple[str | int, ...], Node] = field(
        default_factory=dict[tuple[str | int, ...], "Node"]
    )

    @property
    def children(self) -> list[Node]:
        """What is in it; turns of a loop, and items of a map, in their order."""
        found = list(self.inner.values())
        numbers = [node.ordinal for node in found if isinstance(node.ordinal, int)]
        if self.kind in {"loop", "map"} and len(numbers) == len(found):
            found.sort(key=lambda node: int(node.ordinal))
        return found

    @property
    def turns(self) -> list[Node]:
        """The turns of a loop that are not pruned."""
        return [turn for turn in self.children if turn.entry is not None]

    @property
    def is_pruned(self) -> bool:
        """Whether it is a turn of which only what an undo needs is left."""
        return self.kind == "turn" and self.entry is None

    @property
    def undo(self) -> EntryInfo | None:
        """What took back what it did."""
        undos = (node.entry for node in self.inner.values() if node.kind == "undo")
        return next(undos, None)

    @property
    def winner(self) -> str | None:
        """The branch that won a race."""
        value = None if self.entry is None else self.entry.value
        return value.get("name") if self.kind == "race" and value else None

    @property
    def status(self) -> str:
        """What became of it; empty if nothing says so."""
        if self.kind == "turn":
            return self._status_of_turn()
        if self.entry is not None:
            return self.entry.status
        block = self.outer
        if block is not None and block.winner is not None:
            return self._status_in_race(block.winner)
        if block is None or block.entry is None or block.status == "open":
            found = {node.status for node in self.inner.values()}
            return "open" if found & UNDER_WAY else ""
        return self._status_in_block(block)

    def _status_of_turn(self) -> str:
        loop = self.outer
        last = loop is not None and loop.children[-1] is self
        if loop is None or not last:
            return "completed"
        return loop.status if loop.status != "open" else "begun"

    def _status_in_race(self, winner: str) -> str:
        if self.name == winner:
            return "completed"
        return "failed" if self._last.status == "failed" else "cancelled"

    @property
    def _last(self) -> Node:
        """What was done last in it; a scope ends like what it ends with."""
        last = self
        while last.inner and (last is self or last.kind == "scope"):
            last = next(reversed(last.inner.values()))
        return last

    def _status_in_block(self, block: Node) -> str:
        """Tell what became of a branch of a join, or an item of a map, that is over."""
        given = block.status == "completed"
        if given and (block.kind != "map" or self._gave_something(block)):
            return "completed"
        last = self._last.status
        if last == "cancelled" or last in UNDER_WAY:
            return "cancelled"
        return "failed" if last == "failed" else "completed" if given else ""

    def _gave_something(self, block: Node) -> bool:
        """Tell whether a map has a result in the place of this item."""
        values: object = None if block.entry is None else block.entry.value
        if not (isinstance(values, list) and isinstance(self.ordinal, int)):
            return False
        results = cast("list[object]", values)
        return self.ordinal < len(results) and results[self.ordinal] is not None


def tree_of(entries: Iterable[EntryInfo]) -> Node:
    """Put entries under the scopes that their paths name, in journal order."""
    root = Node()
    for entry in entries:
        node = root
        for segment in entry.path:
            kind, name, ordinal = segment
            fresh = Node(str(kind), str(name), ordinal, outer=node)
            node = node.inner.setdefault(tuple(segment), fresh)
        node.entry = entry
    return root
