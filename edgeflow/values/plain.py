"""Encoding without an annotation: by the type that the value has."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

from edgeflow.values.fault import MAX_DEPTH, Fault, formless, kind, mismatch, too_deep
from edgeflow.values.fields import fields_of, has_fields
from edgeflow.values.foreign import library_of
from edgeflow.values.lazy import text_kind
from edgeflow.values.wire import MAX_INT, MIN_INT, sort_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from edgeflow.values.codec import Encode
    from edgeflow.values.wire import Json


def encode_any(value: object, depth: int) -> Json:
    """Return a fresh plain value for whatever has one. Raises: Fault."""
    return _ENCODERS[type(value)](value, depth)


def encode_same(value: Json, depth: int) -> Json:
    """Return None, True and False as they are."""
    del depth
    return value


def encode_int(value: int, depth: int) -> int:
    """Return the int if every reader of JSON gets it exactly."""
    del depth
    if MIN_INT <= value <= MAX_INT:
        return value
    raise Fault(
        f"an int of {value.bit_length()} bits is outside -2**63 … 2**64-1; "
        "use Decimal or str"
    )


def encode_float(value: float, depth: int) -> float:
    """Return the float if JSON has it."""
    del depth
    if isfinite(value):
        return value
    name = "NaN" if value != value else str(value)  # noqa: PLR0124  NaN is what differs from itself
    raise Fault(f"the float {name} has no JSON form; use None, or a str")


def encode_str(value: str, depth: int) -> str:
    """Return the str if UTF-8 has it."""
    del depth
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Fault(
                f"a str with a lone surrogate (U+{ord(value[error.start]):04X} at "
                f"{error.start}) has no JSON form; decode bytes as they were encoded, "
                "or use bytes"
            ) from None
    return value


def encode_list(value: Collection[object], depth: int) -> list[Json]:
    """Return a list of encoded items, in their order."""
    if depth >= MAX_DEPTH:
        raise too_deep()
    depth += 1
    items: list[Json] = []
    try:
        for item in value:
            items.append(_ENCODERS[type(item)](item, depth))  # noqa: PERF401  the hot path; faults need the index
    except Fault as fault:
        fault.at(len(items))
        raise
    return items


def encode_set(value: Collection[object], depth: int) -> list[Json]:
    """Return a sorted list of encoded items."""
    if depth >= MAX_DEPTH:
        raise too_deep()
    try:
        return sort_set([encode_any(item, depth + 1) for item in value])
    except Fault as fault:
        fault.inside("[*]")
        raise


def encode_dict(value: Mapping[object, object], depth: int) -> dict[str, Json]:
    """Return an object with the same str keys, in their order."""
    if depth >= MAX_DEPTH:
        raise too_deep()
    depth += 1
    result: dict[str, Json] = {}
    key: object = None
    try:
        for key, item in value.items():
            name = key if type(key) is str and key.isascii() else encode_key(key)
            result[name] = _ENCODERS[type(item)](item, depth)
    except Fault as fault:
        if isinstance(key, str):
            fault.at(str.__str__(key))
        raise
    return whole_dict(result, value)


def whole_dict(
    result: dict[str, Json], value: Mapping[object, object]
) -> dict[str, Json]:
    """Return the result if no two keys of the value have become one."""
    if len(result) != len(value):
        raise Fault("two of its keys have the same JSON form; make them differ as text")
    return result


def encode_key(key: object) -> str:
    """Return a key that is a str. Raises: Fault."""
    if isinstance(key, str):
        return encode_str(str.__str__(key), 0)
    raise Fault(
        f"a dict with a key of type {kind(key)} needs an annotation, such as "
        "dict[int, str]; without one keys are str"
    )


def encode_fields(names: tuple[str, ...]) -> Encode:
    """Return the encoder of instances of a class with fields."""

    def encode(value: object, depth: int) -> Json:
        if depth >= MAX_DEPTH:
            raise too_deep()
        result: dict[str, Json] = {}
        for name in names:
            try:
                item: object = getattr(value, name)
            except AttributeError:
                continue
            try:
                result[name] = encode_any(item, depth + 1)
            except Fault as fault:
                fault.at(name)
                raise
        return result

    return encode


_BASES: tuple[tuple[type, Encode], ...] = (
    (Enum, lambda value, depth: encode_any(value.value, depth)),
    (str, lambda value, depth: encode_str(str.__str__(value), depth)),
    (int, lambda value, depth: encode_int(int.__int__(value), depth)),
    (float, lambda value, depth: encode_float(float.__float__(value), depth)),
    (dict, encode_dict),
    (list, encode_list),
    (tuple, encode_list),
    (set, encode_set),
    (frozenset, encode_set),
)


def _find_encode(cls: type) -> Encode:
    """Return the encoder for instances of a class that is not built in."""
    library = library_of(cls)
    if library:
        return lambda value, depth: encode_any(library.dump(value), depth)
    if has_fields(cls):
        return encode_fields(tuple(field.name for field in fields_of(cls)))
    for base, encode in _BASES:
        if issubclass(cls, base):
            return encode
    text = text_kind(cls)
    return text.encode if text else _refuse


_encode_of: Callable[[type], Encode] = lru_cache(maxsize=1024)(_find_encode)


def _refuse(value: object, depth: int) -> Json:
    del depth
    raise formless(value)


def refuse_as(name: str) -> Encode:
    """Return the encoder of what can have no value at all."""

    def encode(value: object, depth: int) -> Json:
        del depth
        raise mismatch(name, value)

    return encode


class _Encoders(dict[type, "Encode"]):
    """Knows the builtin types, and looks at any other class once."""

    def __missing__(self, cls: type) -> Encode:
        return _encode_of(cls)


_ENCODERS = _Encoders(
    {
        type(None): encode_same,
        bool: encode_same,
        int: encode_int,
        float: encode_float,
        str: encode_str,
        list: encode_list,
        tuple: encode_list,
        dict: encode_dict,
        set: encode_set,
        frozenset: encode_set,
    }
)
