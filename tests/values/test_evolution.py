"""Records that older code has written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, TypedDict

import attrs
import pytest

from edgeflow.errors import Undecodable
from edgeflow.values import converter


@dataclass
class Order:
    id: str
    note: str = "none"
    tags: list[str] = field(default_factory=lambda: ["new"])


@attrs.define
class Car:
    make: str
    _doors: int = 4
    tags: list[str] = attrs.field(factory=lambda: ["new"])


class Place(NamedTuple):
    city: str
    zip: str = "?"


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


def test_a_gained_field_takes_its_default() -> None:
    #
    assert converter(Order).decode({"id": "a"}) == Order("a", "none", ["new"])
    assert converter(Car).decode({"make": "a"}) == Car("a", 4, ["new"])
    assert converter(Place).decode({"city": "a"}) == Place("a", "?")
    assert converter(Movie).decode({"title": "a"}) == {"title": "a"}


def test_the_key_of_a_lost_field_is_ignored() -> None:
    #
    assert converter(Order).decode({"id": "a", "gone": [1]}) == Order("a")
    assert converter(Car).decode({"make": "a", "gone": [1]}) == Car("a")
    assert converter(Place).decode({"city": "a", "gone": 1}) == Place("a")
    assert converter(Movie).decode({"title": "a", "gone": 1}) == {"title": "a"}


@pytest.mark.parametrize(
    ("cls", "name"),
    [(Order, "id"), (Car, "make"), (Place, "city"), (Movie, "title")],
    ids=str,
)
def test_a_gained_field_without_default_is_named_with_its_class(
    cls: type, name: str
) -> None:
    #
    with pytest.raises(Undecodable, match=rf"\$\[0\]: {cls.__name__} needs .*{name}"):
        converter(list[cls]).decode([{}])  # type: ignore[valid-type]  # a parameter


def test_a_named_tuple_recorded_without_annotation_is_understood() -> None:
    assert converter(Place).decode(["a"]) == Place("a", "?")
    with pytest.raises(Undecodable, match="expected Place, found list"):
        converter(Place).decode(["a", "b", "c"])
