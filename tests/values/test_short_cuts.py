"""Short cuts give what the long way gives, and refuse in its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, Self, TypedDict, cast

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeflow.errors import Undecodable, Unencodable
from edgeflow.values import Converter, converter, records, scalars
from edgeflow.values.build import Builder
from edgeflow.values.fields import takes_in_order
from tests.values.annotations import annotated, json_values

if TYPE_CHECKING:
    from collections.abc import Callable


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Place(NamedTuple):
    city: str
    floor: int | None = None


@dataclass
class Item:
    sku: str
    price: float
    tags: list[str] = field(default_factory=list)
    extra: Any = None


@dataclass(kw_only=True)
class Order:
    items: list[Item]
    places: dict[str, Place] = field(default_factory=dict)
    movie: Movie | None = None


@attrs.define
class Car:
    make: str
    _wheels: int = 4


@dataclass(init=False)
class Turned:
    one: int
    two: int

    def __init__(self, two: int, one: int) -> None:
        self.one = one
        self.two = two


@dataclass(init=False)
class Made:
    one: int
    two: int

    def __new__(cls, one: int, two: int) -> Self:
        del one, two
        return super().__new__(cls)

    def __init__(self, two: int, one: int) -> None:  # pyright: ignore[reportInconsistentConstructor]
        self.one = one
        self.two = two


class ByName(type):
    def __call__(cls, *, one: int) -> Any:
        return super().__call__(one)


@dataclass
class Named(metaclass=ByName):
    one: int


def _never(cls: type, arguments: list[str]) -> bool:
    return False


def long_way(annotation: object, patch: pytest.MonkeyPatch) -> Converter[Any]:
    """Build a converter that takes no short cut."""
    for codec in (scalars.NONE, scalars.BOOL, scalars.INT, scalars.FLOAT, scalars.STR):
        patch.setattr(codec, "same", frozenset[type]())
        patch.setattr(codec, "unchanged", None)
    patch.setattr(scalars.ANY, "same", frozenset[type]())
    patch.setattr(records, "takes_in_order", _never)
    return Converter(Builder().finish(annotation))


def outcome(convert: Callable[[Any], object], value: object) -> tuple[object, ...]:
    try:
        made = convert(value)
    except (Unencodable, Undecodable) as error:
        return type(error), error.path, error.why
    return type(made), repr(made)


odd = st.sampled_from([2**63, 2**64, -(2**63), float("nan"), "\ud800", "ü", True, b""])
anything = st.recursive(
    json_values | odd,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | odd, inner, max_size=3)
        | st.builds(Item, inner, inner, inner, inner)
        | st.builds(Place, inner, inner)
        | st.fixed_dictionaries({}, optional={"title": inner, "year": inner})
        | st.fixed_dictionaries({}, optional={"sku": inner, "price": inner})
        | st.fixed_dictionaries({"items": st.lists(inner, max_size=2)})
    ),
    max_leaves=6,
)
RECORDS: list[Any] = [Item, Order, Place, Movie, Car, Turned, Made, Named]
OTHERS: list[Any] = [
    *(list[Item], list[int], list[float], tuple[int, str]),
    *(dict[str, Any], dict[str, Movie], Item | Movie, int | None),
]
kinds = st.sampled_from([*RECORDS, *OTHERS])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(annotated.map(lambda pair: pair[0]) | kinds, st.lists(anything, max_size=4))
def test_a_short_cut_gives_and_refuses_what_the_long_way_does(
    annotation: object, values: list[object]
) -> None:
    short = Converter[Any](Builder().finish(annotation))
    with pytest.MonkeyPatch.context() as patch:
        plain = long_way(annotation, patch)

        for value in values:
            assert outcome(short.encode, value) == outcome(plain.encode, value)
            assert outcome(short.decode, value) == outcome(plain.decode, value)


def as_item(value: object) -> object:
    made: Any = converter(Any).encode([value])
    return made[0]


def as_member(value: object) -> object:
    made: Any = converter(Any).encode({"key": value})
    return made["key"]


@settings(max_examples=100, deadline=None)
@given(anything)
def test_a_value_within_others_is_written_as_it_is_alone(value: object) -> None:
    first, *rest = outcome(converter(Any).encode, value)

    for write, place in ((as_item, "$[0]"), (as_member, "$.key")):
        if first is Unencodable:
            path, why = map(str, rest)
            assert outcome(write, value) == (first, path.replace("$", place, 1), why)
        else:
            assert outcome(write, value) == (first, *rest)


@pytest.mark.parametrize(
    ("cls", "arguments", "in_order"),
    [
        (Item, ["sku", "price", "tags", "extra"], True),
        (Place, ["city", "floor"], True),
        (Car, ["make", "wheels"], True),
        (Order, ["items", "places", "movie"], False),
        (Turned, ["one", "two"], False),
        (Made, ["one", "two"], False),
        (Named, ["one"], False),
    ],
)
def test_a_constructor_gets_names_unless_it_takes_the_fields_in_order(
    cls: type, arguments: list[str], *, in_order: bool
) -> None:
    assert takes_in_order(cls, arguments) is in_order


@pytest.mark.parametrize(
    ("annotation", "value", "plain"),
    [
        (Turned, Turned(two=2, one=1), {"one": 1, "two": 2}),
        (Made, Made(one=1, two=2), {"one": 1, "two": 2}),
        (Named, Named(one=1), {"one": 1}),
        (Order, Order(items=[]), {"items": [], "places": {}, "movie": None}),
    ],
)
def test_a_constructor_that_wants_names_gets_them(
    annotation: Any, value: object, plain: object
) -> None:
    both = converter(annotation)

    assert both.encode(value) == plain
    decoded: object = both.decode(both.encode(value))
    assert repr(decoded) == repr(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (list[int], [1, 2]),
        (list[Any], [[1], {"a": 1}]),
        (dict[str, Any], {"a": [1]}),
        (dict[str, int], {"a": 1}),
        (Movie, {"title": "a"}),
        (list[Movie], [{"title": "a"}]),
        (Any, [[1], {"a": [2]}]),
    ],
)
def test_what_is_encoded_shares_nothing_mutable_with_the_value(
    annotation: Any, value: Any
) -> None:
    # R-01  G9
    both = converter(annotation)
    encoded = both.encode(value)

    def containers(tree: object) -> set[int]:
        if not isinstance(tree, (list, dict)):
            return set()
        whole: Any = cast("Any", tree)
        inner: Any = whole.values() if isinstance(tree, dict) else whole
        return {id(whole)}.union(*map(containers, inner))

    assert encoded == value
    assert containers(encoded).isdisjoint(containers(value))
    if annotation is not Any:
        assert both.decode(encoded) is not encoded
