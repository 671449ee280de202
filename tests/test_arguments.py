"""What a step does to its arguments stays its own (S14), at little cost."""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.engine.arguments import Arguments
from edgeflow.values import signature

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Basket:
    items: list[str] = field(default_factory=list)


class Level(IntEnum):
    LOW = 1


class Client:
    """A live object, which nobody can copy."""


async def plain(number: int, note: str = "") -> None: ...


async def shop(basket: Basket, client: Client | None = None) -> None: ...


async def many(first: Basket, /, *more: Basket, **named: Basket) -> None: ...


def arguments(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Arguments:
    return Arguments(signature(function), args, kwargs)


def test_immutable_scalars_are_handed_over_as_they_came() -> None:
    kept = arguments(plain, 1, note="a")

    assert kept.fresh() == ((1,), {"note": "a"})
    assert kept.fresh()[0] is kept.fresh()[0]


def test_of_immutable_scalars_no_annotation_is_asked_for() -> None:
    known = signature(shop)
    asked: list[str] = []
    known.parameter = asked.append  # type: ignore[method-assign, assignment]  # pyright: ignore[reportAttributeAccessIssue]

    Arguments(known, (None, b"a"), {"other": 1.5}).fresh()

    assert asked == []


def test_each_attempt_gets_copies_of_its_own() -> None:
    basket = Basket(["a"])
    kept = arguments(shop, basket)
    basket.items.append("later")

    copies = [kept.fresh()[0][0] for _ in range(3)]
    for copy in copies:
        assert copy == Basket(["a"])
        copy.items.append("changed")

    assert len({id(each) for each in (basket, *copies)}) == 4
    assert kept.fresh()[0][0] == Basket(["a"])


def test_an_argument_by_name_is_copied_too() -> None:
    basket = Basket(["a"])
    kept = arguments(shop, basket=basket)
    basket.items.append("later")

    assert kept.fresh()[1] == kept.fresh()[1] == {"basket": Basket(["a"])}


def test_every_kind_of_parameter_is_copied_along_its_annotation() -> None:
    kept = arguments(many, Basket(["a"]), Basket(["b"]), named=Basket(["c"]), n=1)

    for _ in range(2):
        args, kwargs = kept.fresh()
        assert list(args) == [Basket(["a"]), Basket(["b"])]
        assert kwargs == {"named": Basket(["c"]), "n": 1}


@pytest.mark.parametrize(
    "value",
    [
        Client(),
        (1, 2),
        {1: 2},
        [Client()],
        {"a": (1, 2)},
        Level.LOW,
        OrderedDict[str, int](a=1),
    ],
)
def test_what_does_not_come_back_equal_is_passed_as_it_is(value: object) -> None:
    kept = arguments(shop, value, client=value)

    for _ in range(2):
        args, kwargs = kept.fresh()
        assert args[0] is kwargs["client"] is value


def test_what_does_not_fit_its_annotation_is_copied_as_plain_json() -> None:
    kept = arguments(plain, [1], note={"a": [2]})
    (first,), named = kept.fresh()
    first.append(2)
    named["note"]["a"].append(3)

    assert kept.fresh() == ([[1]], {"note": {"a": [2]}})


def test_too_many_arguments_are_for_the_function_to_refuse() -> None:
    args, kwargs = arguments(plain, 1, "a", [2], other=[3]).fresh()

    assert [list(args), kwargs] == [[1, "a", [2]], {"other": [3]}]


def test_what_a_partial_binds_is_no_argument() -> None:
    bound = functools.partial(shop, client=None)

    assert arguments(bound, Basket(["a"])).fresh()[0] == [Basket(["a"])]


def test_an_annotation_that_comes_later_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def take(value: Any) -> None: ...

    take.__annotations__["value"] = "Late"
    known = signature(take)
    early = Basket(["a"])
    assert Arguments(known, (early,), {}).fresh()[0][0] is early

    monkeypatch.setitem(globals(), "Late", Basket)

    (late,) = Arguments(known, (early,), {}).fresh()[0]
    assert late == early
    assert late is not early


def test_an_annotation_without_json_form_is_asked_for_once() -> None:
    known = signature(shop)
    asked: list[str] = []
    parameter = known.parameter

    def counted(name: str) -> Any:
        asked.append(name)
        return parameter(name)

    known.parameter = counted  # type: ignore[method-assign]

    for _ in range(3):
        client = Client()
        assert Arguments(known, (None, client), {}).fresh()[0][1] is client

    assert asked == ["client"]
