"""The entries of a journal as a tree of scopes, one line each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeflow.cli._console import fit
from edgeflow.cli._text import brief, cells, clean, cut, pad
from edgeflow.cli._times import ahead, moment, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgeflow.cli._console import Output
    from edgeflow.outcome import EntryInfo

VALUE = 60
"""Columns for a value where there is no terminal to fill."""
LABEL = 44
"""Columns for a name with what stands before it, at most."""
LINES = ("│  ", "├─ ", "└─ ", "   ")
PLAIN_LINES = ("|  ", "|- ", "`- ", "   ")

UNSPOKEN = {"step"}
"""Kinds that need no mention: most entries are steps."""


@dataclass
class Node:
    """An operation, or a scope around some."""

    kind: str = ""
    name: str = ""
    ordinal: str | int = 0
    entry: EntryInfo | None = None
    inner: dict[tuple[str | int, ...], Node] = field(
        default_factory=dict[tuple[str | int, ...], "Node"]
    )


def tree_of(entries: Iterable[EntryInfo]) -> Node:
    """Put entries under the scopes that their paths name, in journal order."""
    root = Node()
    for entry in entries:
        node = root
        for segment in entry.path:
            kind, name, ordinal = segment
            node = node.inner.setdefault(
                tuple(segment), Node(str(kind), str(name), ordinal)
            )
        node.entry = entry
    return root


@dataclass(frozen=True)
class Row:
    """One line of the tree, before the widths are known."""

    branch: str
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
        children = list(node.inner.values())
        repeated = {(c.kind, c.name) for c in children if c.ordinal != 0}
        for child in children:
            final = child is children[-1]
            branch = "" if top else indent + (last if final else fork)
            label = clean(child.name)
            if (child.kind, child.name) in repeated:
                label += f"[{clean(str(child.ordinal))}]"
            yield Row(branch, child, label)
            deeper = "" if top else indent + (none if final else along)
            yield from self._rows(child, deeper)

    def _write(self, row: Row) -> None:
        output, entry = self._output, row.node.entry
        sign = " " if entry is None else output.sign(entry.status)
        label = cut(row.label, max(self._width - 2 - cells(row.branch), 8))
        parts = [(row.branch, "dim"), (" ", "")]
        used = cells(row.branch) + 1
        name = pad(label, self._width - used - 1)
        style = "bold" if entry is None else ""
        front = fit(output, parts[:1]) + sign + " " + output.paint(name, style)
        rest = self._facts(row.node)
        left = output.width - 1 - self._width - 1
        output.line(self._joined(front, rest, left))
        if entry is not None and entry.error is not None:
            why = clean(f"{entry.error.type}: {entry.error.message}")
            under = " " * (cells(row.branch) + 2)
            room = output.width - 1 - cells(under)
            output.line(under + output.paint(cut(why, room), "red"))

    def _joined(self, front: str, facts: list[tuple[str, str]], left: int) -> str:
        line = front
        for text, style in facts:
            shown = cut(text, left - 2)
            left -= cells(shown) + 2
            if left < 0 or not shown:
                break
            line += "  " + self._output.paint(shown, style)
        return line.rstrip()

    def _facts(self, node: Node) -> list[tuple[str, str]]:
        entry = node.entry
        if entry is None:
            return [(node.kind, "dim")]
        facts: list[tuple[str, str]] = []
        if entry.took is not None:
            facts.append((f"{span(entry.took):>7}", "dim"))
        if entry.kind not in UNSPOKEN and entry.kind != entry.name:
            facts.append((entry.kind, "dim"))
        if entry.attempts > 1 or entry.status in {"retrying", "failed"}:
            plural = "" if entry.attempts == 1 else "s"
            facts.append((f"{entry.attempts} attempt{plural}", "yellow"))
        if entry.retry_at is not None and entry.status == "retrying":
            when = ahead(entry.retry_at, self._now)
            clock = moment(entry.retry_at, self._now)
            facts.append((f"retry {when} ({clock})", "yellow"))
        if entry.status in {"started", "cancelled"}:
            facts.append((entry.status, self._output.colour_of(entry.status)))
        if entry.value is not None:
            facts.append((brief(_shown(entry), self._room()), ""))
        return facts

    def _room(self) -> int:
        return self._output.width if self._output.tty else VALUE


def _shown(entry: EntryInfo) -> object:
    """Give what of a value a person wants: of messages their names and bodies."""
    if entry.kind not in {"receive", "receive_many"}:
        return entry.value
    messages: list[dict[str, object]] = entry.value or []
    return [{str(message["name"]): message["body"]} for message in messages]
