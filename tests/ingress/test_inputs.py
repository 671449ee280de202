"""What of an event is the input of the body, and what if it does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal  # noqa: TC003  a workflow's annotations are read
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context
from edgeflow.store import Limits
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.ingress.place import Place, error_type, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.platform import Answer


@dataclass
class Order:
    amount: Decimal
    items: list[str]


@dataclass
class Picky:
    word: str

    def __post_init__(self) -> None:
        raise RuntimeError(f"{self.word} is no word")


@pytest.fixture
def store() -> RecordingStore:
    return RecordingStore(MemoryStore())


@pytest.fixture
def app(store: RecordingStore) -> App:
    return App(store, platform=Place(), clock=VirtualClock())


# P-03
@pytest.mark.parametrize(
    ("input", "given", "found"),
    [
        (None, {"id": "i", "x": 1}, {"id": "i", "x": 1}),
        ("order", {"id": "i", "order": [1]}, [1]),
        ("a.b", {"id": "i", "a": {"b": 0}}, 0),
        (len, {"id": "i"}, 1),
        ("order", {"id": "i"}, None),
        ("order", {"id": "i", "order": None}, None),
        ("a.b.c", {"id": "i", "a": 1}, None),
    ],
)
async def test_the_input_is_the_event_or_what_is_found_in_it(
    app: App, input: str | Callable[[Any], Any] | None, given: Any, found: Any
) -> None:
    @app.handler(id="id", input=input)
    async def echo(ctx: Context, value: Any) -> list[Any]:
        return [value]

    answer: Answer = await echo(event(given))

    assert (answer.status, answer.value) == (200, [found])


# P-03
async def test_an_input_comes_as_what_the_workflow_says(app: App) -> None:
    @app.handler(id="id", input="order")
    async def total(ctx: Context, order: Order) -> Decimal:
        return order.amount * len(order.items)

    order = {"amount": "1.50", "items": ["a", "b"]}
    answer: Answer = await total(event({"id": "i", "order": order}))

    assert (answer.status, answer.value) == (200, "3.00")


# P-03
@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"id": "i", "order": {"amount": "1", "items": ["a", 2]}}, "$.items[1]"),
        ({"id": "i", "order": {"amount": "much", "items": []}}, "$.amount"),
        ({"id": "i", "order": {"items": []}}, "amount"),
        ({"id": "i", "order": "a-1"}, "$"),
        ({"id": "i"}, "$"),
    ],
)
async def test_an_input_that_does_not_fit_is_refused_with_its_place(
    app: App, store: RecordingStore, given: Any, place: str
) -> None:
    @app.handler(id="id", input="order")
    async def total(ctx: Context, order: Order) -> None: ...

    answer: Answer = await total(event(given))

    assert (answer.status, error_type(answer)) == (400, "Undecodable")
    assert place in answer.value["error"]["message"]
    assert not store.calls


# P-03
async def test_an_input_whose_class_refuses_it_is_refused_with_its_words(
    app: App, store: RecordingStore
) -> None:
    @app.handler(id="id", input="word")
    async def say(ctx: Context, word: Picky) -> None: ...

    answer: Answer = await say(event({"id": "i", "word": {"word": "x"}}))

    assert (answer.status, error_type(answer)) == (400, "Undecodable")
    assert "x is no word" in answer.value["error"]["message"]
    assert b"Traceback" not in answer.content
    assert not store.calls


# P-03
async def test_a_body_without_input_and_one_with_a_default_need_none(app: App) -> None:
    @app.handler(id="id")
    async def none(ctx: Context) -> str:
        return "none"

    @app.handler(id="id", input="word")
    async def default(ctx: Context, word: str = "default") -> str:
        return word

    assert (await none(event({"id": "n", "more": 1}))).value == "none"
    assert (await default(event({"id": "d"}))).value == "default"


# P-03
async def test_a_function_that_finds_no_input_is_a_refusal(
    app: App, store: RecordingStore
) -> None:
    @app.handler(id="id", input=lambda event: event["order"])
    async def body(ctx: Context, order: Any) -> None: ...

    answer: Answer = await body(event({"id": "i"}))

    assert (answer.status, error_type(answer)) == (400, "KeyError")
    assert not store.calls


async def test_an_input_above_the_limit_of_the_store_is_refused_413() -> None:
    store = MemoryStore(Limits(max_frame=10_000))
    app = App(store, platform=Place(), clock=VirtualClock())

    @app.handler(id="id")
    async def body(ctx: Context, event: Any) -> None: ...

    answer: Answer = await body(event({"id": "i", "text": "x" * 20_000}))

    assert (answer.status, error_type(answer)) == (413, "ValueTooLarge")
    assert answer.is_refused
