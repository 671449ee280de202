"""What Google calls a handler with, and what it gets, with an endpoint by hand."""

from __future__ import annotations

import json
import signal
from base64 import b64encode
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.platform import Answer
from edgeflow_google import EventNotTaken, GooglePlatform
from tests.platforms.google.noting import NotingEndpoint, answered

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.platform import Request

flask = pytest.importorskip("flask", reason="the package flask is not installed")
cloudevents = pytest.importorskip(
    "cloudevents.http", reason="the package cloudevents is not installed"
)
testing = pytest.importorskip(
    "starlette.testclient", reason="the packages starlette and httpx are not installed"
)

PLATFORM = GooglePlatform()


class NotingGuard:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def listen(self, signals: tuple[int, ...]) -> bool:
        self.calls.append(signals)
        return True

    def prepare(self) -> None:
        self.calls.append("prepare")

    def hear(self, number: int) -> None:
        raise NotImplementedError

    def wait(self, timeout: float) -> bool:
        raise NotImplementedError


@pytest.fixture(name="endpoint", autouse=True)
def endpoint_fixture(monkeypatch: pytest.MonkeyPatch) -> NotingEndpoint:
    monkeypatch.delenv("CLOUD_RUN_TIMEOUT_SECONDS", raising=False)
    return NotingEndpoint()


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"K_SERVICE": "shop"}, "K_SERVICE is set"),
        ({"FUNCTION_TARGET": "checkout"}, "FUNCTION_TARGET is set"),
        ({"K_SERVICE": ""}, None),
        ({}, None),
    ],
)
def test_it_is_detected(environ: dict[str, str], why: str | None) -> None:
    assert PLATFORM.detect(environ) == why


def test_the_guard_prepares_for_threads_when_a_handler_is_defined() -> None:
    # P-09
    guard = NotingGuard()
    PLATFORM.prepare(guard)
    PLATFORM.install(guard)

    assert guard.calls == ["prepare", (signal.SIGTERM,)]


def test_the_entry_is_a_plain_function_with_a_name(endpoint: NotingEndpoint) -> None:
    entry = PLATFORM.entry(endpoint)

    assert isinstance(entry, FunctionType)
    assert entry.__name__ == "checkout"
    assert entry.__doc__ == "Sell something."


# --- Flask's requests -----------------------------------------------------------


def call(endpoint: NotingEndpoint, *args: Any, **kwargs: Any) -> Any:
    """Send a request through Flask, as functions-framework does."""
    app = flask.Flask("shop")
    with app.test_request_context(*args, **kwargs):
        request = flask.request._get_current_object()  # noqa: SLF001  as functions-framework does
        return app.make_response(PLATFORM.entry(endpoint)(request))


def only(endpoint: NotingEndpoint) -> Request:
    (request,) = endpoint.requests
    return request


def test_a_request_of_flask_is_translated(endpoint: NotingEndpoint) -> None:
    headers = {"Idempotency-Key": "k"}
    call(endpoint, "/a%20b/c?x=1&y=", method="PUT", data=b"body", headers=headers)

    request = only(endpoint)
    assert (request.source, request.method, request.path) == ("http", "PUT", "/a b/c")
    assert request.headers["idempotency-key"] == "k"
    assert request.query == {"x": "1", "y": ""}
    assert request.body == b"body"
    assert not request.authenticated


def test_the_answer_is_what_flask_sends(endpoint: NotingEndpoint) -> None:
    endpoint.reply = answered(503)
    response = call(endpoint, "/", method="POST")

    assert response.status_code == 503
    assert response.get_data() == b"503"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["retry-after"] == "1"


def test_head_is_a_get(endpoint: NotingEndpoint) -> None:
    call(endpoint, "/", method="HEAD")

    assert only(endpoint).method == "GET"


def test_no_more_of_a_long_body_is_read_than_shows_it(endpoint: NotingEndpoint) -> None:
    call(endpoint, "/", method="POST", data=b"x" * 1000)

    assert len(only(endpoint).body) == endpoint.settings["max_body"] + 1


class Trickle:
    """A stream that gives a byte at once."""

    def __init__(self, content: bytes) -> None:
        self.left = content

    def read(self, _most: int) -> bytes:
        part, self.left = self.left[:1], self.left[1:]
        return part


def test_a_body_may_come_in_parts(endpoint: NotingEndpoint) -> None:
    stream = {"wsgi.input": Trickle(b"body"), "wsgi.input_terminated": True}
    call(endpoint, "/", method="POST", environ_overrides=stream)

    assert only(endpoint).body == b"body"


@pytest.mark.parametrize(
    ("variable", "max_run", "seconds"),
    [
        ("60", None, 60.0),
        ("60", 5.0, 60.0),
        ("0", None, 300.0),  # none, for functions-framework; Cloud Run has its default
        ("", None, 300.0),
        ("", 5.0, None),  # `max_run` is the core's affair
    ],
)
def test_the_deadline_is_the_timeout_of_the_service(
    variable: str,
    max_run: float | None,
    seconds: float | None,
    endpoint: NotingEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # P-04
    monkeypatch.setenv("CLOUD_RUN_TIMEOUT_SECONDS", variable)
    endpoint.settings = {**endpoint.settings, "max_run": max_run}
    call(endpoint, "/", method="POST")

    assert only(endpoint).seconds_left == seconds


# --- ASGI -----------------------------------------------------------------------


def shop_of(entry: Callable[..., Any]) -> Any:
    """What functions-framework --asgi makes of a function."""
    from starlette.applications import Starlette  # noqa: PLC0415  may be missing
    from starlette.concurrency import run_in_threadpool  # noqa: PLC0415  likewise
    from starlette.routing import Route  # noqa: PLC0415  likewise

    async def checkout(request: Any) -> Any:
        return await run_in_threadpool(entry, request)

    return Starlette(routes=[Route("/{path:path}", checkout, methods=["POST"])])


@pytest.mark.parametrize("way", ["called", "attribute", "starlette"])
def test_the_entry_is_an_asgi_application_too(
    way: str, endpoint: NotingEndpoint
) -> None:
    entry: Any = PLATFORM.entry(endpoint)
    app = {"called": entry, "attribute": entry.asgi, "starlette": shop_of(entry)}[way]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    client = testing.TestClient(asgi)
    response = client.post("/a/b?x=1", content=b"body")

    request = only(endpoint)
    assert (response.status_code, response.content) == (200, b"200")
    assert (request.path, request.query, request.body) == ("/a/b", {"x": "1"}, b"body")
    assert request.seconds_left == 300


def test_what_is_no_request_is_refused_with_advice(endpoint: NotingEndpoint) -> None:
    # What an ASGI server does that takes a plain function for an application of ASGI 2.
    with pytest.raises(TypeError, match=r"called with a dict.*main:checkout\.asgi"):
        PLATFORM.entry(endpoint)({"type": "http"})


# --- CloudEvents ------------------------------------------------------------------


def cloud_event(data: Any, type: str = "shop.ordered") -> Any:
    attributes = {"type": type, "source": "//shop", "id": "7"}
    return cloudevents.CloudEvent(attributes, data)


def published(message: Any) -> Any:
    return cloud_event(
        {"message": message, "subscription": "projects/p/subscriptions/s"},
        "google.cloud.pubsub.topic.v1.messagePublished",
    )


def base64(content: bytes) -> str:
    return b64encode(content).decode()


def test_a_cloud_event_is_translated(endpoint: NotingEndpoint) -> None:
    event = cloud_event({"order": 1})

    assert PLATFORM.entry(endpoint)(event) is None
    request = only(endpoint)
    assert (request.source, request.event) == ("event", {"order": 1})
    assert request.delivery == "//shop#7"
    assert request.native is event
    assert not request.authenticated
    assert request.seconds_left == 300


def test_an_event_is_vouched_for_only_where_the_platform_is_said_to(
    endpoint: NotingEndpoint,
) -> None:
    endpoint.settings = {**endpoint.settings, "ingress": "platform"}
    PLATFORM.entry(endpoint)(cloud_event(1))

    assert only(endpoint).authenticated


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b'{"order": 1}', {"order": 1}),
        (b"order 1", "order 1"),
        (b"\xff\x00", "/wA="),
        ("order 2", "order 2"),
        (None, None),
    ],
)
def test_the_data_of_an_event_is_plain_json(
    data: Any, event: Any, endpoint: NotingEndpoint
) -> None:
    PLATFORM.entry(endpoint)(cloud_event(data))

    assert only(endpoint).event == event
    assert json.dumps(only(endpoint).event)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"data": base64(b'{"order": 1}'), "messageId": "1"}, {"order": 1}),
        ({"data": base64(b"order 1"), "messageId": "1"}, "order 1"),
        ({"attributes": {"a": "b"}}, {"attributes": {"a": "b"}}),
        ({"data": "", "messageId": "1"}, {"data": "", "messageId": "1"}),
    ],
)
def test_the_event_is_what_was_published(
    message: Any, event: Any, endpoint: NotingEndpoint
) -> None:
    PLATFORM.entry(endpoint)(published(message))

    assert only(endpoint).event == event


def test_what_only_looks_published_is_left_as_it_is(endpoint: NotingEndpoint) -> None:
    data = {"message": {"data": base64(b"1")}}
    PLATFORM.entry(endpoint)(cloud_event(data))

    assert only(endpoint).event == data


@pytest.mark.parametrize("status", [200, 202, 409, 500])
def test_what_is_decided_is_not_delivered_again(
    status: int, endpoint: NotingEndpoint
) -> None:
    # S40
    endpoint.reply = answered(status)

    assert PLATFORM.entry(endpoint)(cloud_event(1)) is None


@pytest.mark.parametrize("status", [400, 403, 404, 503])
def test_what_is_not_durable_is_delivered_again(
    status: int, endpoint: NotingEndpoint
) -> None:
    # S40, P-05
    endpoint.reply = Answer(status=status, value="", content=b'{"error": "away"}')

    with pytest.raises(EventNotTaken, match=rf"'checkout'.*//shop#7: {status} .*away"):
        PLATFORM.entry(endpoint)(cloud_event(1))
