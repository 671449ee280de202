"""Arrays: lists, sets and tuples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.errors import DefinitionError
from edgeflow.values.codec import Codec
from edgeflow.values.fault import MAX_DEPTH, Fault, kind, mismatch, too_deep
from edgeflow.values.forms import Array, Table
from edgeflow.values.plain import encode_any, encode_list
from edgeflow.values.wire import sort_set

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from edgeflow.values.codec import Encode
    from edgeflow.values.wire import Json


_SETS: frozenset[type] = frozenset({set, frozenset})


def array(name: str, item: Codec, accepts: tuple[type, ...], build: type) -> Codec:
    """Return the codec of a list, tuple or set of one kind of item.

    `accepts` are the types whose instances may be encoded, `build` the one that
    decoding gives.

    Raises:
        DefinitionError: if it is a set, of items that no set can hold.
    """
    if build in _SETS and not _may_hash(item):
        raise DefinitionError(
            f"{name}: a set cannot hold what {item.name} comes back as; use a tuple"
        )
    ordered = _ordered(item)

    def encode(value: Collection[object], depth: int) -> Json:
        if not isinstance(value, accepts):
            raise mismatch(name, value)
        if depth >= MAX_DEPTH:
            raise too_deep()
        if isinstance(value, set | frozenset):
            return _encode_set(value, item, depth + 1)
        return ordered(value, depth)

    def decode(value: Json) -> object:
        if type(value) is not list:
            raise mismatch(name, value)
        items = _each(item.decode, value)
        try:
            return items if build is list else build(items)
        except TypeError as error:
            raise Fault(f"an item cannot be in a set: {error}") from error

    return Codec(
        name=name,
        encode=encode,
        decode=decode,
        form=Array(build, (item.form,)),
        types=accepts,
        plain=build is list and item.plain,
    )


def _may_hash(item: Codec) -> bool:
    form = item.form
    return not isinstance(form, Table) and not (
        isinstance(form, Array) and form.container in {list, set}
    )


def _each(convert: Callable[[Any], Any], values: Collection[Any]) -> list[Any]:
    items: list[Any] = []
    try:
        for value in values:
            items.append(convert(value))  # noqa: PERF401  the hot path; faults need the index
    except Fault as fault:
        fault.at(len(items))
        raise
    return items


def _ordered(item: Codec) -> Encode:
    """Return the encoder of items in their order."""
    if item.is_any:
        return encode_list
    encode_item = item.encode

    def encode(value: Collection[object], depth: int) -> Json:
        depth += 1
        items: list[Json] = []
        try:
            for each in value:
                items.append(encode_item(each, depth))  # noqa: PERF401  the hot path; faults need the index
        except Fault as fault:
            fault.at(len(items))
            raise
        return items

    return encode


def _encode_set(value: Collection[object], item: Codec, depth: int) -> Json:
    encode_item = _hashable if item.is_any else item.encode
    try:
        return sort_set([encode_item(each, depth) for each in value])
    except Fault as fault:
        fault.inside("[*]")
        raise


def _hashable(value: object, depth: int) -> Json:
    item = encode_any(value, depth)
    if isinstance(item, list | dict):
        raise Fault(
            f"{kind(value)} cannot come back into a set without an annotation; "
            "write, for example, set[tuple[int, int]]"
        )
    return item


def fixed_tuple(name: str, items: tuple[Codec, ...]) -> Codec:
    """Return the codec of a tuple with one annotation for each place."""
    expected: type = tuple

    def encode(value: Collection[object], depth: int) -> Json:
        if not isinstance(value, expected):
            raise mismatch(name, value)
        if depth >= MAX_DEPTH:
            raise too_deep()
        places = _places(name, items, value)
        return _each(lambda place: place[0].encode(place[1], depth + 1), places)

    def decode(value: Json) -> tuple[Any, ...]:
        if type(value) is not list:
            raise mismatch(name, value)
        places = _places(name, items, value)
        return tuple(_each(lambda place: place[0].decode(place[1]), places))

    form = Array(tuple, tuple(item.form for item in items), fixed=True)
    return Codec(name, encode, decode, form, types=(tuple,))


def _places(
    name: str, items: tuple[Codec, ...], value: Collection[object]
) -> list[tuple[Codec, object]]:
    if len(value) != len(items):
        raise Fault(f"expected {len(items)} items for {name}, found {len(value)}")
    return list(zip(items, value, strict=True))
