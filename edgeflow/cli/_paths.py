"""Paths on a command line: as `show` draws them, or as JSON has them."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias, cast

from edgeflow.cli._errors import UsageError
from edgeflow.cli._text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgeflow.outcome import EntryInfo

Segment: TypeAlias = tuple[str, str, str | int]
Path: TypeAlias = tuple[Segment, ...]

NEAR = 4
"""Paths that an error names."""


def find_path(text: str, entries: Iterable[EntryInfo], instance: str) -> Path:
    """Find what a person calls `turn[2] > charge[0]` in a history.

    Scopes around it need not be named, nor numbers, as long as it is clear. A turn
    that was pruned counts as there.

    Raises:
        UsageError: if there is no such path, or more than one; names some.
    """
    known = list(dict.fromkeys(_paths(entries)))
    if text.lstrip().startswith("["):
        found = _from_json(text)
        if found in known or _is_pruned(found, known):
            return found
        raise _unknown(text, instance, known)
    words = [word.strip() for word in text.split(">")]
    if not all(words):
        raise UsageError(f"{text!r} is no path: write charge[0], or turn[2] > charge")
    for matches in (_whole(words, known), _ends(words, known)):
        if len(matches) > 1:
            raise _ambiguous(text, matches)
        if matches:
            return matches[0]
    pruned = list(_pruned(words, known))
    if len(pruned) > 1:
        raise _ambiguous(text, pruned)
    if not pruned:
        raise _unknown(text, instance, known)
    return pruned[0]


def within_reach(path: Path, entries: Iterable[EntryInfo]) -> Path:
    """Cut a path at a turn that is pruned: its loop runs again from the start."""
    recorded = {path_of(entry) for entry in entries}
    for at, (kind, _, _) in enumerate(path):
        if kind == "turn" and path[: at + 1] not in recorded:
            return path[:at]
    return path


def shown(path: Path) -> str:
    """Write a path as a command takes it: the first of a name has its number too."""
    return " > ".join(clean(label(name, number)) for _, name, number in path)


def label(name: str, number: str | int) -> str:
    """Name a segment of a path."""
    return f"{name}[{number}]"


def path_of(entry: EntryInfo) -> Path:
    """Give the path of an entry in a form that can be compared."""
    return tuple((str(kind), str(name), number) for kind, name, number in entry.path)


def _paths(entries: Iterable[EntryInfo]) -> Iterator[Path]:
    """Give the paths of all entries and of the scopes around them."""
    for entry in entries:
        path = path_of(entry)
        yield from (path[:end] for end in range(1, len(path) + 1))


def _from_json(text: str) -> Path:
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the path is no JSON: {error}") from error
    path = tuple(map(_segment, cast("list[object]", found)))
    if not path or None in path:
        raise UsageError(
            "a path in JSON is a list of [kind, name, number]: "
            '[["loop", "orders", 0], ["turn", "turn", 2]]'
        )
    return tuple(filter(None, path))


def _segment(value: object) -> Segment | None:
    parts = cast("list[object]", value) if isinstance(value, list) else []
    kinds = tuple(type(part) for part in parts)
    if kinds not in {(str, str, int), (str, str, str)}:
        return None
    return cast("Segment", tuple(parts))


# --- what a path of words means -----------------------------------------------------


def _fits(word: str, segment: Segment) -> bool:
    _, name, number = segment
    known = name, clean(name), label(name, number), clean(label(name, number))
    return word in known


def _whole(words: Sequence[str], known: Sequence[Path]) -> list[Path]:
    same = (path for path in known if len(path) == len(words))
    return [path for path in same if all(map(_fits, words, path))]


def _ends(words: Sequence[str], known: Sequence[Path]) -> list[Path]:
    return [path for path in known if _ends_with(words, path)]


def _ends_with(words: Sequence[str], path: Path) -> bool:
    size = len(words)
    return size <= len(path) and all(map(_fits, words, path[len(path) - size :]))


def _pruned(words: Sequence[str], known: Sequence[Path]) -> Iterator[Path]:
    """Give the turns that words may mean though they are not there any more."""
    for at, word in enumerate(words):
        number = re.fullmatch(r"turn\[(\d+)\]", word)
        if number is None:
            continue
        for loop in known:
            turn = (*loop, ("turn", "turn", int(number[1])))
            if _ends_with(words[:at], loop) and _is_pruned(turn, known):
                yield turn
        return


def _is_pruned(path: Path, known: Sequence[Path]) -> bool:
    """Tell whether a path lies in a turn before those that are left of its loop."""
    for at, (kind, _, number) in enumerate(path):
        if kind != "turn" or path[: at + 1] in known:
            continue
        size = at + 1
        turns = [p[at][2] for p in known if len(p) == size and p[:at] == path[:at]]
        return any(_is_later(turn, number) for turn in turns)
    return False


def _is_later(turn: str | int, than: str | int) -> bool:
    return isinstance(turn, int) and isinstance(than, int) and turn > than >= 0


# --- errors -----------------------------------------------------------------------


def _ambiguous(text: str, matches: Sequence[Path]) -> UsageError:
    names = [shown(path) for path in matches]
    return UsageError(f"{text!r} may be {_some(names, ' or ')}: say which")


def _unknown(text: str, instance: str, known: Sequence[Path]) -> UsageError:
    names = [shown(path) for path in known]
    near = get_close_matches(text, names, NEAR, 0.3) or names
    there = f"it has {_some(near, ', ')}" if near else "it is empty"
    return UsageError(f"the history of {instance!r} has no {text!r}; {there}")


def _some(names: Sequence[str], joint: str) -> str:
    listed = joint.join(map(repr, names[:NEAR]))
    left = len(names) - NEAR
    return f"{listed}{joint}{left} more" if left > 0 else listed
