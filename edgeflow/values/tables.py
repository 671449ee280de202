"""Objects with any keys: dicts, whose keys become text and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.errors import DefinitionError
from edgeflow.values.codec import Codec
from edgeflow.values.fault import MAX_DEPTH, Fault, mismatch, too_deep
from edgeflow.values.forms import Choice, NoneType, Table, Text, Values, Whole
from edgeflow.values.plain import encode_dict, encode_key, same_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.values.codec import Decode, Encode
    from edgeflow.values.forms import Form
    from edgeflow.values.wire import Json


class Key:
    """Keys, both directions, and what their texts can be."""

    __slots__ = ("form", "plain", "read", "write")

    def __init__(
        self,
        write: Callable[[Any], str],
        read: Callable[[str], Any],
        form: Form,
        *,
        plain: bool = False,
    ) -> None:
        self.write = write
        self.read = read
        self.form = form
        self.plain = plain
        """True if they are str on both sides."""


def table(name: str, key: Codec, value: Codec, accepts: type) -> Codec:
    """Return the codec of a dict; `accepts` is the type that may be encoded.

    Raises:
        DefinitionError: if the keys have no text to stand for them.
    """
    keys = _key(key)
    encode_items = _encode_items(keys, value)

    def encode(mapping: Mapping[object, object], depth: int) -> Json:
        if type(mapping) is not dict and not isinstance(mapping, accepts):
            raise mismatch(name, mapping)
        if depth >= MAX_DEPTH:
            raise too_deep()
        return encode_items(mapping, depth)

    return Codec(
        name=name,
        encode=encode,
        decode=_decode_items(name, keys, value),
        form=Table(keys.form, value.form),
        types=(dict,),
        plain=key.plain and str in key.form.kinds() and value.plain,
    )


def _encode_items(keys: Key, value: Codec) -> Encode:
    write, plain = keys.write, keys.plain
    if plain and value.is_any:
        if write is encode_key:
            return encode_dict
        return lambda mapping, depth: encode_dict(mapping, depth, write)

    def encode(mapping: Mapping[Any, object], depth: int) -> Json:
        depth += 1
        encode_value = value.encode
        result: dict[str, Json] = {}
        part: str | None = None
        try:
            for key, item in mapping.items():
                if plain and type(key) is str and key.isascii():
                    part = key
                else:
                    part = None
                    part = write(key)
                result[part] = encode_value(item, depth)
        except Fault as fault:
            if part is not None:
                fault.at(part)
            raise
        if len(result) != len(mapping):
            raise same_keys()
        return result

    return encode


def _decode_items(name: str, keys: Key, item: Codec) -> Decode:
    read = None if keys.plain else keys.read
    same, is_any = item.same, keys.plain and item.is_any

    def decode(value: Json) -> dict[Any, Any]:
        if type(value) is not dict:
            raise mismatch(name, value)
        if is_any:
            return value.copy()
        result: dict[Any, Any] = {}
        part = ""
        try:
            for part, each in value.items():
                key = read(part) if read else part
                result[key] = each if type(each) in same else item.decode(each)
        except Fault as fault:
            fault.at(part)
            raise
        return result

    return decode


def _key(codec: Codec) -> Key:
    form = codec.form
    if codec.is_any:
        return Key(encode_key, codec.decode, form, plain=True)
    kinds = set(form.kinds())
    if kinds <= {str}:
        return Key(
            lambda key: _text(codec.encode(key, 0)),
            codec.decode,
            form,
            plain=isinstance(form, Whole),
        )
    if isinstance(form, Values) and kinds <= {str, int, bool, NoneType}:
        return _few(codec, form)
    if isinstance(form, Choice) or not kinds <= {int, bool, float}:
        raise DefinitionError(
            f"keys of type {codec.name} have no unambiguous text in JSON; use str, or "
            "a list of pairs"
        )
    return _number(codec, kinds.pop())


def _few(codec: Codec, form: Values) -> Key:
    values = {_text(value): value for value in form.values.values()}
    if len(values) != len(form.values):
        raise DefinitionError(f"as keys, two values of {codec.name} have the same text")
    texts: dict[object, Json] = {text: text for text in values}
    return Key(
        write=lambda key: _text(codec.encode(key, 0)),
        read=lambda text: codec.decode(values.get(text, text)),
        form=Values(texts),
    )


def _number(codec: Codec, cls: type) -> Key:
    def write(key: object) -> str:
        return _text(codec.encode(key, 0))

    def read(text: str) -> object:
        try:
            number = _BOOLS[text] if cls is bool else cls(text)
        except (ValueError, KeyError):
            number = text  # which the codec refuses in its own words
        return codec.decode(number)

    def canonical(text: str) -> bool:
        try:
            return write(read(text)) == text
        except Fault:
            return False

    return Key(write, read, Text(cls.__name__, canonical))


_BOOLS = {"true": True, "false": False}


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else repr(value)
