"""bool, int, float and str; Literal and Enum."""

from __future__ import annotations

from enum import Enum, Flag
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from edgeflow.errors import DefinitionError
from edgeflow.values.codec import Codec
from edgeflow.values.fault import Fault, kind, mismatch
from edgeflow.values.forms import KINDS, Anything, NoneType, Values, Whole, key_of
from edgeflow.values.plain import (
    encode_any,
    encode_float,
    encode_int,
    encode_same,
    encode_str,
    refuse_as,
)
from edgeflow.values.wire import WORD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from edgeflow.values.codec import Decode, Encode, Unchanged
    from edgeflow.values.wire import Json

T = TypeVar("T")


def _exactly(name: str, cls: type) -> Decode:
    def decode(value: Json) -> Json:
        if type(value) is cls:
            return value
        raise mismatch(name, value)

    return decode


def _only(name: str, cls: type) -> Encode:
    def encode(value: Json, depth: int) -> Json:
        if type(value) is cls:
            return encode_same(value, depth)
        raise mismatch(name, value)

    return encode


def _encode_int(value: object, depth: int) -> int:
    if type(value) is int and value.bit_length() < WORD:
        return value
    if isinstance(value, int) and type(value) is not bool:
        return encode_int(int.__int__(value), depth)
    raise mismatch("int", value)


def _encode_float(value: object, depth: int) -> float:
    if type(value) is float:
        return encode_float(value, depth)
    if isinstance(value, float):
        return encode_float(float.__float__(value), depth)
    if isinstance(value, int) and type(value) is not bool:
        number = encode_int(int.__int__(value), depth)
        if float(number) == number:
            return float(number)
        raise Fault(
            f"the int has {number.bit_length()} bits, more than a float holds exactly; "
            "annotate int | float, or make it a float"
        )
    raise mismatch("float", value)


def _decode_float(value: Json) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise mismatch("float", value)


def _encode_str(value: object, depth: int) -> str:
    if type(value) is str:
        return value if value.isascii() else encode_str(value, depth)
    if isinstance(value, str):
        return encode_str(str.__str__(value), depth)
    raise mismatch("str", value)


def _never(value: Json) -> Json:
    raise mismatch("no value at all", value)


def _unchanged_ints(values: Collection[Any]) -> bool:
    for value in values:  # a loop is quicker than a generator
        if type(value) is not int or value.bit_length() >= WORD:
            return False
    return True


def _unchanged_floats(values: Collection[Any]) -> bool:
    for value in values:
        if type(value) is not float or not isfinite(value):
            return False
    return True


def _unchanged_strs(values: Collection[Any]) -> bool:
    for value in values:  # noqa: SIM110  as above
        if type(value) is not str or not value.isascii():
            return False
    return True


_UNCHANGED: dict[type, Unchanged] = {
    int: _unchanged_ints,
    float: _unchanged_floats,
    str: _unchanged_strs,
}


def _scalar(cls: type, encode: Encode, decode: Decode, also: type | None) -> Codec:
    return Codec(
        name=cls.__name__ if cls is not NoneType else "None",
        encode=encode,
        decode=decode,
        form=Whole(cls),
        types=(cls,),
        also=(also,) if also else (),
        plain=True,
        same=frozenset({cls}),
        unchanged=_UNCHANGED.get(cls),
    )


ANY = Codec(
    name="Any",
    encode=encode_any,
    decode=lambda value: value,
    form=Anything(),
    plain=True,
    same=frozenset(KINDS),
)
NEVER = Codec("no value at all", refuse_as("no value at all"), _never, Whole(None))
NONE = _scalar(NoneType, _only("None", NoneType), _exactly("None", NoneType), None)
BOOL = _scalar(bool, _only("bool", bool), _exactly("bool", bool), None)
INT = _scalar(int, _encode_int, _exactly("int", int), None)
FLOAT = _scalar(float, _encode_float, _decode_float, int)
STR = _scalar(str, _encode_str, _exactly("str", str), None)


def literal(name: str, options: Iterable[object]) -> Codec:
    """Return the codec of some values: scalars, bytes or members of enums.

    Raises:
        DefinitionError: if two of them have the same JSON.
    """
    options = tuple(options)
    by_key = _by_key(name, options, lambda option: option)
    exact = {(type(option), option): option for option in options}

    def encode(value: object, depth: int) -> Json:
        try:
            option = exact[type(value), value]
        except (KeyError, TypeError):
            raise mismatch(name, value) from None
        return encode_any(option, depth)

    return Codec(
        name=name,
        encode=encode,
        decode=_from_key(name, by_key),
        form=_values(options),
        types=tuple({type(option) for option in options}),
        plain=all(type(o) in {NoneType, bool, int, str} for o in options),
    )


def is_enum(cls: type) -> TypeGuard[type[Enum]]:
    """Say whether the class is an enum."""
    return issubclass(cls, Enum)


def enum(cls: type[Enum]) -> Codec:
    """Return the codec of an enum, by the values of its members.

    Raises:
        DefinitionError: if a value has no JSON, or two have the same.
    """
    name = cls.__qualname__

    def encode(value: object, depth: int) -> Json:
        if type(value) is cls:
            return encode_any(value.value, depth)
        raise mismatch(name, value)

    if issubclass(cls, Flag):
        return Codec(name, encode, _flags(cls), Whole(int), types=(cls,))
    by_key = _by_key(name, tuple(cls), lambda member: member.value)
    form = _values(tuple(cls))
    return Codec(name, encode, _from_key(name, by_key), form, types=(cls,))


def _flags(cls: type[Flag]) -> Decode:
    def decode(value: Json) -> Flag:
        if type(value) is not int:
            raise mismatch(cls.__qualname__, value)
        try:
            return cls(value)
        except ValueError as error:
            raise Fault(str(error)) from error

    return decode


def _values(options: tuple[object, ...]) -> Values:
    encoded = [encode_any(option, 0) for option in options]
    return Values({key_of(value): value for value in encoded})


def _by_key(
    name: str, options: tuple[T, ...], value_of: Callable[[T], object]
) -> dict[object, T]:
    found: dict[object, T] = {}
    for option in options:
        try:
            key = key_of(encode_any(value_of(option), 0))
        except Fault as fault:
            raise DefinitionError(f"{name}: {option!r}: {fault.why}") from fault
        if key in found:
            raise DefinitionError(
                f"{name}: {found[key]!r} and {option!r} have the same JSON form"
            )
        found[key] = option
    return found


def _from_key(name: str, by_key: dict[object, T]) -> Decode:
    def decode(value: Json) -> T:
        key = value if type(value) is str else key_of(value)
        try:
            return by_key[key]
        except KeyError:
            shown = f"{value!r:.40}" if isinstance(value, str | int) else kind(value)
            raise Fault(f"{shown} is no value of {name}") from None

    return decode
