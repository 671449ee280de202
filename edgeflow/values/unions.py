"""Unions: which member a value is, and which one its JSON is."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DefinitionError
from edgeflow.values.codec import Codec
from edgeflow.values.fault import Fault, mismatch
from edgeflow.values.forms import Choice, NoneType, Record, overlap

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.values.codec import Decode, Encode
    from edgeflow.values.forms import Form
    from edgeflow.values.wire import Json


def union(
    name: str, members: list[Codec], settled: Callable[[Callable[[], None]], None]
) -> Codec:
    """Return the codec of a union.

    Its members may still be under construction; what is asked of them waits until
    `settled` calls back.

    Raises:
        DefinitionError: if a member takes anything and another is not plain. The
            callback raises it if the JSON of two members cannot be told apart.
    """
    for member in members:
        if member.is_any:
            for other in members:
                if not other.plain:
                    raise _ambiguous(name, member, other)
            return member
    form = Choice([member.form for member in members])
    codec = Codec(name, *_dispatch(name, members, settled), form=form)
    codec.members = tuple(members)
    codec.types = tuple(dict.fromkeys(t for m in members for t in m.types))
    codec.also = tuple(dict.fromkeys(kind for m in members for kind in m.also))
    codec.plain = all(member.plain for member in members)
    codec.same = frozenset[type]().union(*(member.same for member in members))
    settled(lambda: _check(name, _flat(members)))
    others = [member for member in members if member.types != (NoneType,)]
    if len(others) == 1 < len(members):
        _optional(codec, others[0])
    return codec


def _flat(members: list[Codec]) -> list[Codec]:
    flat: list[Codec] = []
    for member in members:
        flat += _flat(list(member.members)) if member.members else [member]
    return flat


def _check(name: str, members: list[Codec]) -> None:
    for one, other in combinations(members, 2):
        if not (one.plain and other.plain) and overlap(one.form, other.form):
            raise _ambiguous(name, one, other)


def _ambiguous(name: str, one: Codec, other: Codec) -> DefinitionError:
    return DefinitionError(
        f"{name} is ambiguous: the JSON of {one.name} and of {other.name} cannot be "
        "told apart; wrap one of them in a dataclass, or give both dataclasses a "
        "Literal field with different values"
    )


def _optional(codec: Codec, inner: Codec) -> None:
    """Make the usual union fast."""
    encode, decode = inner.encode, inner.decode
    codec.encode = lambda value, depth: None if value is None else encode(value, depth)
    codec.decode = lambda value: None if value is None else decode(value)


def _dispatch(
    name: str, members: list[Codec], settled: Callable[[Callable[[], None]], None]
) -> tuple[Encode, Decode]:
    by_type: dict[type, Encode] = {}
    by_kind: dict[type, Decode] = {}

    def settle() -> None:
        flat = _flat(members)
        for cls in {cls for member in flat for cls in member.types}:
            fitting = [member for member in flat if cls in member.types]
            by_type[cls] = _first_to_encode(name, fitting)
        for kind in {kind for member in flat for kind in member.form.kinds()}:
            fitting = [member for member in flat if kind in member.form.kinds()]
            by_kind[kind] = _first_to_decode(name, fitting)
        for kind in {kind for member in flat for kind in member.also} - by_kind.keys():
            fitting = [member for member in flat if kind in member.also]
            by_kind[kind] = _first_to_decode(name, fitting)

    settled(settle)
    any_encode = _first_to_encode(name, members)

    def encode(value: object, depth: int) -> Json:
        return by_type.get(type(value), any_encode)(value, depth)

    def decode(value: Json) -> object:
        read = by_kind.get(type(value))
        if read is None:
            raise mismatch(name, value)
        return read(value)

    return encode, decode


def _first_to_encode(name: str, members: list[Codec]) -> Encode:
    if len(members) == 1:
        return members[0].encode

    def encode(value: object, depth: int) -> Json:
        faults: list[Fault] = []
        for member in members:
            try:
                return member.encode(value, depth)
            except Fault as fault:
                faults.append(fault)
        raise _nothing_fits(name, value, faults)

    return encode


def _first_to_decode(name: str, members: list[Codec]) -> Decode:
    if len(members) == 1:
        return members[0].decode

    def decode(value: Json) -> object:
        for member in members:
            if member.form.matches(value):
                return member.decode(value)
        return _decode_older(name, members, value)

    return decode


def _decode_older(name: str, members: list[Codec], value: Json) -> Any:
    """Decode what no member would write today; unknown keys count against a member."""
    faults: list[Fault] = []
    for member in sorted(members, key=lambda each: _has_unknown(each.form, value)):
        try:
            return member.decode(value)
        except Fault as fault:
            faults.append(fault)
    raise _nothing_fits(name, value, faults)


def _has_unknown(form: Form, value: Json) -> bool:
    return (
        isinstance(form, Record)
        and isinstance(value, dict)
        and not value.keys() <= form.known
    )


def _nothing_fits(name: str, value: object, faults: list[Fault]) -> Fault:
    """Report the attempt that came furthest; if none got inside, the union itself."""
    best = max(faults, key=lambda fault: len(fault.parts))
    if best.parts:
        return best
    if len({fault.why for fault in faults}) == 1:
        return best
    return mismatch(name, value)
