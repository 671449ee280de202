"""Kinds of settings: what is allowed, read from a file, a variable or an argument."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from edgeflow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

# Compiled for who needs them: that is as dear as the import of a module.
DURATION = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?(ms|s|m|h|d)?"
SIZE = r"([0-9]{1,18}) ?(B|KiB|MiB|GiB)?"
SECRETS = r"[!-~]+"
PATHS = r"(/[A-Za-z0-9_.~-]+)+"
SECONDS_IN = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
BYTES_IN = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True, slots=True)
class Kind:
    """What the values of a setting have in common."""

    allowed: str
    """What is allowed, in words that end a sentence."""
    read: Callable[[Any], Any]
    """Makes the value of a TOML value, an argument, or the text of a variable.

    Raises:
        ValueError: if it is not allowed.
    """
    show: Callable[[Any], str] = str
    """Makes a text of the value, which `read` would take."""


def _text(value: object) -> str:
    if not (isinstance(value, str) and value.strip()):
        raise ValueError(value)
    return value


def _secret(value: object) -> str:
    """Take what a header can carry; files of secrets end with a newline."""
    text = _text(value).strip()
    if not re.fullmatch(SECRETS, text):
        raise ValueError(value)
    return text


def _store(value: object) -> object:
    """Take a store itself too: an argument may be one."""
    return value if hasattr(value, "commit") else _text(value)


def _path(value: object) -> str:
    if not (isinstance(value, str) and re.fullmatch(PATHS, value)):
        raise ValueError(value)
    return value


def _flag(value: object) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    if not isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004  what `read` promises
    return value


def _seconds(value: object, *, above_0: bool = False) -> float:
    if isinstance(value, str):
        found = re.fullmatch(DURATION, value.strip())
        if found is None:
            raise ValueError(value)
        number = float(found[1]) * SECONDS_IN[found[2] or "s"]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = _float(value)
    else:
        number = _of_timedelta(value)
    if not math.isfinite(number) or number < 0 or (above_0 and not number):
        raise ValueError(value)
    return number


def _of_timedelta(value: object) -> float:
    from datetime import timedelta  # noqa: PLC0415  seldom needed

    if not isinstance(value, timedelta):
        raise ValueError(value)  # noqa: TRY004  what `read` promises
    return value.total_seconds()


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int of hundreds of digits
        return math.inf


def _whole(value: object, *, least: int) -> int:
    if isinstance(value, str):
        value = _sized(value, {"": 1})
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(value)
    return value


def _bytes(value: object) -> int:
    return _whole(_sized(value, BYTES_IN) if isinstance(value, str) else value, least=0)


def _sized(text: str, units: dict[str, int]) -> int:
    found = re.fullmatch(SIZE, text.strip())
    unit = "" if found is None else found[2] or ""
    if found is None or (unit and unit not in units):
        raise ValueError(text)
    return int(found[1]) * units.get(unit, 1)


def _one_of(value: object, *, values: tuple[str, ...]) -> str:
    if not (isinstance(value, str) and value in values):
        raise ValueError(value)
    return value


def _show_seconds(value: float) -> str:
    if value >= SECONDS_IN["d"] and not value % SECONDS_IN["d"]:
        return f"{value / SECONDS_IN['d']:.0f}d"
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s"


def _show_bytes(value: int) -> str:
    fitting = (unit for unit in reversed(BYTES_IN) if not value % BYTES_IN[unit])
    unit = next(fitting) if value else "B"
    return f"{value // BYTES_IN[unit]}{unit}"


def _show_flag(value: bool) -> str:  # noqa: FBT001  it is what is shown
    return "true" if value else "false"


SECRET = Kind("visible characters of ASCII, without blanks", _secret)
TEXT = Kind("a text that is not empty", _text)
STORE = Kind("the URL of a store, like sqlite:///edgeflow.db or memory:", _store)
PATH = Kind("a path like /edgeflow: it begins with / and does not end with it", _path)
FLAG = Kind("true or false", _flag, _show_flag)
SECONDS = Kind(
    'seconds, 0 or more: a number, or a text like "500ms", "8s", "5m", "2h" or "30d"',
    _seconds,
    _show_seconds,
)
POSITIVE_SECONDS = Kind(
    'seconds, above 0: a number, or a text like "500ms", "8s", "5m", "2h" or "30d"',
    partial(_seconds, above_0=True),
    _show_seconds,
)
BYTES = Kind(
    'bytes: a whole number, or a text like "256KiB", "1MiB" or "1GiB"',
    _bytes,
    _show_bytes,
)
NUMBER = Kind("a whole number, 0 or more", partial(_whole, least=0))
COUNT = Kind("a whole number, 1 or more", partial(_whole, least=1))


def choice(*values: str) -> Kind:
    """Allow just these texts."""
    return Kind(f"one of {', '.join(values)}", partial(_one_of, values=values))
