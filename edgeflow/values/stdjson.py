"""The standard library's json, held to orjson's contract."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NoReturn

from edgeflow.values.wire import MAX_INT, MIN_INT

if TYPE_CHECKING:
    from edgeflow.values.wire import Json


OPT_APPEND_NEWLINE = 1024


def dumps(value: Json, _default: None = None, option: int = 0) -> bytes:
    """Return compact JSON. Raises: TypeError, ValueError."""
    return (_write(value) + ("\n" if option else "")).encode()


def loads(data: bytes) -> Json:
    """Return the plain value. Raises: ValueError."""
    value: Json = _read(data.decode())
    if b"\\u" in data:
        dumps(value)  # a lone surrogate is an error, as in orjson
    return value


def _int(text: str) -> int | float:
    if len(text) > 20:  # noqa: PLR2004  digits of 2**64
        return _float(text)
    number = int(text)
    return number if MIN_INT <= number <= MAX_INT else float(number)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is infinity as a double")
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_write = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode
_read = json.JSONDecoder(
    parse_int=_int, parse_float=_float, parse_constant=_constant
).decode
