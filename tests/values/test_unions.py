"""A union takes the first member that fits exactly; ambiguous ones are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, AnyStr, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

from edgeflow.errors import DefinitionError
from edgeflow.values import converter


@dataclass
class A:
    x: int


@dataclass
class B:
    x: int
    y: int = 0


@dataclass
class SameAsA:
    x: str


@dataclass
class Cat:
    name: str
    kind: Literal["cat"] = "cat"


@dataclass
class Dog:
    name: str
    kind: Literal["dog"] = "dog"


@dataclass
class Leaf:
    value: int


@dataclass
class Branch:
    parts: list[Branch | Leaf]


class Keyed(TypedDict):
    x: int


class Row(NamedTuple):
    x: int
    z: int


class Color(StrEnum):
    RED = "red"


class Hue(Enum):
    RED = "red"
    BLUE = "blue"


class Nothing(Enum):
    HERE = None


class Bird(pydantic.BaseModel):
    kind: Literal["bird"] = "bird"
    name: str


class Fish(pydantic.BaseModel):
    kind: Literal["fish"] = "fish"
    name: str


class Open(pydantic.BaseModel, extra="allow"):
    name: str


class Up(msgspec.Struct, tag=True):
    by: int


class Down(msgspec.Struct, tag=True):
    by: int


class Flat(msgspec.Struct, array_like=True):
    by: int


@pytest.mark.parametrize(
    ("annotation", "one", "other"),
    [
        (str | datetime, "str", "datetime"),
        (bytes | str, "bytes", "str"),
        (Decimal | str, "Decimal", "str"),
        (bytes | Decimal, "bytes", "Decimal"),
        (bytes | timedelta, "bytes", "timedelta"),
        (list[int] | set[int], "list[int]", "set[int]"),
        (list[int] | tuple[str, ...], "list[int]", "tuple[str, ...]"),
        (list[int] | tuple[int, int], "list[int]", "tuple[int, int]"),
        (list[A] | list[SameAsA], "list[", "list["),
        (Sequence[date] | list[date], "Sequence", "list"),
        (A | SameAsA, "A", "SameAsA"),
        (dict[str, Any] | A, "dict[str, typing.Any]", "A"),
        (dict[str, str] | A, "dict[str, str]", "A"),
        (dict[int, int] | dict[str, int], "dict[int, int]", "dict[str, int]"),
        (Keyed | A, "Keyed", "A"),
        (Color | str, "Color", "str"),
        (Color | Hue, "Color", "Hue"),
        (Literal["red"] | Color, "Literal", "Color"),
        (Nothing | None, "Nothing", "None"),
        (Any | date, "Any", "date"),
        (Open | A, "Open", "A"),
        (Flat | list[int], "Flat", "list[int]"),
        (AnyStr, "str", "bytes"),
    ],
)
def test_members_that_look_alike_are_refused(
    annotation: object, one: str, other: str
) -> None:
    #
    with pytest.raises(DefinitionError, match="ambiguous") as caught:
        converter(annotation)
    names = str(caught.value).partition("the JSON of ")[2]
    assert one in names
    assert other in names


FINE: list[tuple[object, list[object]]] = [
        (int | float, [1, 1.0, -0.0]),
        (float | int, [1, 1.0]),
        (int | str | bool | None, [1, "1", True, None]),
        (date | datetime | time | timedelta | Decimal | UUID, [
            date(2024, 1, 1),
            datetime(2024, 1, 1),  # noqa: DTZ001 - looks most like a date
            time(12),
            timedelta(1),
            Decimal(12),
            UUID(int=1),
        ]),
        (A | B, [A(1), B(1), B(1, 2)]),
        (B | A, [A(1), B(1), B(1, 2)]),
        (A | Row | None, [A(1), Row(1, 2), None]),
        (Cat | Dog, [Cat("a"), Dog("a")]),
        (list[Cat | Dog], [[Cat("a"), Dog("a")]]),
        (list[Cat] | list[Dog], [[Cat("a")], [Dog("a")], []]),
        (Bird | Fish | Cat, [Bird(name="a"), Fish(name="a"), Cat("a")]),
        (Up | Down, [Up(1), Down(1)]),
        (Branch | Leaf, [Branch([Leaf(1), Branch([])]), Leaf(2)]),
        (Color | int, [Color.RED, 1]),
        (Color | Literal["blue"], [Color.RED, "blue"]),
        (Literal[1] | int, [1, 2]),  # noqa: PYI051 - people write it
        (list[int] | list[float], [[1], [1.5]]),
        (dict[str, int] | dict[str, str], [{"a": 1}, {"a": "b"}, {}]),
        (tuple[int] | tuple[int, int] | int, [(1,), (1, 2), 1]),
        (tuple[Literal["a"], int] | tuple[Literal["b"], int], [("a", 1), ("b", 1)]),
        (dict[str, Any] | list[Any] | str | None, [{"a": [1]}, [{}], "a", None]),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "values"), FINE)
def test_decoding_chooses_the_member_that_encoded(
    annotation: object, values: list[object]
) -> None:
    #
    both = converter(annotation)
    for value in values:
        back: object = both.decode(both.encode(value))
        assert back == value
        assert type(back) is type(value)


def test_any_takes_plain_members_in() -> None:
    assert converter(Any | None).decode([1]) == [1]


def test_an_int_goes_to_float_if_no_member_is_int() -> None:
    both = converter(float | str)

    assert repr(both.encode(1)) == "1.0"
    assert repr(both.decode(1)) == "1.0"


def test_a_subclass_goes_to_the_first_member_that_takes_it() -> None:
    assert converter(int | str).encode(Color.RED) == "red"


def test_an_older_record_goes_to_the_member_without_unknown_keys() -> None:
    #
    @dataclass
    class Grown:
        x: int
        new: int = 5

    @dataclass
    class Other:
        w: int = 0

    both = converter(Other | Grown)

    assert both.decode({"x": 1}) == Grown(1)
    assert both.decode({"w": 1, "gone": 2}) == Other(1)


def test_no_member_that_fits_is_told_by_the_closest() -> None:
    with pytest.raises(Exception, match=r"\$\.x: expected int, found str"):
        converter(A | B).decode({"x": "a"})
    with pytest.raises(Exception, match=r"\$: expected .*A \| .*B, found dict"):
        converter(A | Row | Leaf | B).decode({"parts": "a"})
