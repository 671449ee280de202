"""What is refused, with its path, its type, and what to do."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Never, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest

from edgeflow.errors import Undecodable, Unencodable
from edgeflow.values import converter

if TYPE_CHECKING:
    from edgeflow.values import Json


class Color(StrEnum):
    RED = "red"


@dataclass
class Item:
    sku: str
    price: float = 0.0


@dataclass
class Special(Item):
    extra: int = 0


@dataclass
class Order:
    items: list[Item] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Node:
    next: Node | None = None


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("odd")


class Movie(TypedDict):
    title: str


class Watched(TypedDict):
    movie: Movie
    at: int


class Model(pydantic.BaseModel):
    numbers: list[int] = []


class Struct(msgspec.Struct):
    numbers: list[int] = []


class SubModel(Model):
    more: int = 0


def refused(annotation: object, value: object) -> pytest.ExceptionInfo[Unencodable]:
    with pytest.raises(Unencodable) as caught:
        converter(annotation).encode(value)
    return caught


def undecodable(annotation: object, value: Json) -> pytest.ExceptionInfo[Undecodable]:
    with pytest.raises(Undecodable) as caught:
        converter(annotation).decode(value)
    return caught


def cyclic_list() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def cyclic_node() -> Node:
    node = Node()
    node.next = node
    return node


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        (io.StringIO(), "$", "StringIO, .*give its path"),
        (lambda: None, "$", "function .*lambda.*give its name"),
        ([1, {"a b": [object()]}], "$[1]['a b'][0]", "found object"),
        ({"x": "a\ud800"}, "$.x", r"lone surrogate \(U\+D800 at 1\)"),
        ({"a\ud800": 1}, "$['a\\ud800']", "lone surrogate"),
        ({"s": {object()}}, "$.s[*]", "found object"),
        (iter([1]), "$", "list_iterator, .*make it a list"),
        ({"a": complex(1)}, "$.a", "complex"),
        ([bytearray(b"a")], "$[0]", "bytearray"),
        (Order(notes={"f": open}), "$.notes.f", "open"),
        ([time(1, tzinfo=ZoneInfo("Europe/Berlin"))], "$[0]", "without fixed offset"),
    ],
)
def test_what_has_no_json_form_is_refused(value: object, path: str, why: str) -> None:
    #
    error = refused(Any, value)

    assert error.value.path == path
    error.match(why)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Any, cyclic_list()),
        (list[Any], cyclic_list()),
        (Node, cyclic_node()),
        (Any, cyclic_node()),
        (Node | int, cyclic_node()),
    ],
)
def test_a_cyclic_value_is_refused(annotation: object, value: object) -> None:
    #
    error = refused(annotation, value)

    error.match("contains itself")
    assert "…" in error.value.path
    assert len(error.value.path) < 100


def test_nesting_has_one_limit_on_every_way() -> None:
    #
    value: list[object] = []
    for _ in range(127):
        value = [value]

    for annotation in (Any, list, list[Any]):
        both = converter(annotation)
        assert both.decode(both.encode(value)) == value
        refused(annotation, [value]).match("deeper than 128")


def test_json_that_is_too_deep_for_a_recursive_type_is_undecodable() -> None:
    value: dict[str, Json] = {}
    for _ in range(sys.getrecursionlimit()):
        value = {"next": value}

    undecodable(Node, value).match("deeper than 128")


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        ([float("nan")], "$[0]", "the float NaN"),
        ({"a": float("inf")}, "$.a", "the float inf"),
        ([0, -(2**63) - 1], "$[1]", "64 bits"),
        ({"a": -(2**63) - 1}, "$.a", "64 bits"),
        (Item("a", float("-inf")), "$.price", "the float -inf"),
        ([Decimal("NaN")], "$[0]", "the Decimal NaN"),
        (2**64, "$", "65 bits"),
        (-(2**63) - 1, "$", "64 bits"),
        (
            {"a": {1: 2}},
            "$.a",
            r"key of type int needs an annotation.*dict\[int, str\]",
        ),
        ({None: 2}, "$", "key of type None"),
    ],
)
def test_what_json_does_not_carry_exactly_is_refused(
    value: object, path: str, why: str
) -> None:
    #
    error = refused(Any, value)

    assert error.value.path == path
    error.match(why)


@pytest.mark.parametrize(
    ("annotation", "value", "path", "why"),
    [
        (int, True, "$", "expected int, found bool"),
        (int, 1.0, "$", "expected int, found float"),
        (int, 2**64, "$", "65 bits"),
        (int, -(2**63) - 1, "$", "64 bits"),
        (float, True, "$", "expected float, found bool"),
        (float, float("nan"), "$", "NaN"),
        (float, 2**53 + 1, "$", "54 bits, more than a float holds exactly"),
        (str, b"", "$", "expected str, found bytes"),
        (bool, 1, "$", "expected bool, found int"),
        (None, 0, "$", "expected None, found int"),
        (list[int], (1,), "$", r"expected list\[int\], found tuple"),
        (list[int], [1, "a"], "$[1]", "expected int, found str"),
        (list[int], [1, True], "$[1]", "expected int, found bool"),
        (list[int], [1, -(2**63) - 1], "$[1]", "64 bits"),
        (list[float], [1.0, float("nan")], "$[1]", "NaN"),
        (list[str], ["a", "\ud800"], "$[1]", "lone surrogate"),
        (set[int], {2**64}, "$[*]", "65 bits"),
        (dict[str, Any], {"a": [1, float("nan")]}, "$.a[1]", "NaN"),
        (dict[str, Any], {"\ud800": 1}, "$", "lone surrogate"),
        (dict[str, Any], {1: 2}, "$", "expected str, found int"),
        (tuple[int, str], (1,), "$", "expected 2 items .*found 1"),
        (tuple[int, str], (1, 2), "$[1]", "expected str"),
        (set[int], {"a"}, "$[*]", "expected int"),
        (set[Any], {(1, 2)}, "$[*]", r"write, for example, set\[tuple"),
        (dict[str, int], {"a": "b"}, "$.a", "expected int"),
        (dict[int, int], {"a": 1}, "$", "expected int, found str"),
        (dict[str, int], [], "$", "expected dict"),
        (date, datetime(2024, 1, 1), "$", "expected datetime.date"),  # noqa: DTZ001
        (datetime, date(2024, 1, 1), "$", "expected datetime, found datetime.date"),
        (UUID, "a", "$", "expected UUID"),
        (Color, "red", "$", "expected Color"),
        (Literal["a", 1], True, "$", "found bool"),
        (Literal["a"], [], "$", "found list"),
        (Item, {"sku": "a"}, "$", "expected Item, found dict"),
        (Item, Special("a"), "$", r"a subclass.*annotate Item \| Special"),
        (Order, Order([Item("a", "b")]), "$.items[0].price", "expected float"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (Movie, {}, "$", "Movie needs a value for title"),
        (Movie, {"title": "a", "year": 1}, "$", "Movie does not declare 'year'"),
        (Movie, {"title": 1}, "$.title", "expected str"),
        (Watched, {"movie": {"title": 1}}, "$", "Watched needs a value for at"),
        (Model, Model.model_construct(numbers=["a"]), "$", "pydantic cannot dump"),
        (Model, SubModel(), "$", "expected Model, found .*SubModel"),
        (Struct, Struct(["a"]), "$.numbers[0]", "would not come back"),  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        (int | str, 1.5, "$", r"expected int \| str, found float"),
        (int | list[str], [1], "$[0]", "expected str"),
        (Never, None, "$", "no value at all"),
    ],
)
def test_a_value_that_does_not_fit_its_annotation_is_refused(
    annotation: object, value: object, path: str, why: str
) -> None:
    error = refused(annotation, value)

    assert error.value.path == path
    error.match(why)


@pytest.mark.parametrize(
    ("annotation", "value", "path", "why"),
    [
        (int, "1", "$", "expected int, found str"),
        (int, 1.0, "$", "expected int, found float"),
        (list[int], [1, None], "$[1]", "expected int, found None"),
        (Watched, {"movie": {}}, "$", "Watched needs a value for at"),
        (Watched, {"movie": {}, "at": 1}, "$.movie", "Movie needs a value for title"),
        (tuple[int, int], [1], "$", "expected 2 items"),
        (dict[int, int], {"1_0 ": 1, "x": 2}, "$.x", "expected int, found str"),
        (dict[bool, int], {"yes": 1}, "$.yes", "expected bool"),
        (datetime, "yesterday", "$", "this text is no datetime"),
        (datetime, 5, "$", "expected datetime as text, found int"),
        (Decimal, "x", "$", "this text is no Decimal$"),
        (Decimal, "NaN", "$", "not finite"),
        (bytes, "ü", "$", "this text is no bytes"),
        (bytes, "a", "$", "this text is no bytes"),
        (UUID, "a", "$", "this text is no UUID"),
        (Color, "blue", "$", "'blue' is no value of Color"),
        (Color, [], "$", "list is no value of Color"),
        (
            Order,
            {"items": [{"sku": "a"}, {"sku": 1}]},
            "$.items[1].sku",
            "expected str",
        ),
        (Even, {"number": 1}, "$", "Even refuses it: ValueError: odd"),
        (Model, {"numbers": [1, "a"]}, "$.numbers[1]", "Model refuses it"),
        (Struct, {"numbers": [1, "a"]}, "$.numbers[1]", "refuses it: Expected `int`"),
        (int | None, "a", "$", "expected int"),
        (int | list[int], "a", "$", r"expected int \| list\[int\], found str"),
    ],
)
def test_json_that_does_not_fit_its_annotation_is_undecodable(
    annotation: object, value: Json, path: str, why: str
) -> None:
    error = undecodable(annotation, value)

    assert error.value.path == path
    error.match(why)


def test_an_unset_field_is_named() -> None:
    item = Item("a")
    del item.sku

    refused(Item, item).match("this Item has no sku")


def test_two_keys_with_one_text_are_refused() -> None:
    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 1

        __eq__ = object.__eq__

    refused(Any, {Name("a"): 1, "a": 2}).match("two of its keys")
