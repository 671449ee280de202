"""Times and durations in words; they are s since the epoch, and seconds."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
CHILD = "~child/"
"""How the names begin of the messages by which children tell their end."""
SHORT = 10.0
"""Seconds below which fractions matter."""


def span(seconds: float, *, whole: bool = False) -> str:
    """Write a duration in at most two units: 120 ms, 1.2 s, 5 min 3 s, 2 d 4 h.

    With `whole` no part of a second is mentioned.
    """
    if whole:
        return _long(int(seconds))
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < SHORT:
        return f"{seconds:.1f} s"
    return _long(seconds)


def _long(seconds: float) -> str:
    for (size, unit), (part, small) in pairwise(UNITS):
        whole = round(seconds / part) * part
        if whole >= size:
            count, left = divmod(whole, size)
            rest = f" {left // part} {small}" if left else ""
            return f"{count} {unit}{rest}"
    return f"{seconds:.0f} s"


def ago(then: float, now: float) -> str:
    """Say how long ago something was."""
    passed = now - then
    return "now" if passed < 1 else f"{span(passed, whole=True)} ago"


def ahead(then: float, now: float) -> str:
    """Say when something will be, or how long it is overdue."""
    return f"in {span(then - now)}" if then > now else f"due {ago(then, now)}"


def moment(when: float, now: float) -> str:
    """Write a time on the clock of this place, with the date if it is another day."""
    try:
        there, here = datetime.fromtimestamp(when), datetime.fromtimestamp(now)  # noqa: DTZ006
    except (OverflowError, ValueError, OSError):
        return "at no time that a calendar knows"
    if there.date() == here.date():
        return f"{there:%H:%M:%S}"
    return f"{there:%Y-%m-%d %H:%M:%S}"


def _awaited(names: Sequence[str]) -> str:
    messages = [name for name in names if not name.startswith(CHILD)]
    children = [name.removeprefix(CHILD) for name in names if name.startswith(CHILD)]
    words = [f"message {' or '.join(messages)}"] if messages else []
    return " or ".join(words + [f"child {child}" for child in children])


def waiting(
    wake_at: float | None, awaiting: Sequence[str], now: float, *, clock: bool = True
) -> str:
    """Say what a suspended instance waits for, and until when."""
    parts: list[str] = []
    if awaiting:
        parts.append(_awaited(awaiting))
    if wake_at is not None:
        shown = f" ({moment(wake_at, now)})" if clock and wake_at > now else ""
        verb = ("or " if awaiting else "") + ("wakes " if wake_at > now else "")
        parts.append(f"{verb}{ahead(wake_at, now)}{shown}")
    return ", ".join(parts) or "due now"
