"""Annotations that cannot be used, and how functions are read."""

from __future__ import annotations

import functools
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, ParamSpec, TypeVar, cast

import pytest

from edgeflow.errors import DefinitionError, Unencodable
from edgeflow.values import converter, signature

if TYPE_CHECKING:
    from fractions import Fraction

T = TypeVar("T")
P = ParamSpec("P")


class Client:
    pass


@dataclass
class Holder:
    client: Client


@dataclass
class Later:
    amount: Fraction


@dataclass
class Grows(Generic[T]):
    more: Grows[list[T]] | None = None


@dataclass
class Seeded:
    x: int
    seed: InitVar[int]


class Broken(Enum):
    A = object()


class Twice(Enum):
    A = (1, 2)
    B = [1, 2]  # noqa: RUF012 - the value of a member


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (Client, "Client is no type that JSON can carry"),
        (Path, "Path"),
        (io.StringIO, "StringIO"),
        (complex, "complex"),
        (list[Client], "Client"),
        (defaultdict[str, int], "defaultdict"),
        (Callable[[], int], "Callable"),
        (Iterator[int], "Iterator"),
        (type[int], r"type\[int\]"),
        (Holder, "Holder.client: .*Client is no type"),
        (Later, "Later.amount.*'Fraction' cannot be resolved at run time.*import"),
        ("Nowhere", "'Nowhere' cannot be resolved"),
        (Grows[int], "without an end"),
        (Seeded, "Seeded.seed"),
        (Broken, "Broken: .*found object"),
        (Twice, "Twice: .*same JSON form"),
        (dict[None, int], "keys of type None"),
        (set[list[int]], "a set cannot hold what .*list"),
        (dict[int | str, int], "keys of type"),
        (dict[tuple[int, int], int], "keys of type tuple"),
        (dict[Literal[1, "1"], int], "same text"),
        (P, "P"),
        (5, "5"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named(
    annotation: object, why: str
) -> None:
    with pytest.raises(DefinitionError, match=why):
        converter(annotation)


def test_a_converter_is_made_once() -> None:
    assert converter(dict[str, int]) is converter(dict[str, int])
    assert repr(converter(dict[str, int])) == "<Converter of dict[str, int]>"


async def charge(
    client: Client, amount: int, *rest: float, note: str = ""
) -> list[int]:
    del client, amount, rest, note
    return []


async def later(amount: Fraction) -> Fraction:
    return amount


def bare(value, *, other=1):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]
    ...


def generic(value: T) -> list[T]:
    return [value]


class Service:
    def method(self, amount: int) -> str:
        return str(amount)

    @classmethod
    def of_class(cls, amount: int) -> str:
        return str(amount)

    def __call__(self, amount: int) -> str:
        return str(amount)


@functools.wraps(charge)
def wrapped(*args: object, **kwargs: object) -> object:
    return args, kwargs


def test_a_function_gives_its_converters() -> None:
    found = signature(charge)

    assert list(found.parameters) == ["client", "amount", "rest", "note"]
    assert found.parameter("amount") is converter(int)
    assert found.parameter("rest") is converter(float)
    assert found.result() is converter(list[int])
    assert found.result() is found.result()


def test_an_annotation_is_resolved_once_and_until_then_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def early(amount: int) -> int:
        return amount

    early.__annotations__.update({"amount": "Amount", "return": "Amount"})
    found = signature(early)
    for _ in range(2):
        with pytest.raises(DefinitionError, match="'Amount' cannot be resolved"):
            found.parameter("amount")
        with pytest.raises(DefinitionError, match="'Amount' cannot be resolved"):
            found.result()
    monkeypatch.setitem(globals(), "Amount", int)

    assert found.parameter("amount") is found.result() is converter(int)
    monkeypatch.delitem(globals(), "Amount")
    assert found.parameter("amount") is found.result() is converter(int)
    with pytest.raises(KeyError):
        found.parameter("other")


def test_only_the_annotation_that_is_asked_for_must_be_usable() -> None:
    with pytest.raises(DefinitionError, match=r"client of charge: .*Client"):
        signature(charge).parameter("client")


@pytest.mark.parametrize(
    "function",
    [
        Service().method,
        Service.of_class,
        Service(),
        functools.partial(
            Service(),
        ),
    ],
)
def test_methods_and_callables_have_no_self(function: Callable[..., str]) -> None:
    found = signature(function)

    assert list(found.parameters) == ["amount"]
    assert found.parameter("amount") is converter(int)
    assert found.result() is converter(str)


def test_what_a_partial_binds_is_not_a_parameter() -> None:
    found = signature(functools.partial(charge, Client()))

    assert list(found.parameters) == ["amount", "rest", "note"]
    assert found.result() is converter(list[int])


def test_a_wrapper_is_read_as_what_it_wraps() -> None:
    assert signature(wrapped).result() is converter(list[int])


def test_no_annotation_means_any() -> None:
    found = signature(cast("Callable[..., object]", bare))

    assert found.result().encode((1,)) == [1]
    assert found.parameter("value").encode((1,)) == [1]
    assert signature(generic).result().encode([(1,)]) == [[1]]
    assert signature(dict).result().encode((1,)) == [1]


def test_a_name_only_for_type_checkers_is_named() -> None:
    with pytest.raises(
        DefinitionError, match=r"the result of later: .*'Fraction' cannot .* import"
    ):
        signature(later).result()
    with pytest.raises(DefinitionError, match="parameter amount of later"):
        signature(later).parameter("amount")


def test_classes_of_the_enclosing_function_are_found() -> None:
    @dataclass
    class Local:
        next: Local | None = None

    def make() -> list[Local]:
        return [Local()]

    assert signature(make).result().encode([Local(Local())]) == [
        {"next": {"next": None}}
    ]


def test_a_result_that_does_not_fit_is_refused_by_the_function_s_converter() -> None:
    with pytest.raises(Unencodable, match=r"\$\[0\]: expected int"):
        signature(charge).result().encode(["a"])
