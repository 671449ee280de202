"""Text for a terminal: one line, of a known width, that commands nothing."""

from __future__ import annotations

import json
import unicodedata


def clean(text: str) -> str:
    """Make text one line in which nothing is invisible or obeyed by a terminal."""
    if text.isprintable():
        return text
    lines = (line.strip() for line in text.splitlines())
    line = " ".join(filter(None, lines)).replace("\t", " ")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def cells(text: str) -> int:
    """Count the columns that text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Shorten text to `width` columns; what was cut off shows as an ellipsis."""
    if cells(text) <= width:
        return text
    taken, kept = 1, ""
    for character in text:
        taken += _cells_of(character)
        if taken > width:
            break
        kept += character
    return f"{kept}…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """Fill text up to `width` columns."""
    return text + " " * (width - cells(text))


def brief(value: object, width: int) -> str:
    """Write plain JSON in at most `width` columns."""
    return cut(clean(to_json(value)), max(width, 1))


def to_json(value: object, *, ascii_only: bool = False) -> str:
    """Write plain JSON on one line."""
    return json.dumps(value, ensure_ascii=ascii_only)
