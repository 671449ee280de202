"""Annotations, drawn at random, and values of them."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Union
from uuid import UUID

from hypothesis import strategies as st


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
