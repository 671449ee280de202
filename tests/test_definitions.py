"""What cannot be a step, a workflow or a policy is refused where it is written."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, DefinitionError, Retry, step, workflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


async def stream() -> AsyncIterator[int]:
    yield 1


async def give() -> int:
    return 7


async def ambiguous() -> str | bytes:
    return ""


async def no_context() -> None: ...


async def three(ctx: Context, a: int, b: int) -> None: ...


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: step(stream), "generator"),
        (lambda: step(int), "wants a function"),
        (lambda: step(ambiguous), "str"),
        (lambda: step(timeout=0)(give), "timeout"),
        (lambda: step(durability="never")(give), "durability"),  # type: ignore[call-overload]
        (lambda: step(name="")(give), "name"),
        (lambda: step(name="a\0b")(give), "NUL"),
        (lambda: step(name="\ud800")(give), "no valid text"),
        (lambda: workflow(no_context), "takes 0 parameters"),  # type: ignore[arg-type]
        (lambda: workflow(three), "takes 3 parameters"),  # type: ignore[arg-type]
        (lambda: workflow(len), "async def"),  # type: ignore[arg-type]
        (lambda: Retry(attempts=0), "attempts"),
        (lambda: Retry(factor=0.5), "factor"),
        (lambda: Retry(jitter=2), "jitter"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused_at_once(
    make: Callable[[], Any], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        make()


def test_a_second_workflow_of_one_name_is_refused() -> None:
    @workflow(name="one")
    async def first(ctx: Context) -> None: ...

    @workflow(name="one")
    async def second(ctx: Context) -> None: ...

    with pytest.raises(DefinitionError, match="two workflows are called 'one'"):
        App("memory:", workflows=[first, second])


def test_a_delay_beyond_all_floats_is_the_cap() -> None:
    assert Retry(factor=10.0, cap=30, jitter=0).delay(10_000, 0.5) == 30


async def test_a_step_of_a_class_and_of_a_partial_work_outside_a_body() -> None:
    class Bank:
        balance = 5

        @step
        async def add(self, amount: int) -> int:
            return self.balance + amount

    async def plus(a: int, b: int) -> int:
        return a + b

    assert await Bank().add(2) == 7
    assert await step(name="plus")(partial(plus, 1))(2) == 3
    assert repr(step(give)) == "<step 'give'>"
