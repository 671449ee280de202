"""Plain JSON values and their bytes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.errors import Undecodable, Unencodable

if TYPE_CHECKING:
    from collections.abc import Callable

    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
else:
    Json = Any  # whoever annotates with it gets the plain value

MIN_INT = -(2**63)
MAX_INT = 2**64 - 1
WORD = 64
"""An int whose `bit_length` is below this is between the two."""


def dumps(value: Json) -> bytes:
    """Return compact JSON for a plain value, such as `Converter.encode` gives.

    Raises:
        Unencodable: if the value is not plain JSON.
    """
    try:
        # Copied: orjson keeps a buffer of 4 KiB for each of its results.
        write, _, newline = _found or _find()
        data: bytes = write(value, None, newline)[:-1]
    except (TypeError, ValueError, RecursionError) as error:
        raise Unencodable("$", f"this is not plain JSON: {error}") from error
    return data


def loads(data: bytes) -> Json:
    """Return the plain value that the bytes stand for.

    Raises:
        Undecodable: if they are not JSON in UTF-8.
    """
    try:
        value: Json = (_found or _find())[1](data)
    except (ValueError, RecursionError) as error:
        raise Undecodable("$", f"these bytes are not JSON: {error}") from error
    return value


def sort_set(items: list[Json]) -> list[Json]:
    """Put the encoded items of a set into the order that every process gives them."""
    if set(map(type, items)) in ({str}, {int}):
        own_order: list[Any] = items
        return sorted(own_order)  # it is the cheaper one
    return sorted(items, key=dumps)


_Library: TypeAlias = "tuple[Callable[..., bytes], Callable[[bytes], Json], int]"
_found: list[Any] = []
"""Those two, once they are needed."""


def _find() -> list[Any]:
    _found[:] = find_library()
    return _found


def find_library() -> _Library:
    """Return `dumps` and `loads` of orjson, or of the standard library without it."""
    try:
        library: Any = importlib.import_module("orjson")
    except ImportError:
        library = importlib.import_module("edgeflow.values.stdjson")
    return library.dumps, library.loads, library.OPT_APPEND_NEWLINE
