"""What is said of an entry on its line of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.cli._text import brief
from edgeflow.cli._times import ahead, moment, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeflow.cli._nodes import Node
    from edgeflow.outcome import EntryInfo

    Fact: TypeAlias = tuple[str, str]
    """A text and its style."""

RECEIVES = {"receive", "receive_many"}
UNSPOKEN = {"step", "branch", "item", "turn"}
"""Kinds that need no mention."""

WORDS = {
    "started": ("started", "cyan"),
    "open": ("under way", "cyan"),
    "begun": ("under way", "cyan"),
    "called": ("waits", "yellow"),
    "cancelled": ("cancelled", "dim"),
}
"""What signs alone do not tell."""


def facts_of(node: Node, now: float, room: int) -> Iterator[Fact]:
    """Say what is known of a node, the values in `room` columns at most."""
    entry = node.entry
    if entry is not None and entry.took is not None:
        yield f"{span(entry.took):>7}", "dim"
    if node.kind not in UNSPOKEN and node.kind != node.name:
        yield node.kind, "dim"
    if entry is not None:
        yield from _attempts(entry, now)
    yield from _course(node)
    if entry is not None:
        value = _shown(node, entry)
        if entry.kind in RECEIVES and not value:
            yield "timed out", "yellow"
        elif value is not None:
            text, is_state = brief(value, room), node.kind == "turn"
            yield (f"state {text}", "dim") if is_state else (text, "")


def _attempts(entry: EntryInfo, now: float) -> Iterator[Fact]:
    if entry.attempts > 1 or (
        entry.attempts and entry.status in {"retrying", "failed"}
    ):
        plural = "" if entry.attempts == 1 else "s"
        yield f"{entry.attempts} attempt{plural}", "yellow"
    if entry.retry_at is not None and entry.status == "retrying":
        when = ahead(entry.retry_at, now)
        yield f"retry {when} ({moment(entry.retry_at, now)})", "yellow"


def _course(node: Node) -> Iterator[Fact]:
    """Say how it went, or goes."""
    race = node.outer.winner if node.outer is not None else None
    if node.kind == "loop":
        yield from _turns(node)
    if node.winner is not None:
        yield f"won by {node.winner}", "green"
    if node.is_pruned:
        yield "pruned, kept for its undo", "dim"
    elif node.kind == "branch" and race is not None and node.status == "cancelled":
        yield "lost", "dim"
    elif node.status in WORDS:
        yield WORDS[node.status]
    undo = node.undo
    if undo is not None:
        words = {"completed": ("undone", "yellow"), "failed": ("not undone", "red")}
        yield words.get(undo.status, ("being undone", "yellow"))
    if node.entry is not None and node.entry.workflow is not None:
        yield node.entry.workflow, ""
        if node.entry.child is not None:
            yield node.entry.child, "dim"


def _turns(loop: Node) -> Iterator[Fact]:
    left = loop.turns
    if not left:
        return
    count, pruned = int(left[-1].ordinal) + 1, int(left[0].ordinal)
    yield f"{count} turn{'' if count == 1 else 's'}", "dim"
    if pruned:
        yield f"{pruned} pruned", "dim"


def _shown(node: Node, entry: EntryInfo) -> Any:
    """Give what of a value a person wants: of messages their names and bodies."""
    if node.winner is not None:
        return entry.value.get("value")
    if entry.kind not in RECEIVES:
        return entry.value
    messages: list[dict[str, object]] = entry.value or []
    return [{str(message["name"]): message["body"]} for message in messages]
