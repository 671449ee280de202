"""What an ASGI server says becomes a request, and the answer what it wants to hear."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.platform import Answer
from edgeflow_asgi import AsgiHandler, AsgiPlatform
from tests.platforms.asgi.connections import NotingEndpoint, connect, http, part

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgeflow.platform import Platform, Request

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


async def test_a_request_comes_as_it_was_sent() -> None:
    endpoint = NotingEndpoint()
    scope = http(
        "PUT",
        "/edgeflow/a b",
        query_string=b"id=%C3%A9&empty=&id=2",
        headers=[
            (b"Content-Type", b"text/x"),
            *(
                (name, value)
                for name in (b"x-n", b"cookie")
                for value in (b"a=1", b"b")
            ),
        ],
    )

    await connect(AsgiHandler(endpoint), scope, part(b"[1,", more=True), part(b"2]"))

    (request,) = endpoint.requests
    assert request.source == "http"
    assert (request.method, request.path) == ("PUT", "/edgeflow/a b")
    assert request.query == {"id": "2", "empty": ""}
    assert request.headers == {
        "content-type": "text/x",
        "x-n": "a=1, b",
        "cookie": "a=1; b",
    }
    assert request.body == b"[1,2]"
    assert (request.authenticated, request.seconds_left) == (False, None)
    assert request.native == scope


async def test_an_answer_goes_out_as_json_with_its_length_and_headers() -> None:
    reply = Answer(
        status=503, value=None, content=b'"later"', headers={"Retry-After": "1"}
    )

    sent, _ = await connect(AsgiHandler(NotingEndpoint(reply)), http(), part())

    start, body = sent
    assert (start["type"], start["status"]) == ("http.response.start", 503)
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": b"7",
        b"retry-after": b"1",
    }
    assert body == {"type": "http.response.body", "body": b'"later"'}


async def test_head_is_a_get_whose_answer_is_cut() -> None:
    endpoint = NotingEndpoint()

    (start, body), _ = await connect(AsgiHandler(endpoint), http("HEAD"), part())

    assert endpoint.requests[0].method == "GET"
    assert dict(start["headers"])[b"content-length"] == b"1"
    assert body["body"] == b""


async def test_a_body_that_is_too_long_is_read_no_further() -> None:
    endpoint = NotingEndpoint()
    long = [part(b"1234567", more=True) for _ in range(5)]

    sent, unread = await connect(AsgiHandler(endpoint), http(), *long)

    assert endpoint.requests[0].body == b"12345671234"  # the core sees: more than 10
    assert unread == 3
    assert sent  # it is the core's to refuse it


async def test_a_body_is_too_long_by_one_byte_more() -> None:
    endpoint = NotingEndpoint()

    await connect(AsgiHandler(endpoint), http(), part(b"1" * 10, more=True), part(b"2"))

    assert endpoint.requests[0].body == b"11111111112"


async def test_a_body_of_just_the_limit_is_whole() -> None:
    endpoint = NotingEndpoint()

    await connect(
        AsgiHandler(endpoint), http(), part(b"12345", more=True), part(b"67890")
    )

    assert endpoint.requests[0].body == b"1234567890"


async def test_a_client_that_goes_away_within_its_body_starts_nothing() -> None:
    endpoint = NotingEndpoint()
    messages = part(b"{", more=True), {"type": "http.disconnect"}

    sent, _ = await connect(AsgiHandler(endpoint), http(), *messages)

    assert (endpoint.requests, sent) == ([], [])


async def test_a_client_that_is_gone_when_the_answer_is_there_is_no_error() -> None:
    endpoint = NotingEndpoint()

    async def receive() -> dict[str, Any]:
        return part()

    async def send(_: Any) -> None:
        raise BrokenPipeError

    await AsgiHandler(endpoint)(http(), receive, send)

    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("mount", "path", "below"),
    [
        ("", "/", "/"),
        ("", "/edgeflow/run-due", "/edgeflow/run-due"),
        ("/shop", "/shop", "/"),
        ("/shop", "/shop/", "/"),
        ("/shop/", "/shop/edgeflow", "/edgeflow"),
        ("/a/b", "/a/b/edgeflow/run-due", "/edgeflow/run-due"),
        ("/shop", "/shopping", "/shopping"),
        ("/shop", "/edgeflow/run-due", "/edgeflow/run-due"),  # Starlette before 0.33
        ("/shop", "", "/"),
    ],
)
async def test_the_path_is_what_is_below_the_mount(
    mount: str, path: str, below: str
) -> None:
    endpoint = NotingEndpoint()

    await connect(AsgiHandler(endpoint), http(path=path, root_path=mount), part())

    assert endpoint.requests[0].path == below


async def test_what_need_not_be_in_a_scope_may_be_missing() -> None:
    endpoint = NotingEndpoint()

    await connect(
        AsgiHandler(endpoint), {"type": "http", "method": "GET", "path": "/"}, part()
    )

    (request,) = endpoint.requests
    assert (request.path, request.headers, request.query) == ("/", {}, {})


async def test_a_platform_says_what_time_is_left_and_whom_it_vouches_for() -> None:
    endpoint = NotingEndpoint()
    handler = AsgiHandler(
        endpoint,
        seconds_left=lambda _: 3.5,
        authenticated=lambda request: request.path == "/in",
    )

    await connect(handler, http(path="/in"), part())
    await connect(handler, http(path="/out"), part())

    assert [r.seconds_left for r in endpoint.requests] == [3.5, 3.5]
    assert [r.authenticated for r in endpoint.requests] == [True, False]


async def test_the_app_is_open_from_startup_to_shutdown() -> None:
    endpoint = NotingEndpoint()

    sent, _ = await connect(
        AsgiHandler(endpoint), {"type": "lifespan"}, STARTUP, SHUTDOWN
    )

    assert endpoint.opened == ["startup", "shutdown"]
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


@pytest.mark.parametrize("at", ["startup", "shutdown"])
async def test_a_server_is_told_why_the_app_cannot_be_opened_or_closed(at: str) -> None:
    endpoint = NotingEndpoint(fails_at=at)

    sent, _ = await connect(
        AsgiHandler(endpoint), {"type": "lifespan"}, STARTUP, SHUTDOWN
    )

    assert sent[-1] == {
        "type": f"lifespan.{at}.failed",
        "message": "checkout: ConnectionError: the store is away",
    }


async def test_a_framework_opens_and_closes_the_app() -> None:
    endpoint = NotingEndpoint()

    async with AsgiHandler(endpoint).lifespan("the framework's app"):
        assert endpoint.opened == ["startup"]

    assert endpoint.opened == ["startup", "shutdown"]


async def test_a_websocket_is_refused() -> None:
    connected = {"type": "websocket.connect"}

    sent, _ = await connect(
        AsgiHandler(NotingEndpoint()), {"type": "websocket"}, connected
    )

    assert sent == [{"type": "websocket.close", "code": 1003}]


async def test_what_is_not_known_is_refused_as_the_specification_wants() -> None:
    with pytest.raises(NotImplementedError, match=r"'checkout' does not serve 'quic'"):
        await connect(AsgiHandler(NotingEndpoint()), {"type": "quic"})


async def test_a_server_that_cancels_a_request_cancels_the_run_and_is_told() -> None:
    # It is an eviction: the core flushes before it lets the cancellation pass.
    waiting, evicted = asyncio.Event(), asyncio.Event()

    class Waits(NotingEndpoint):
        async def answer(self, request: Request) -> Answer:
            waiting.set()
            try:
                return await asyncio.Future()
            finally:
                evicted.set()

    serving = asyncio.create_task(connect(AsgiHandler(Waits()), http(), part()))
    await waiting.wait()
    serving.cancel()

    with pytest.raises(asyncio.CancelledError):
        await serving
    assert evicted.is_set()


async def test_starlette_mounts_a_handler() -> None:
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    endpoint = NotingEndpoint()
    inner = applications.Starlette(
        routes=[routing.Mount("/shop", app=AsgiHandler(endpoint))]
    )
    outer = applications.Starlette(routes=[routing.Mount("/v1", app=inner)])

    await paths_below(outer, "/v1/shop", endpoint)


async def test_starlette_routes_to_a_handler() -> None:
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    endpoint = NotingEndpoint()
    app = applications.Starlette(
        routes=[routing.Route("/shop", AsgiHandler(endpoint), methods=["POST"])]
    )

    await connect(app, http(path="/shop"), part())

    assert [request.path for request in endpoint.requests] == ["/shop"]


async def test_fastapi_mounts_a_handler() -> None:
    fastapi = pytest.importorskip("fastapi")
    endpoint = NotingEndpoint()
    app = fastapi.FastAPI()
    app.mount("/shop", AsgiHandler(endpoint))

    await paths_below(app, "/shop", endpoint)


async def paths_below(
    app: Callable[..., Awaitable[None]], mount: str, endpoint: NotingEndpoint
) -> None:
    for path in ("/", "/edgeflow/run-due"):
        await connect(app, http(path=f"{mount}{path}"), part())

    assert [request.path for request in endpoint.requests] == ["/", "/edgeflow/run-due"]


def test_the_platform_is_one_that_is_asked_for() -> None:
    platform: Platform = AsgiPlatform()

    assert platform.detect({"SERVER_SOFTWARE": "uvicorn", "PORT": "8000"}) is None
    assert platform.waker({}) is None


def test_the_entry_looks_like_the_function() -> None:
    handler = AsgiPlatform().entry(NotingEndpoint())

    assert (handler.__name__, handler.__doc__) == ("checkout", "Sell something.")
