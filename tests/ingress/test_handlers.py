"""A handler is made of a function or of a workflow, and can be started as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, DefinitionError, workflow
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore
from tests.ingress.place import Place, anyone, endpoint_of, event

if TYPE_CHECKING:
    from edgeflow.platform import Guard


@pytest.fixture
def app() -> App:
    return App(MemoryStore(), platform=Place(), clock=VirtualClock())


@workflow
async def elsewhere(ctx: Context, event: dict[str, Any]) -> str:
    """Made without an app."""
    return "elsewhere"


async def test_every_form_makes_a_handler_of_a_workflow_of_this_app(app: App) -> None:
    @app.handler
    async def bare(ctx: Context, event: dict[str, Any]) -> str:
        return "bare"

    @app.handler()
    async def called(ctx: Context, event: dict[str, Any]) -> str:
        return "called"

    @app.handler(id="id", name="by name", durability="suspend")
    async def named(ctx: Context, event: dict[str, Any]) -> str:
        return "named"

    @app.workflow
    async def ours(ctx: Context, event: dict[str, Any]) -> str:
        return "ours"

    handlers: dict[str, Any] = {
        "bare": bare,
        "called": called,
        "by name": named,
        "ours": app.handler(ours, id="id"),
        "elsewhere": app.handler(elsewhere, id="id"),
    }

    for name, handler in handlers.items():
        answer = await handler(event({"id": f"{name} 1"}))
        assert (answer.status, answer.value) == (
            200,
            name.removeprefix("by ").replace("name", "named"),
        )
        assert endpoint_of(handler).name == handler.workflow.name == name
        assert app.known(name) is handler.workflow
    assert named.workflow.durability == "suspend"
    assert endpoint_of(handlers["elsewhere"]).doc == "Made without an app."
    assert len(app.workflows) == len(handlers)


async def test_a_handlers_workflow_can_be_started_by_hand(app: App) -> None:
    @app.handler(id="id")
    async def greet(ctx: Context, event: dict[str, Any]) -> str:
        return f"hello {event['who']}"

    by_hand = await app.run(greet.workflow, {"id": "i", "who": "ada"}, id="i")
    handler: Any = greet

    assert by_hand == "hello ada"
    assert (await handler(event({"id": "i"}))).value == "hello ada"


async def test_one_workflow_may_have_two_handlers(app: App) -> None:
    first: Any = app.handler(elsewhere, id="id")
    second: Any = app.handler(elsewhere, id="order")

    assert (await first(event({"id": "i"}))).value == "elsewhere"
    assert (await second(event({"order": "i"}))).value == "elsewhere"
    assert app.workflows == (elsewhere,)


def test_two_of_one_name_are_refused(app: App) -> None:
    async def twice(ctx: Context) -> None: ...

    app.handler(twice)

    with pytest.raises(DefinitionError, match="twice"):
        app.handler(twice)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"id": ""}, "id=''"),
        ({"id": 7}, "id=7"),
        ({"id": ["order", "id"]}, r"id=\['order', 'id'\]"),
        ({"input": ""}, "input=''"),
        ({"input": False}, "input=False"),
        ({"authorize": "all"}, "authorize='all'"),
    ],
)
def test_what_can_find_nothing_is_refused_where_it_is_given(
    app: App, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        app.handler(elsewhere, **options)


@pytest.mark.parametrize("function", [len, anyone, "checkout", object])
def test_what_is_no_async_def_is_no_handler(app: App, function: Any) -> None:
    with pytest.raises(DefinitionError, match="async def"):
        app.handler(id="id")(function)


def test_the_platform_may_prepare_where_a_handler_is_defined() -> None:
    prepared: list[Guard] = []

    class Early(Place):
        def prepare(self, guard: Guard) -> None:
            prepared.append(guard)

    app = App("memory:", platform=Early())
    assert prepared == []
    app.handler(elsewhere)

    assert prepared == [app.session.guard]
    assert not app.session.is_open
