"""Arrays: lists, sets and tuples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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
    read = _reader(item)

    def decode(value: Json) -> object:
        if type(value) is not list:
            raise mismatch(name, value)
        items = read(value)
        try:
            return items if build is list else build(items)
        except TypeError as error:
            raise Fault(f"an item cannot be in a set: {error}") from error

    return Codec(
        name=name,
        encode=_encode_array(name, item, accepts),
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


def _encode_array(name: str, item: Codec, accepts: tuple[type, ...]) -> Encode:
    usual = accepts[0]
    ordered = encode_list if item.is_any else _ordered(item)
    has_sets = not _SETS.isdisjoint(accepts)

    def encode(value: Collection[object], depth: int) -> Json:
        if type(value) is not usual and not isinstance(value, accepts):
            raise mismatch(name, value)
        if depth >= MAX_DEPTH:
            raise too_deep()
        if has_sets and isinstance(value, (set, frozenset)):
            return _encode_set(value, item, depth + 1)
        return ordered(value, depth)

    return encode


def _ordered(item: Codec) -> Encode:
    """Return the encoder of items in their order."""
    unchanged = item.unchanged

    def encode(value: Collection[object], depth: int) -> Json:
        if unchanged and unchanged(value):
            return cast("list[Json]", [*value])
        depth += 1
        write = item.encode
        items: list[Json] = []
        try:
            for each in value:
                items.append(write(each, depth))  # noqa: PERF401  the hot path; faults need the index
        except Fault as fault:
            fault.at(len(items))
            raise
        return items

    return encode


def _reader(item: Codec) -> Callable[[list[Json]], list[Any]]:
    """Return the decoder of items in their order."""
    if item.is_any:
        return list[Any].copy
    same = item.same

    def read_each(value: list[Json]) -> list[Any]:
        read = item.decode
        items: list[Any] = []
        try:
            for each in value:
                items.append(each if type(each) in same else read(each))  # noqa: PERF401  as above
        except Fault as fault:
            fault.at(len(items))
            raise
        return items

    return read_each


def _encode_set(value: Collection[Any], item: Codec, depth: int) -> Json:
    if item.unchanged and item.unchanged(value):
        return sort_set([*value])
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
        _check_length(name, items, value)
        depth += 1
        made: list[Json] = []
        try:
            for item, each in zip(items, value, strict=True):
                made.append(item.encode(each, depth))
        except Fault as fault:
            fault.at(len(made))
            raise
        return made

    def decode(value: Json) -> tuple[Any, ...]:
        if type(value) is not list:
            raise mismatch(name, value)
        _check_length(name, items, value)
        made: list[Any] = []
        try:
            for item, each in zip(items, value, strict=True):
                made.append(each if type(each) in item.same else item.decode(each))
        except Fault as fault:
            fault.at(len(made))
            raise
        return tuple(made)

    form = Array(tuple, tuple(item.form for item in items), fixed=True)
    return Codec(name, encode, decode, form, types=(tuple,))


def _check_length(
    name: str, items: tuple[Codec, ...], value: Collection[object]
) -> None:
    if len(value) != len(items):
        raise Fault(f"expected {len(items)} items for {name}, found {len(value)}")
