"""Encoding without an annotation: by the type that the value has."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from edgeflow.values.fault import MAX_DEPTH, Fault, formless, kind, mismatch, too_deep
from edgeflow.values.fields import fields_of, has_fields
from edgeflow.values.foreign import library_of
from edgeflow.values.lazy import text_kind
from edgeflow.values.wire import MAX_INT, MIN_INT, WORD, sort_set

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


def encode_list(value: Collection[Any], depth: int) -> list[Json]:
    """Return a list of encoded items, in their order."""
    if depth >= MAX_DEPTH:
        raise too_deep()
    depth += 1
    items: list[Json] = []
    try:
        for item in value:
            cls = type(item)  # pyright: ignore[reportUnknownVariableType]  the usual scalars are worth no call
            if (
                (cls is str and item.isascii())
                or (cls is int and item.bit_length() < WORD)
                or (cls is float and isfinite(item))
                or (cls is bool or item is None)
            ):
                items.append(item)
            else:
                items.append(_ENCODERS[cls](item, depth))
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


def encode_key(key: object) -> str:
    """Return a key that is a str. Raises: Fault."""
    if isinstance(key, str):
        return encode_str(str.__str__(key), 0)
    raise Fault(
        f"a dict with a key of type {kind(key)} needs an annotation, such as "
        "dict[int, str]; without one keys are str"
    )


def _encode_key_there(key: object) -> str:
    """Return a key, and tell where it is if it has no form."""
    try:
        return encode_key(key)
    except Fault as fault:
        if isinstance(key, str):
            fault.at(str.__str__(key))
        raise


def encode_dict(
    value: Mapping[Any, Any],
    depth: int,
    write: Callable[[Any], str] = _encode_key_there,
) -> dict[str, Json]:
    """Return an object in the same order; `write` makes its keys, if not simple."""
    if depth >= MAX_DEPTH:
        raise too_deep()
    depth += 1
    result: dict[str, Json] = {}
    name: str | None = None
    try:
        for key, item in value.items():
            if type(key) is str and key.isascii():
                name = key
            else:
                name = None
                name = write(key)
            cls = type(item)  # pyright: ignore[reportUnknownVariableType]  as in encode_list
            if (
                (cls is str and item.isascii())
                or (cls is int and item.bit_length() < WORD)
                or (cls is float and isfinite(item))
                or (cls is bool or item is None)
            ):
                result[name] = item
            else:
                result[name] = _ENCODERS[cls](item, depth)
    except Fault as fault:
        if name is not None:
            fault.at(name)
        raise
    if len(result) != len(value):
        raise same_keys()
    return result


def same_keys() -> Fault:
    """Say that two keys of a dict have become one."""
    return Fault("two of its keys have the same JSON form; make them differ as text")


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
