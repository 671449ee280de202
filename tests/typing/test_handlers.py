"""What type checkers infer of handlers; pytest runs it too."""

# pyright: reportUnnecessaryTypeIgnoreComment=true
# So that both checkers see that what is ignored here is an error to them.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_type

import pytest

from edgeflow import App, Context, DefinitionError, Workflow, workflow
from edgeflow.handlers import Handler

if TYPE_CHECKING:
    from edgeflow.platform import Action, Request


@dataclass
class Order:
    items: list[str]


@workflow
async def count(ctx: Context, order: Order) -> int:
    return len(order.items)


def test_a_handler_knows_the_workflow_it_runs() -> None:
    app = App("memory:", platform="process")

    @app.handler
    async def bare(ctx: Context, order: Order) -> int:
        return 1

    @app.handler
    async def alone(ctx: Context) -> str:
        return "alone"

    @app.handler(id="order_id", input="order")
    async def configured(ctx: Context, order: Order) -> list[str]:
        return order.items

    @app.handler()
    async def called(ctx: Context) -> None: ...

    made = app.handler(count, id=lambda event: event["id"], authorize=is_known)

    assert_type(bare, Handler[Order, int])
    assert_type(bare.workflow, Workflow[Order, int])
    assert_type(alone.workflow, Workflow[None, str])
    assert_type(configured.workflow, Workflow[Order, list[str]])
    assert_type(called.workflow, Workflow[None, None])
    assert_type(made.workflow, Workflow[Order, int])


async def test_a_result_has_the_type_that_the_function_gives() -> None:
    app = App("memory:", platform="process")

    @app.handler(id="order_id")
    async def items(ctx: Context, order: Order) -> list[str]:
        return order.items

    found = await app.run(items.workflow, Order(["a"]))
    assert_type(found, list[str])

    assert found == ["a"]


def test_what_does_not_fit_is_an_error_to_the_checkers() -> None:
    app = App("memory:", platform="process")

    def plain(ctx: Context) -> None: ...

    with pytest.raises(DefinitionError):
        app.handler(plain)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError):
        app.handler(count, id=7)  # type: ignore[call-overload]


async def is_known(request: Request, action: Action) -> bool:
    assert_type(request.event, Any)
    assert_type(action.id, str)
    return request.authenticated
