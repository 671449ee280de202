"""Drawing the tree of a journal: one line for each entry, and each scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeflow.cli._console import fit
from edgeflow.cli._facts import facts_of
from edgeflow.cli._text import cells, clean, cut, pad

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgeflow.cli._console import Output
    from edgeflow.cli._nodes import Node

VALUE = 60
"""Columns for a value where there is no terminal to fill."""
LABEL = 44
"""Columns for a name with what stands before it, at most."""
LINES = ("│  ", "├─ ", "└─ ", "   ")
PLAIN_LINES = ("|  ", "|- ", "`- ", "   ")

COUNTED = {"turn", "item"}
"""Kinds whose number is what tells them apart."""


@dataclass(frozen=True)
class Row:
    """One line of the tree, before the widths are known."""

    branch: str
    below: str
    """What stands before the lines under it."""
    node: Node
    label: str


class TreeWriter:
    """Writes a tree on an output."""

    def __init__(self, output: Output, now: float) -> None:
        """Write to `output`; times are relative to `now`."""
        self._output = output
        self._now = now
        self._lines = LINES if output.unicode else PLAIN_LINES
        self._width = 0

    def write(self, root: Node) -> None:
        """Write all that is in `root`."""
        rows = list(self._rows(root, "", top=True))
        widths = (cells(row.branch + row.label) + 2 for row in rows)
        self._width = min(max(widths, default=0), LABEL)
        for row in rows:
            self._write(row)

    def _rows(self, node: Node, indent: str, *, top: bool = False) -> Iterator[Row]:
        along, fork, last, none = self._lines
        children = node.children
        repeated = {(c.kind, c.name) for c in children if c.ordinal != 0}
        for child in children:
            final = child is children[-1]
            branch = "" if top else indent + (last if final else fork)
            label = clean(child.name)
            if child.kind in COUNTED or (child.kind, child.name) in repeated:
                label += f"[{clean(str(child.ordinal))}]"
            deeper = "" if top else indent + (none if final else along)
            yield Row(branch, deeper, child, label)
            yield from self._rows(child, deeper)

    def _write(self, row: Row) -> None:
        output, entry = self._output, row.node.entry
        sign = output.sign(row.node.status) if row.node.status else " "
        label = cut(row.label, max(self._width - 2 - cells(row.branch), 8))
        parts = [(row.branch, "dim"), (" ", "")]
        used = cells(row.branch) + 1
        name = pad(label, self._width - used - 1)
        style = "bold" if entry is None else ""
        front = fit(output, parts[:1]) + sign + " " + output.paint(name, style)
        rest = facts_of(row.node, self._now, self._room())
        left = output.width - 1 - self._width - 1
        output.line(self._joined(front, rest, left))
        if entry is not None and entry.error is not None:
            why = clean(f"{entry.error.type}: {entry.error.message}")
            under = f"{row.below}  "
            room = output.width - 1 - cells(under)
            shown = output.paint(cut(why, room), "red")
            output.line(output.paint(under, "dim") + shown)

    def _joined(self, front: str, facts: Iterable[tuple[str, str]], left: int) -> str:
        line = front
        for text, style in facts:
            shown = cut(text, left - 2)
            left -= cells(shown) + 2
            if left < 0 or not shown:
                break
            line += "  " + self._output.paint(shown, style)
        return line.rstrip()

    def _room(self) -> int:
        return self._output.width if self._output.tty else VALUE
