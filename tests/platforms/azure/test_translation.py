"""What Azure Functions calls a handler with, with an endpoint by hand."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from edgeflow.platform import Answer
from edgeflow_azure import AzurePlatform, EventNotTaken
from tests.platforms.google.noting import NotingEndpoint, answered

if TYPE_CHECKING:
    from pathlib import Path

    from edgeflow.platform import Request

func = pytest.importorskip(
    "azure.functions", reason="the package azure-functions is not installed"
)
queue = pytest.importorskip("azure.functions.queue")
timer = pytest.importorskip("azure.functions.timer")

PLATFORM = AzurePlatform()


@pytest.fixture(name="endpoint")
def endpoint_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NotingEndpoint:
    monkeypatch.setenv("AzureWebJobsScriptRoot", str(tmp_path))
    return NotingEndpoint()


def only(endpoint: NotingEndpoint) -> Request:
    (request,) = endpoint.requests
    return request


def http(url: str = "https://shop.example/api/checkout", **given: Any) -> Any:
    options = {"method": "POST", "url": url, "body": b"{}", **given}
    return func.HttpRequest(**options)


async def test_it_is_detected() -> None:
    assert PLATFORM.detect({"FUNCTIONS_WORKER_RUNTIME": "python"})
    assert PLATFORM.detect({"FUNCTIONS_WORKER_RUNTIME": "node"}) is None
    assert PLATFORM.detect({}) is None


async def test_the_entry_is_what_the_worker_takes_for_a_function(
    endpoint: NotingEndpoint,
) -> None:
    entry = PLATFORM.entry(endpoint)

    assert inspect.iscoroutinefunction(entry)
    assert list(inspect.signature(entry).parameters) == ["req"]
    assert get_type_hints(entry) == {}
    assert (entry.__name__, entry.__doc__) == ("checkout", "Sell something.")


async def test_one_entry_may_have_several_triggers(endpoint: NotingEndpoint) -> None:
    entry, app = PLATFORM.entry(endpoint), func.FunctionApp()
    app.route(route="checkout/{*path}")(entry)
    app.function_name("wakes")(
        app.queue_trigger(arg_name="req", queue_name="q", connection="c")(entry)
    )

    names = [function.get_function_name() for function in app.get_functions()]
    assert names == ["checkout", "wakes"]


async def test_a_request_is_translated(endpoint: NotingEndpoint) -> None:
    request = http(
        method="put",
        params={"x": "1"},
        route_params={"path": "edgeflow/instances/a b"},
        headers={"Idempotency-Key": "k"},
        body=b"body",
    )
    await PLATFORM.entry(endpoint)(request)

    found = only(endpoint)
    assert (found.source, found.method) == ("http", "PUT")
    assert found.path == "/edgeflow/instances/a b"
    assert found.headers == {"idempotency-key": "k"}
    assert found.query == {"x": "1"}
    assert found.body == b"body"
    assert not found.authenticated


@pytest.mark.parametrize("rest", [{}, {"path": ""}, {"path": None}])
async def test_a_route_without_a_rest_is_the_handler_itself(
    rest: dict[str, Any], endpoint: NotingEndpoint
) -> None:
    await PLATFORM.entry(endpoint)(http(route_params=rest))

    assert only(endpoint).path == "/"


async def test_no_more_of_a_long_body_is_kept_than_shows_it(
    endpoint: NotingEndpoint,
) -> None:
    await PLATFORM.entry(endpoint)(http(body=b"x" * 1000))

    assert len(only(endpoint).body) == endpoint.settings["max_body"] + 1


async def test_head_is_a_get(endpoint: NotingEndpoint) -> None:
    await PLATFORM.entry(endpoint)(http(method="HEAD"))

    assert only(endpoint).method == "GET"


async def test_the_answer_is_a_response(endpoint: NotingEndpoint) -> None:
    endpoint.reply = answered(503)
    response = await PLATFORM.entry(endpoint)(http())

    assert response.status_code == 503
    assert response.get_body() == b"503"
    assert response.mimetype == "application/json"
    assert response.headers["retry-after"] == "1"


# --- deadlines --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "http_seconds", "queue_seconds"),
    [
        (None, 230, 300),
        ({}, 230, 300),
        ({"functionTimeout": "00:02:05"}, 125, 125),
        ({"functionTimeout": "00:30:00"}, 230, 1800),
        ({"functionTimeout": "1.00:00:00"}, 230, 86_400),
        ({"functionTimeout": "-1"}, 230, 300),
    ],
)
async def test_the_deadline_is_in_host_json(
    host: Any,
    http_seconds: float,
    queue_seconds: float,
    endpoint: NotingEndpoint,
    tmp_path: Path,
) -> None:
    # P-04
    if host is not None:
        (tmp_path / "host.json").write_text(json.dumps(host), "utf-8")
    await PLATFORM.entry(endpoint)(http())
    await PLATFORM.entry(endpoint)(message(b"1"))

    given = [request.seconds_left for request in endpoint.requests]
    assert given == [http_seconds, queue_seconds]


async def test_a_variable_has_more_weight_than_host_json(
    endpoint: NotingEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "host.json").write_text('{"functionTimeout": "00:02:05"}', "utf-8")
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "00:00:20")
    await PLATFORM.entry(endpoint)(http())

    assert only(endpoint).seconds_left == 20


async def test_the_setting_has_the_last_word(
    endpoint: NotingEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "00:00:20")
    endpoint.settings = {**endpoint.settings, "function_timeout": 10.0}
    await PLATFORM.entry(endpoint)(http())

    assert only(endpoint).seconds_left == 10


# --- messages, and the timer --------------------------------------------------------


def message(body: bytes) -> Any:
    return queue.QueueMessage(id="m-1", body=body, dequeue_count=1)


@pytest.mark.parametrize(
    ("body", "event"),
    [
        (b'{"order": 1}', {"order": 1}),
        ("Grüße".encode(), "Grüße"),
        (b"\xff", "\ufffd"),
        (b"", ""),
    ],
)
async def test_a_message_is_an_event(
    body: bytes, event: Any, endpoint: NotingEndpoint
) -> None:
    sent = message(body)

    assert await PLATFORM.entry(endpoint)(sent) is None
    found = only(endpoint)
    assert (found.source, found.event) == ("event", event)
    assert found.delivery == "m-1"
    assert found.authenticated
    assert found.native is sent


async def test_the_timer_runs_what_is_due(endpoint: NotingEndpoint) -> None:
    assert await PLATFORM.entry(endpoint)(timer.TimerRequest()) is None
    found = only(endpoint)
    assert found.event == {"edgeflow": {"run_due": None}}
    assert found.authenticated


@pytest.mark.parametrize("status", [200, 202, 409, 500])
async def test_what_is_decided_is_not_delivered_again(
    status: int, endpoint: NotingEndpoint
) -> None:
    # S40
    endpoint.reply = answered(status)

    assert await PLATFORM.entry(endpoint)(message(b"1")) is None


@pytest.mark.parametrize("status", [400, 403, 404, 503])
async def test_what_is_not_durable_is_delivered_again(
    status: int, endpoint: NotingEndpoint
) -> None:
    # S40, P-05
    endpoint.reply = Answer(status=status, value="", content=b'{"error": "away"}')

    with pytest.raises(EventNotTaken, match=rf"'checkout'.*m-1: {status} .*away"):
        await PLATFORM.entry(endpoint)(message(b"1"))


async def test_another_trigger_is_refused(endpoint: NotingEndpoint) -> None:
    with pytest.raises(TypeError, match="it serves HTTP, queue and timer triggers"):
        await PLATFORM.entry(endpoint)(func.EventHubEvent(body=b"1"))
