"""Without an annotation the run-time type decides, and plain JSON comes back."""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from edgeflow.errors import Unencodable
from edgeflow.values import converter, dumps, loads


class Color(enum.Enum):
    RED = "red"


@dataclass
class Item:
    sku: str
    parts: tuple[int, ...] = ()


class Place(NamedTuple):
    city: str
    zip: int


@attrs.define
class Car:
    make: str


class Model(pydantic.BaseModel):
    tags: set[int]


class Struct(msgspec.Struct):
    tags: set[int]


class Service:
    def call(self) -> None: ...


def plain(value: object) -> object:
    both = converter(Any)
    return both.decode(loads(dumps(both.encode(value))))


CASES: list[tuple[object, object]] = [
    ((1, (2,)), [1, [2]]),
    ([{3, 1, 2}], [[1, 2, 3]]),
    (frozenset({"b", "a"}), ["a", "b"]),
    (Item("a", (1, 2)), {"sku": "a", "parts": [1, 2]}),
    (Place("a", 1), ["a", 1]),
    (Car("a"), {"make": "a"}),
    (Model(tags={2, 1}), {"tags": [1, 2]}),
    (Struct({2, 1}), {"tags": [1, 2]}),
    (Color.RED, "red"),
    (b"\x00\xff", "AP8="),
    (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
    (date(2024, 1, 2), "2024-01-02"),
    (time(1, 2), "01:02:00"),
    (timedelta(days=1, microseconds=5), "P1DT0.000005S"),
    (Decimal("1.10"), "1.10"),
    (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
]


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_a_value_becomes_plain_json(value: object, expected: object) -> None:
    #
    assert plain(value) == expected


@pytest.mark.parametrize("value", [1, 1.0, -0.0, 5e-324, True, None, "1"], ids=repr)
def test_scalars_come_back_as_they_are(value: object) -> None:
    #
    assert repr(plain(value)) == repr(value)


def test_a_class_instance_with_methods_is_refused() -> None:
    #
    with pytest.raises(Unencodable, match=r"^\$: found .*Service, which has no JSON"):
        converter(Any).encode(Service())
