"""For every annotation and every value of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Union
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.errors import DefinitionError, Unencodable
from edgeflow.values import converter, dumps, loads

if TYPE_CHECKING:
    from edgeflow.values import Json


class Color(Enum):
    RED = "red"
    BLUE = 2


@dataclass(frozen=True)
class Leaf:
    number: int
    text: str = ""


@dataclass
class Node:
    leaf: Leaf
    parts: list[Node] = field(default_factory=list)


# For type checkers these are no types, so that they take annotations in variables.
Lists: Any = list
Tuples: Any = tuple
Sets: Any = set
FrozenSets: Any = frozenset
Dicts: Any = dict

text = st.text(st.characters(exclude_categories=["Cs"]))
offsets = st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
zones = st.none() | offsets
leaves = st.builds(Leaf, st.integers(-(2**63), 2**64 - 1), text)

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    None: st.none(),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: text,
    bytes: st.binary(),
    datetime: st.datetimes(timezones=zones),
    date: st.dates(),
    time: st.times(timezones=zones),
    timedelta: st.timedeltas(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    UUID: st.uuids(),
    Color: st.sampled_from(Color),
    Leaf: leaves,
    Node: st.recursive(
        st.builds(Node, leaves),
        lambda nodes: st.builds(Node, leaves, st.lists(nodes, max_size=2)),
        max_leaves=4,
    ),
}
KEYS = [bool, int, str, bytes, datetime, date, timedelta, Decimal, UUID, Color]

Pair = tuple[Any, st.SearchStrategy[Any]]
"""An annotation, and values of it."""

scalars = st.sampled_from(list(VALUES.items()))
keys = st.sampled_from([(key, VALUES[key]) for key in KEYS])


def grow(pairs: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    return st.one_of(
        pairs.map(lambda p: (Lists[p[0]], st.lists(p[1], max_size=4))),
        pairs.map(lambda p: (Tuples[p[0], ...], st.lists(p[1], max_size=4).map(tuple))),
        keys.map(lambda p: (Sets[p[0]], st.sets(p[1], max_size=4))),
        keys.map(lambda p: (FrozenSets[p[0]], st.frozensets(p[1], max_size=4))),
        st.tuples(pairs, pairs).map(
            lambda two: (Tuples[two[0][0], two[1][0]], st.tuples(two[0][1], two[1][1]))
        ),
        st.tuples(keys, pairs).map(
            lambda two: (
                Dicts[two[0][0], two[1][0]],
                st.dictionaries(two[0][1], two[1][1], max_size=4),
            )
        ),
        pairs.map(lambda p: (Union[p[0], None], st.none() | p[1])),  # noqa: UP007
        st.lists(pairs, min_size=1, max_size=3).map(record),
    )


def record(pairs: list[Pair]) -> Pair:
    names = [f"field_{index}" for index in range(len(pairs))]
    types = [(name, pair[0]) for name, pair in zip(names, pairs, strict=True)]
    cls = make_dataclass("Record", types)
    values = {name: pair[1] for name, pair in zip(names, pairs, strict=True)}
    return cls, st.builds(cls, **values)


annotated = st.recursive(scalars, grow, max_leaves=4)
json_values = st.recursive(
    st.none() | st.booleans() | VALUES[int] | VALUES[float] | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_value_comes_back_through_its_bytes(data: st.DataObject) -> None:
    # R-01 R-10
    annotation, values = data.draw(annotated)
    value = data.draw(values)
    both = converter(annotation)

    encoded = dumps(both.encode(value))
    back = both.decode(loads(encoded))

    assert back == value
    assert type(back) is type(value)
    assert dumps(both.encode(back)) == encoded


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_plain_json_comes_back_as_it_is(value: Json) -> None:
    #
    both = converter(Any)

    assert repr(both.decode(loads(dumps(both.encode(value))))) == repr(value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_union_is_refused_or_keeps_its_members_apart(data: st.DataObject) -> None:
    #
    members = data.draw(st.lists(annotated, min_size=2, max_size=3))
    try:
        both = converter(Union[tuple(each[0] for each in members)])  # noqa: UP007
    except DefinitionError:
        return
    value = data.draw(st.one_of([each[1] for each in members]))

    back = both.decode(loads(dumps(both.encode(value))))

    assert back == value
    assert type(back) is type(value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_without_annotation_a_value_becomes_json_or_is_refused(
    data: st.DataObject,
) -> None:
    #
    both = converter(Any)
    try:
        encoded = both.encode(data.draw(data.draw(annotated)[1]))
    except Unencodable as error:
        assert "key" in error.why or "keys" in error.why  # noqa: PT017
        return

    assert both.encode(encoded) == encoded
    assert loads(dumps(encoded)) == encoded


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1e308, 0.1 + 0.2])
def test_a_float_keeps_every_bit(value: float) -> None:
    #
    back = converter(float).decode(loads(dumps(converter(float).encode(value))))

    assert math.copysign(1, back) == math.copysign(1, value)
    assert back.hex() == value.hex()
