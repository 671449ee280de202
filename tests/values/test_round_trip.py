"""Each annotation, alone and within others."""

from __future__ import annotations

import enum
import math
import sys
import typing as t
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest

from edgeflow.values import converter, dumps, loads

T = TypeVar("T")
N = TypeVar("N", bound=int)

UserId = NewType("UserId", str)
Berlin = ZoneInfo("Europe/Berlin")


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    NOTHING = None


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Shade(enum.StrEnum):
    DARK = "dark"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Point:
    x: int
    y: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    name: str
    tags: frozenset[str] = frozenset()


@dataclass
class Point3(Point):
    z: int = field(kw_only=True)


@dataclass
class Counter:
    start: int
    seen: int = field(init=False, default=0)
    double: int = field(init=False, compare=False)
    factor: InitVar[int] = 2

    def __post_init__(self, factor: int) -> None:
        self.double = self.start * factor


@dataclass
class Node:
    value: int
    next: Node | None = None
    children: list[Node] = field(default_factory=list)


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T] = field(default_factory=list)


@dataclass
class Tree(Generic[T]):
    content: T
    left: Tree[T] | None = None


@dataclass
class IntBox(Box[int]):
    label: str = ""


@dataclass
class Chain:
    of: t.Self | None = None


class Movie(TypedDict):
    title: t.Required[str]
    year: t.NotRequired[int]


class Partial(Movie, total=False):
    rating: Decimal


class Place(NamedTuple):
    city: str
    zip: str = ""


class Pair(NamedTuple, Generic[T]):
    one: T
    two: T


@attrs.define
class Car:
    make: str
    _wheels: int = 4
    built: date | None = None


@attrs.frozen
class Garage(Generic[T]):
    cars: list[Car]
    extra: T


class User(pydantic.BaseModel):
    id: UUID
    roles: set[str] = set()
    blob: bytes = b""
    seen: datetime | None = pydantic.Field(default=None, alias="lastSeen")

    @pydantic.computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def shout(self) -> str:
        return "!"


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


class Ids(pydantic.RootModel[list[int]]):
    pass


class Event(msgspec.Struct):
    at: datetime
    keys: set[int] = set()


class Slot(msgspec.Struct, Generic[T]):
    value: T


class Small(msgspec.Struct, rename="camel", omit_defaults=True, tag="small"):
    first_name: str
    last_name: str = ""


CASES: list[tuple[object, object]] = [
    (None, None),
    (bool, True),
    (int, 0),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (float, 1.0),
    (float, -0.0),
    (float, 5e-324),
    (float, 1.7976931348623157e308),
    (str, ""),
    (str, 'ü "\\\n\u2028 \U0001f600 \x00'),
    (list, [1, "a", None, {"b": [1.5]}]),
    (list[int], [1, 2]),
    (t.List[int], [1]),  # noqa: UP006 - people write it
    (dict, {"a": 1}),
    (dict[str, int], {"b": 1, "a": 2}),
    (dict[str, Any], {"a": [1, {"b": None}]}),
    (dict[int, str], {1: "a", -2: "b"}),
    (dict[bool, str], {True: "a", False: "b"}),
    (dict[float, str], {1.5: "a", -0.5: "b"}),
    (dict[UUID, int], {UUID(int=5): 1}),
    (dict[date, int], {date(2024, 2, 29): 1}),
    (dict[Decimal, int], {Decimal("1.10"): 1}),
    (dict[Level, int], {Level.LOW: 1}),
    (dict[Shade, int], {Shade.DARK: 1}),
    (dict[t.Literal["a", 1], int], {"a": 1, 1: 2}),
    (dict[date | UUID, int], {date(2024, 1, 1): 1, UUID(int=1): 2}),
    (tuple[()], ()),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[tuple[int, int], ...], ((1, 2), (3, 4))),
    (set[int], {3, 1, 2}),
    (set, {"a", 1}),
    (set[tuple[int, str]], {(1, "b"), (1, "a")}),
    (frozenset[str], frozenset({"b", "a"})),
    (frozenset[frozenset[int]], frozenset({frozenset({1}), frozenset({2, 3})})),
    (Sequence[int], [1, 2]),
    (Iterable[int], [1, 2]),
    (Collection[int], [1, 2]),
    (Mapping[str, int], {"a": 1}),
    (MutableMapping[int, int], {1: 1}),
    (AbstractSet[int], {1}),
    (bytes, b""),
    (bytes, bytes(range(256))),
    (datetime, datetime(2024, 2, 29, 12, 30, 15, 123456)),  # noqa: DTZ001 - naive
    (datetime, datetime(1, 1, 1, tzinfo=UTC)),
    (
        datetime,
        datetime(9999, 12, 31, 23, 59, 59, 999999, timezone(timedelta(hours=-3))),
    ),
    (datetime, datetime(2024, 7, 1, tzinfo=Berlin)),
    (date, date(2024, 2, 29)),
    (time, time(12, 30, 15, 5)),
    (time, time(12, tzinfo=timezone(timedelta(minutes=330)))),
    (timedelta, timedelta(days=1, seconds=3, microseconds=5)),
    (timedelta, timedelta(microseconds=-1)),
    (timedelta, timedelta.max),
    (timedelta, timedelta.min),
    (Decimal, Decimal("1.10")),
    (Decimal, Decimal("-0")),
    (Decimal, Decimal("1E+400")),
    (UUID, UUID("12345678-1234-5678-1234-567812345678")),
    (Color, Color.RED),
    (Color, Color.PAIR),
    (Color, Color.NOTHING),
    (Level, Level.HIGH),
    (Shade, Shade.DARK),
    (Right, Right.READ | Right.WRITE),
    (t.Literal["a", 1, True], True),
    (t.Literal["a", 1, True], 1),
    (t.Literal[Color.RED, Level.LOW], Level.LOW),
    (Point, Point(1, 2.5)),
    (Named, Named(name="a", tags=frozenset({"x"}))),
    (Point3, Point3(1, 2.0, z=3)),
    (Counter, Counter(2)),
    (Node, Node(1, Node(2), [Node(3, Node(4))])),
    (Box[int], Box(1, [2])),
    (Box[Box[date]], Box(Box(date(2024, 1, 1)))),
    (Tree[date], Tree(date(2024, 1, 1), Tree(date(2024, 1, 2)))),
    (IntBox, IntBox(1, [2], "a")),
    (Box, Box("any", ["more"])),
    (Chain, Chain(Chain())),
    (Movie, {"title": "a"}),
    (Movie, {"title": "a", "year": 1}),
    (Partial, {"title": "a", "rating": Decimal("1.5")}),
    (Place, Place("a", "1")),
    (Pair[date], Pair(date(2024, 1, 1), date(2024, 1, 2))),
    (Car, Car("a", 3, date(2024, 1, 1))),
    (Garage[date], Garage([Car("a")], date(2024, 1, 1))),
    (User, User(id=UUID(int=1), roles={"b", "a"}, blob=b"a", lastSeen=None)),
    (User, User(id=UUID(int=1), lastSeen=datetime(2024, 1, 1, tzinfo=UTC))),
    (Page[date], Page[date](items=[date(2024, 1, 1)])),
    (Ids, Ids([1, 2])),
    (Event, Event(datetime(2024, 1, 1, tzinfo=UTC), {2, 1})),
    (Slot[date], Slot(date(2024, 1, 1))),
    (Small, Small("a")),
    (t.Annotated[int, "note"], 1),
    (t.Annotated[int, []], 1),
    (UserId, "u1"),
    (t.LiteralString, "a"),
    (int | None, None),
    (t.Optional[date], date(2024, 1, 1)),  # noqa: UP045 - people write it
    (int | float, 1),
    (int | float, 1.0),
    (int | str | bool | None, True),
    (date | datetime, date(2024, 1, 1)),
    (date | datetime, datetime(2024, 1, 1)),  # noqa: DTZ001 - naive
    (Point | Named, Named(name="a")),
    (list[int] | list[str], ["a"]),
    (list[int] | dict[str, int] | None, {"a": 1}),
    (Level | str, Level.LOW),
    (Car | Small, Small("b", "c")),
    (User | Point, Point(1)),
    (tuple[int] | tuple[int, int], (1, 2)),
    (Any, {"a": [1, None, 1.5, "x", True]}),
    (object, [1]),
    (T, ["x"]),
    (N, 1),
]


# For type checkers these are no types, so that they take annotations in variables.
Boxes: Any = Box
Dict: Any = dict
List: Any = list
Tuple: Any = tuple
Union: Any = t.Union
NAMES = [f"{index}: {case[0]}" for index, case in enumerate(CASES)]


@pytest.mark.parametrize(("annotation", "value"), CASES, ids=NAMES)
def test_a_value_comes_back_equal_and_of_its_type(
    annotation: object, value: object
) -> None:
    #
    assert_same(value, through(annotation, value))


@pytest.mark.parametrize(("annotation", "value"), CASES, ids=NAMES)
def test_a_value_comes_back_from_within_others(
    annotation: object, value: object
) -> None:
    #
    pairs = Tuple[annotation, int]
    nested = {"a": Box([(value, 1)], [[(value, 2)]])}

    assert_same(nested, through(Dict[str, Boxes[List[pairs]]], nested))
    assert_same([value, value], through(List[annotation], [value, value]))


def can_be_optional(annotation: object) -> bool:
    """Tell whether None is no member of it, and typing itself can hash it."""
    return annotation is not Color and annotation != t.Annotated[int, []]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        pytest.param(annotation, value, id=name)
        for (annotation, value), name in zip(CASES, NAMES, strict=True)
        if can_be_optional(annotation)
    ],
)
def test_an_optional_value_comes_back(annotation: object, value: object) -> None:
    #
    optional = Union[annotation, None]

    assert_same(value, through(optional, value))
    assert through(optional, None) is None


def through(annotation: object, value: object) -> object:
    """Go the way that a value goes from a step to the body."""
    both = converter(annotation)
    return both.decode(loads(dumps(both.encode(value))))


def assert_same(expected: object, actual: object) -> None:
    assert actual == expected
    assert type(actual) is type(expected)
    assert repr_of(actual) == repr_of(expected)


def repr_of(value: object) -> object:
    """Tell 1 from 1.0 and from True, deep inside too."""
    if isinstance(value, set | frozenset):
        return sorted(map(repr, t.cast("set[object]", value)))
    if isinstance(value, list | tuple):
        return [repr_of(item) for item in t.cast("list[object]", value)]
    if isinstance(value, dict):
        items = t.cast("dict[object, object]", value).items()
        return sorted((repr(key), repr_of(item)) for key, item in items)
    if isinstance(value, Box):
        return repr_of([t.cast("Box[object]", value).content])
    holds_sets_or_zones = isinstance(value, User | Event | datetime | time | Named)
    return None if holds_sets_or_zones else repr(value)


def test_an_int_becomes_a_float_where_float_is_annotated() -> None:
    #
    assert repr(converter(float).encode(1)) == "1.0"
    assert repr(through(list[float], [1, 2.5])) == "[1.0, 2.5]"
    assert repr(converter(float).decode(1)) == "1.0"


def test_a_tuple_is_a_sequence_and_comes_back_as_list() -> None:
    assert through(Sequence[int], (1, 2)) == [1, 2]
    assert through(Iterable[int], {2, 1}) == [1, 2]


def test_subclasses_of_scalars_come_back_as_the_scalar() -> None:
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    class Real(float):
        pass

    assert type(through(str, Text("a"))) is str
    assert type(through(int, Number(1))) is int
    assert type(through(float, Real(-0.0))) is float
    assert math.copysign(1, t.cast("float", through(float, Real(-0.0)))) == -1
    assert type(through(int, Level.LOW)) is int
    assert [
        type(x) for x in t.cast("Any", through(Any, [Text("a"), Number(1), Real(1)]))
    ] == [
        str,
        int,
        float,
    ]


def test_the_second_of_two_equal_hours_is_kept() -> None:
    second = datetime(2024, 10, 27, 2, 30, tzinfo=Berlin, fold=1)
    naive = second.replace(tzinfo=None)

    assert t.cast("datetime", through(datetime, naive)).fold == 1
    assert t.cast("time", through(time, time(2, fold=1))).fold == 1
    assert (
        t.cast("datetime", through(datetime, second)).timestamp() == second.timestamp()
    )


def test_a_zone_becomes_its_offset() -> None:
    back = t.cast("datetime", through(datetime, datetime(2024, 7, 1, tzinfo=Berlin)))

    assert back.tzinfo == timezone(timedelta(hours=2))


def test_a_derived_field_is_left_to_post_init() -> None:
    counter = Counter(2)
    counter.seen, counter.double = 7, 0

    back = t.cast("Counter", through(Counter, counter))

    assert converter(Counter).encode(counter) == {"start": 2, "seen": 7}
    assert (back.seen, back.double) == (7, 4)


def test_the_encoded_value_shares_nothing_with_the_value() -> None:
    #
    inner: list[object] = [1]
    for annotation in (
        Any,
        list,
        list[Any],
        list[list[int]],
        dict[str, Any] | list[Any],
    ):
        value = [inner]
        encoded: Any = converter(annotation).encode(value)
        assert encoded == value
        assert encoded is not value
        assert encoded[0] is not inner


def test_without_annotation_the_plain_value_itself_comes_back() -> None:
    value: Any = {"a": [1]}

    assert converter(Any).decode(value) is value


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type` came with 3.12")
def test_type_aliases_work_generic_and_recursive_ones_too() -> None:
    #
    names: dict[str, Any] = {"date": date}
    exec(
        "type Json = None | int | str | list[Json] | dict[str, Json]\n"
        "type Many[T] = list[T] | None\n",
        names,
    )

    assert through(names["Json"], {"a": [1, [None, "b"]]}) == {"a": [1, [None, "b"]]}
    assert through(names["Many"][date], [date(2024, 1, 1)]) == [date(2024, 1, 1)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax came with 3.12")
def test_generic_classes_of_the_new_syntax_work() -> None:
    #
    names: dict[str, Any] = {"__name__": __name__}
    exec(
        "from __future__ import annotations\n"
        "import dataclasses, datetime\n"
        "@dataclasses.dataclass\n"
        "class Cell[T]:\n"
        "    value: T\n"
        "    next: Cell[T] | None = None\n",
        names,
    )
    cell = names["Cell"]
    value = cell(date(2024, 1, 1), cell(date(2024, 1, 2)))

    assert through(cell[date], value) == value
