"""Classes with fields, and TypedDicts: objects with known keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.values.codec import Codec
from edgeflow.values.fault import MAX_DEPTH, Fault, mismatch, too_deep
from edgeflow.values.fields import is_namedtuple
from edgeflow.values.forms import Record, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.values.codec import Decode, Encode
    from edgeflow.values.fields import Field
    from edgeflow.values.forms import Form
    from edgeflow.values.wire import Json


_REMEDY = ", which is required; older data need a default for it"


def record(cls: type, fields: Mapping[Field, Codec]) -> Codec:
    """Return the codec of a dataclass, attrs class or NamedTuple."""
    return Codec(
        name=cls.__qualname__,
        encode=_encode_fields(cls, fields),
        decode=_decode_fields(cls, fields),
        form=_form(
            {field.name: codec for field, codec in fields.items()},
            {field.name for field in fields if field.argument},
        ),
        types=(cls,),
        also=(list,) if is_namedtuple(cls) else (),
    )


def _form(codecs: Mapping[str, Codec], required: set[str]) -> Record:
    tags: dict[str, Form] = {
        name: codecs[name].form
        for name in required
        if isinstance(codecs[name].form, Values)
    }
    return Record(frozenset(required), frozenset(codecs), tags)


def _encode_fields(cls: type, fields: Mapping[Field, Codec]) -> Encode:
    name = cls.__qualname__
    always = [(f.name, codec.encode) for f, codec in fields.items() if f.argument]
    maybe = [(f.name, codec.encode) for f, codec in fields.items() if not f.argument]

    def encode(value: object, depth: int) -> Json:
        if type(value) is not cls:
            raise _not_this_class(name, cls, value)
        if depth >= MAX_DEPTH:
            raise too_deep()
        depth += 1
        result: dict[str, Json] = {}
        key = ""
        try:
            for key, write in always:
                result[key] = write(getattr(value, key), depth)
            for key, write in maybe:
                if hasattr(value, key):
                    result[key] = write(getattr(value, key), depth)
        except Fault as fault:
            fault.at(key)
            raise
        except AttributeError as error:
            raise Fault(f"this {name} has no {key}: {error}") from error
        return result

    return encode


def _not_this_class(name: str, cls: type, value: object) -> Fault:
    fault = mismatch(name, value)
    if isinstance(value, cls):
        fault.why += (
            ", a subclass, which would come back without what it adds; "
            f"annotate {name} | {type(value).__qualname__}"
        )
    return fault


def _decode_fields(cls: type, fields: Mapping[Field, Codec]) -> Decode:
    name = cls.__qualname__
    taken = [(f.name, f.argument, c.decode) for f, c in fields.items() if f.argument]
    required = frozenset(field.name for field in fields if field.required)
    later = [(f.name, c.decode) for f, c in fields.items() if not f.argument]
    names = [field.name for field in fields] if is_namedtuple(cls) else []

    def decode(value: Json) -> object:
        if names and isinstance(value, list) and len(value) <= len(names):
            value = dict(zip(names, value, strict=False))
        if type(value) is not dict:
            raise mismatch(name, value)
        arguments: dict[str, Any] = {}
        key = ""
        try:
            for key, argument, read in taken:
                if key in value:
                    arguments[argument] = read(value[key])
        except Fault as fault:
            fault.at(key)
            raise
        if len(arguments) < len(taken) and not value.keys() >= required:
            raise _missing(name, required - value.keys())
        made = _make(cls, arguments)
        if later:
            _set_fields(made, value, later)
        return made

    return decode


def _missing(name: str, keys: frozenset[str], remedy: str = _REMEDY) -> Fault:
    return Fault(f"{name} needs a value for {', '.join(sorted(keys))}{remedy}")


def _make(cls: type, arguments: dict[str, Any]) -> object:
    try:
        return cls(**arguments)
    except Exception as error:  # a constructor of the user's may raise anything
        raise Fault(
            f"{cls.__qualname__} refuses it: {type(error).__name__}: {error}"
        ) from error


def _set_fields(
    made: object, value: Mapping[str, Json], fields: list[tuple[str, Decode]]
) -> None:
    key = ""
    try:
        for key, read in fields:
            if key in value:
                object.__setattr__(made, key, read(value[key]))  # it may be frozen
    except Fault as fault:
        fault.at(key)
        raise


def typed_dict(
    cls: type, codecs: Mapping[str, Codec], required: frozenset[str]
) -> Codec:
    """Return the codec of a TypedDict."""
    name = cls.__qualname__

    def encode(value: dict[str, object], depth: int) -> Json:
        if not isinstance(value, expected):
            raise mismatch(name, value)
        if depth >= MAX_DEPTH:
            raise too_deep()
        if not value.keys() >= required:
            raise _missing(name, required - value.keys(), "")
        result: dict[str, Json] = _each_known(
            value, codecs, lambda codec, item: codec.encode(item, depth + 1)
        )
        if len(result) != len(value):
            raise _undeclared(name, value.keys() - result.keys())
        return result

    def decode(value: Json) -> dict[str, Any]:
        if type(value) is not dict:
            raise mismatch(name, value)
        if not value.keys() >= required:
            raise _missing(name, required - value.keys())
        return _each_known(value, codecs, lambda codec, item: codec.decode(item))

    expected: type = dict
    return Codec(name, encode, decode, _form(codecs, set(required)), types=(dict,))


def _each_known(
    value: Mapping[str, Any],
    codecs: Mapping[str, Codec],
    convert: Callable[[Codec, Any], Any],
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    key = ""
    try:
        for key, codec in codecs.items():
            if key in value:
                result[key] = convert(codec, value[key])
    except Fault as fault:
        fault.at(key)
        raise
    return result


def _undeclared(name: str, keys: set[str]) -> Fault:
    shown = ", ".join(sorted(map(repr, keys)))
    return Fault(
        f"{name} does not declare {shown}; declare it as NotRequired, or annotate "
        "dict[str, Any]"
    )
