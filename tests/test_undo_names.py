"""What can be an undo: a function that another process finds by its name (I-12)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import pytest

from edgeflow import DefinitionError, Retry, step
from edgeflow.errors import ValueRefused
from edgeflow.steps import find_undo


@dataclass
class Payment:
    amount: int


@step(retry=Retry(attempts=7), timeout=9)
async def charge(amount: int) -> Payment:
    return Payment(amount)


@charge.undo
async def refund(payment: Payment) -> None: ...


@charge.undo(retry=Retry(attempts=2), timeout=1)
def refund_quickly(payment: Payment) -> None: ...


@step
async def book(room: int) -> int:
    return room


@book.undo
async def unbook(room) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    ...


def cancel(room: int) -> None: ...


class Bank:
    def refund(self, payment: Payment) -> None: ...

    @staticmethod
    def note(payment: Payment) -> None: ...


def without_arguments() -> None: ...


def with_two(payment: Payment, reason: str) -> None: ...


def by_keyword(*, payment: Payment) -> None: ...


def unstorable(payment: pytest.MonkeyPatch) -> None: ...


REFUSED: list[tuple[Any, str]] = [
    (functools.partial(with_two, reason="x"), "cannot be found by its name"),
    (without_arguments, "must take one argument"),
    (with_two, "must take one argument"),
    (by_keyword, "must take one argument"),
    (Bank.refund, "must take one argument"),
    (unstorable, "MonkeyPatch"),
    (7, "wants a function"),
    (Payment, "wants a function"),
]


@pytest.mark.parametrize(("function", "why"), REFUSED)
def test_what_cannot_be_called_by_its_name_is_refused_as_undo(
    function: Any, why: str
) -> None:
    # I-12
    with pytest.raises(DefinitionError, match=why):
        charge.undo(function)
    with pytest.raises(DefinitionError, match=why):
        charge.using(undo=function)


def test_a_closure_is_refused_as_undo() -> None:
    # I-12
    def inner(payment: Payment) -> None: ...

    with pytest.raises(DefinitionError, match=r"inner' cannot be found by its name"):
        charge.undo(inner)
    with pytest.raises(DefinitionError, match="cannot be found by its name"):
        charge.undo(lambda _: None)


def test_a_bound_method_is_refused_as_undo() -> None:
    # I-12
    with pytest.raises(DefinitionError, match="does not lead to the function"):
        charge.using(undo=Bank().refund)


def test_a_static_method_can_be_an_undo() -> None:
    assert charge.using(undo=Bank.note).options.undo is not None


def test_two_undos_of_one_name_are_refused() -> None:
    # I-12
    async def other(_room: int) -> None: ...

    other.__module__, other.__qualname__ = __name__, "refund"
    with pytest.raises(DefinitionError, match=r"is the undo of .*charge already"):
        book.undo(other)


def test_an_undo_has_the_policy_of_its_step_unless_it_has_its_own() -> None:
    # I-06
    found = find_undo(f"{__name__}:refund", {})
    quick = find_undo(f"{__name__}:refund_quickly", {})

    assert found is not None
    assert (found.options.policy.attempts, found.options.timeout) == (7, 9)
    assert quick is not None
    assert (quick.options.policy.attempts, quick.options.timeout) == (2, 1)


def test_one_undo_can_serve_several_steps_each_with_its_own_policy() -> None:
    # I-06
    @step(retry=Retry(attempts=5))
    async def charge_again(amount: int) -> Payment:
        return Payment(amount)

    charge_again.undo(refund)

    first = find_undo(f"{__name__}:refund", {})
    assert first is not None
    assert first.as_recorded({}).options.policy.attempts == 7
    second = charge_again.options.undo
    assert second is not None
    again = first.as_recorded(second.record())
    assert again.options.policy.attempts == 5
    assert again.function is first.function


def test_an_undo_without_an_annotation_takes_what_its_step_gives() -> None:
    # I-01
    found = find_undo(f"{__name__}:unbook", {})

    assert found is not None
    assert found.argument().decode(3) == 3
    with pytest.raises(ValueRefused):
        found.argument().decode("three")


def test_an_undo_that_nobody_declared_is_found_in_its_module_or_the_workflows() -> None:
    # I-12 S9
    found = find_undo(f"{__name__}:cancel", {})
    moved = find_undo("gone.away:cancel", globals())

    assert found is not None
    assert moved is not None
    assert found.function is moved.function is cancel
    assert find_undo("gone.away:never", globals()) is None
    assert find_undo(f"{__name__}:never", {}) is None
    assert find_undo(f"{__name__}:Bank.never", {}) is None


def test_a_module_that_is_loaded_again_may_declare_its_undo_again() -> None:
    # I-12
    async def refund_anew(payment: Payment) -> None: ...

    refund_anew.__module__, refund_anew.__qualname__ = __name__, "refund"
    known = charge.options.undo
    try:
        charge.undo(refund_anew)
        found = find_undo(f"{__name__}:refund", {})
        assert found is not None
        assert found.function is refund_anew
    finally:
        charge.undo(refund)
    assert charge.options.undo is not known
