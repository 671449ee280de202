"""Classes with fields, and TypedDicts: objects with known keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.values.codec import Codec
from edgeflow.values.fault import MAX_DEPTH, Fault, mismatch, too_deep
from edgeflow.values.fields import is_namedtuple, takes_in_order
from edgeflow.values.forms import Record, Values

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    taken = [
        (f.name, codec.same, codec.decode) for f, codec in fields.items() if f.argument
    ]
    arguments = [field.argument for field in fields if field.argument]
    in_order = takes_in_order(cls, arguments)
    required = frozenset(field.name for field in fields if field.required)
    later = [(f.name, c.decode) for f, c in fields.items() if not f.argument]
    names = [field.name for field in fields] if is_namedtuple(cls) else []

    def decode(value: Json) -> object:
        if names and isinstance(value, list) and len(value) <= len(names):
            value = dict(zip(names, value, strict=False))
        if type(value) is not dict:
            raise mismatch(name, value)
        given: list[Any] = []
        whole = True
        key = ""
        try:
            for key, same, read in taken:
                if key in value:
                    item = value[key]
                    given.append(item if type(item) in same else read(item))
                else:
                    given.append(_ABSENT)
                    whole = False
        except Fault as fault:
            fault.at(key)
            raise
        if not whole and not value.keys() >= required:
            raise _missing(name, required - value.keys())
        try:
            made: object = (
                cls(*given) if whole and in_order else cls(**_named(arguments, given))
            )
        except Exception as error:  # a constructor of the user's may raise anything
            raise _refusal(name, error) from error
        if later:
            _set_fields(made, value, later)
        return made

    return decode


_ABSENT = object()


def _named(arguments: list[str], given: list[Any]) -> dict[str, Any]:
    """Return what is given, by name."""
    pairs = zip(arguments, given, strict=True)
    return {argument: item for argument, item in pairs if item is not _ABSENT}


def _missing(name: str, keys: frozenset[str], remedy: str = _REMEDY) -> Fault:
    return Fault(f"{name} needs a value for {', '.join(sorted(keys))}{remedy}")


def _refusal(name: str, error: Exception) -> Fault:
    return Fault(f"{name} refuses it: {type(error).__name__}: {error}")


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
    return Codec(
        name=cls.__qualname__,
        encode=_encode_keys(cls.__qualname__, codecs, required),
        decode=_decode_keys(cls.__qualname__, codecs, required),
        form=_form(codecs, set(required)),
        types=(dict,),
    )


def _encode_keys(
    name: str, codecs: Mapping[str, Codec], required: frozenset[str]
) -> Encode:
    fields = [(key, codec.encode) for key, codec in codecs.items()]
    size = len(fields)
    expected: type = dict

    def encode(value: dict[str, object], depth: int) -> Json:
        if type(value) is not dict and not isinstance(value, expected):
            raise mismatch(name, value)
        if depth >= MAX_DEPTH:
            raise too_deep()
        depth += 1
        result: dict[str, Json] = {}
        key = ""
        try:
            for key, write in fields:
                if key in value:
                    result[key] = write(value[key], depth)
        except Fault as fault:
            if not value.keys() >= required:
                raise _missing(name, required - value.keys(), "") from None
            fault.at(key)
            raise
        if len(result) < size and not value.keys() >= required:
            raise _missing(name, required - value.keys(), "")
        if len(result) != len(value):
            raise _undeclared(name, value.keys() - result.keys())
        return result

    return encode


def _decode_keys(
    name: str, codecs: Mapping[str, Codec], required: frozenset[str]
) -> Decode:
    fields = [(key, codec.same, codec.decode) for key, codec in codecs.items()]
    size = len(fields)

    def decode(value: Json) -> dict[str, Any]:
        if type(value) is not dict:
            raise mismatch(name, value)
        result: dict[str, Any] = {}
        key = ""
        try:
            for key, same, read in fields:
                if key in value:
                    item = value[key]
                    result[key] = item if type(item) in same else read(item)
        except Fault as fault:
            if not value.keys() >= required:
                raise _missing(name, required - value.keys()) from None
            fault.at(key)
            raise
        if len(result) < size and not value.keys() >= required:
            raise _missing(name, required - value.keys())
        return result

    return decode


def _undeclared(name: str, keys: set[str]) -> Fault:
    shown = ", ".join(sorted(map(repr, keys)))
    return Fault(
        f"{name} does not declare {shown}; declare it as NotRequired, or annotate "
        "dict[str, Any]"
    )
