"""Which instance an event is for; one that does not say is refused, nothing done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.ingress.place import Place, anyone, asked, error_type, event, http

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.platform import Answer, Request

LONGEST = "x" * 255


class Shop:
    """An app that remembers which instances its handlers ran, and what was written."""

    def __init__(self) -> None:
        self.store = RecordingStore(MemoryStore())
        self.app = App(self.store, platform=Place(), clock=VirtualClock())

    def handler(self, id: str | Callable[[Any], Any] | None) -> Any:
        @self.app.handler(id=id, authorize=anyone)
        async def whose(ctx: Context, event: Any) -> str:
            return ctx.id

        return whose

    async def ran(self) -> list[str]:
        return [info.id async for info in self.app.find()]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def of_both(event: Any) -> str:
    return f"{event['a']}/{event['b']}"


def of_order(event: Any) -> Any:
    """Look for an id as a user would."""
    return event["order"]["id"]


# P-03
@pytest.mark.parametrize(
    ("id", "given", "instance"),
    [
        ("order_id", {"order_id": "o-1"}, "o-1"),
        ("order.id", {"order": {"id": "o-1"}}, "o-1"),
        ("order.id", {"order.id": "whole", "order": {"id": "part"}}, "whole"),
        ("records.0.id", {"records": [{"id": "o-1"}, {"id": "o-2"}]}, "o-1"),
        ("0", ["o-1"], "o-1"),
        (of_order, {"order": {"id": "o-1"}}, "o-1"),
        (of_both, {"a": 1, "b": 2}, "1/2"),
        ("id", {"id": 42}, "42"),
        ("id", {"id": 2**64 - 1}, str(2**64 - 1)),
        ("id", {"id": -7}, "-7"),
        ("id", {"id": LONGEST}, LONGEST),
        ("id", {"id": "Zürich/ß 🙂"}, "Zürich/ß 🙂"),
        ("id", {"id": " "}, " "),
    ],
)
async def test_an_event_is_for_the_instance_it_names(
    shop: Shop, id: str | Callable[[Any], Any], given: Any, instance: str
) -> None:
    handler = shop.handler(id)

    answers: list[Answer] = [
        await handler(event(given)),
        await handler(http("/", given)),
    ]

    assert [(a.status, a.value) for a in answers] == [(200, instance)] * 2
    assert await shop.ran() == [instance]


# P-03  S27
@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, "NoId"),
        ({"id": None}, "NoId"),
        ({"id": ""}, "NoId"),
        ({"ID": "o-1"}, "NoId"),
        ([], "NoId"),
        ("id", "NoId"),
        (None, "NoId"),
        ({"id": True}, "BadId"),
        ({"id": 1.5}, "BadId"),
        ({"id": 2**64}, "BadId"),
        ({"id": ["o-1"]}, "BadId"),
        ({"id": {"id": "o-1"}}, "BadId"),
        ({"id": f"{LONGEST}x"}, "BadId"),
        ({"id": "~reply/x"}, "BadId"),
        ({"id": "a\0b"}, "BadId"),
        ({"id": "\0" * 100_000}, "BadId"),
        ({"id": "x" * 100_000}, "BadId"),
    ],
)
async def test_an_event_without_an_id_is_refused_and_nothing_is_written(
    shop: Shop, given: Any, error: str, *, over_http: bool
) -> None:
    handler = shop.handler("id")

    answer: Answer = await handler(http("/", given) if over_http else event(given))

    assert (answer.status, error_type(answer)) == (400, error)
    assert answer.is_refused
    assert len(answer.content) < 5000  # of what came in little goes out again
    assert await shop.ran() == []
    assert shop.store.calls == ["find"]


# P-03
async def test_what_is_no_json_but_python_is_refused_too(shop: Shop) -> None:
    handler = shop.handler("id")

    for strange in ("\ud800", 10**5000, b"o-1", object()):
        answer: Answer = await handler(event({"id": strange}))
        assert (answer.status, error_type(answer)) == (400, "BadId")
    assert not shop.store.calls


# P-03
async def test_a_lone_surrogate_over_http_is_no_json(shop: Shop) -> None:
    answer: Answer = await shop.handler("id")(http("/", b'{"id": "\\ud800"}'))

    assert (answer.status, error_type(answer)) == (400, "BadJson")


# P-03
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "the id of the instance cannot be found in the event: 'order'"),
        ({"order": 1}, "the id of the instance cannot be found in the event"),
        (None, "the id of the instance cannot be found in the event"),
    ],
)
async def test_a_function_that_finds_no_id_is_a_refusal_whatever_it_raises(
    shop: Shop, given: Any, message: str
) -> None:
    answer: Answer = await shop.handler(of_order)(event(given))

    assert (answer.status, answer.value["error"]["message"]) == (400, message)
    assert not shop.store.calls


# P-03
@pytest.mark.parametrize("found", [None, "", True, "~x"])
async def test_what_a_function_finds_is_checked_too(shop: Shop, found: Any) -> None:
    answer: Answer = await shop.handler(lambda _: found)(event({}))

    assert answer.status == 400
    assert not shop.store.calls


async def test_what_a_function_says_can_always_be_sent_back(shop: Shop) -> None:
    def find(event: Any) -> str:
        raise LookupError(event["id"] * 10_000)

    answer: Answer = await shop.handler(find)(event({"id": "\ud800"}))

    assert answer.status == 400
    assert "\\ud800" in answer.value["error"]["message"]
    assert len(answer.content) < 10_000


async def test_a_function_may_raise_anything_and_only_its_type_goes_out(
    shop: Shop,
) -> None:
    def find(_: Any) -> str:
        raise OSError("/srv/secret is not there")

    answer: Answer = await shop.handler(find)(event({}))

    assert (answer.status, error_type(answer)) == (400, "OSError")
    assert b"secret" not in answer.content


# P-03
@pytest.mark.parametrize(
    ("request_", "instance"),
    [
        (event({}, delivery="message-1"), "message-1"),
        (
            event({}, delivery="message-1", headers={"idempotency-key": "k"}),
            "message-1",
        ),
    ],
)
async def test_without_id_the_delivery_is_the_instance(
    shop: Shop, request_: Request, instance: str
) -> None:
    handler = shop.handler(None)

    for _ in range(2):
        assert (await handler(request_)).value == instance
    assert await shop.ran() == [instance]


# P-03
async def test_without_any_id_each_event_is_an_instance_of_its_own(shop: Shop) -> None:
    handler = shop.handler(None)

    ids = {(await handler(request)).value for request in (event({}), http("/", {}))}

    assert len(ids) == 2
    assert all(len(each) == 32 for each in ids)


# P-03
@pytest.mark.parametrize("key", [f"{LONGEST}x", "~x", "a\0"])
async def test_a_delivery_that_can_be_no_id_is_refused(shop: Shop, key: str) -> None:
    handler = shop.handler(None)

    answer: Answer = await handler(event({}, delivery=key))

    assert (answer.status, error_type(answer)) == (400, "BadId")
    assert not shop.store.calls


# P-03  P-02
@pytest.mark.parametrize("key", ["key-1", f"{LONGEST}x", "~x", "a\0", "ü", "\ud800"])
async def test_without_id_the_same_key_and_body_are_the_same_instance(
    shop: Shop, key: str
) -> None:
    handler = shop.handler(None)

    first, again = [
        (await handler(http("/", {"a": 1}, idempotency_key=key))).value
        for _ in range(2)
    ]

    assert first == again
    assert len(first) == 32
    assert await shop.ran() == [first]


# P-03
async def test_who_guesses_a_key_is_not_given_what_another_body_came_to(
    shop: Shop,
) -> None:
    """Nor what the same came to in another workflow."""
    handler = shop.handler(None)

    @shop.app.handler(authorize=anyone)
    async def other(ctx: Context, event: Any) -> str:
        return ctx.id

    requests = [
        (handler, http("/", {"a": 1}, idempotency_key="key-1")),
        (handler, http("/", {"a": 2}, idempotency_key="key-1")),
        (handler, http("/", {"a": 1}, idempotency_key="key-2")),
        (handler, http("/", idempotency_key="key-1")),
        (other, http("/", {"a": 1}, idempotency_key="key-1")),
    ]
    ids = {(await asked(each, request)).value for each, request in requests}

    assert len(ids) == len(requests)
    assert "key-1" not in ids


# P-03  S27
async def test_an_id_of_another_workflow_is_a_conflict(shop: Shop) -> None:
    await shop.handler("id")(event({"id": "taken"}))

    @shop.app.handler(id="id")
    async def other(ctx: Context, event: Any) -> None: ...

    answer: Answer = await other(event({"id": "taken"}))

    assert (answer.status, error_type(answer)) == (409, "AlreadyExists")
