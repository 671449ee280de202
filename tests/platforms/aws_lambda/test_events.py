"""Direct calls, events of a bus, and batches of a queue."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow_lambda import LambdaPlatform, Refused, Unavailable
from tests.platforms.aws_lambda.endpoints import (
    Context,
    NotingEndpoint,
    answer,
    trouble,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.platform import Answer, Request

SUSPENDED = {"id": "o1", "status": "suspended", "wake_at": None, "awaiting": ["paid"]}
FAILED = {"id": "o1", "status": "failed", "error": {"type": "E", "message": "m"}}


# --- direct calls -------------------------------------------------------------------


def test_a_direct_call_is_its_payload_and_answered_by_a_plain_value() -> None:
    # P-01
    endpoint = NotingEndpoint(lambda _: answer(value=[1]))
    event = {"order_id": "o1"}

    assert LambdaPlatform().entry(endpoint)(event, Context(milliseconds=1500)) == [1]

    (request,) = endpoint.requests
    assert (request.source, request.event) == ("event", event)
    assert request.authenticated
    assert (request.delivery, request.seconds_left) == ("request-1", 1.5)


@pytest.mark.parametrize(
    "decided",
    [
        answer(202, SUSPENDED),
        answer(500, FAILED),
        answer(409, {"id": "o1", "status": "cancelled"}),
        trouble(404),
    ],
)
def test_what_is_decided_is_returned_so_that_no_retry_comes(decided: Answer) -> None:
    # P-01, S40
    handler = LambdaPlatform().entry(NotingEndpoint(lambda _: decided))

    assert handler({"order_id": "o1"}, Context()) == decided.value


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (
            trouble(503, "the store\nis away"),
            Unavailable,
            "not done: the store is away",
        ),
        (trouble(400, "no id"), Refused, r"refused \(400\): no id"),
        (trouble(403, "not you"), Refused, r"refused \(403\): not you"),
        (answer(413, {"error": "too long"}), Refused, "too long"),
        (answer(400, "bad"), Refused, "bad"),
    ],
)
def test_what_was_not_done_is_raised(
    reply: Answer, error: type[Exception], message: str
) -> None:
    # P-03, P-05, S40: Lambda's own retry is the recovery
    handler = LambdaPlatform().entry(NotingEndpoint(lambda _: reply))

    with pytest.raises(error, match=message):
        handler({}, Context())


@pytest.mark.parametrize(
    "event",
    [
        None,
        "text",
        [{"eventSource": "aws:sqs"}],
        {"Records": []},
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "m"}}]},
        {"Records": "none"},
        {"version": "2.0", "requestContext": None},
        {"httpMethod": "GET"},
        {"detail": {}, "source": "s"},
    ],
)
def test_whatever_is_of_no_other_kind_is_a_direct_call(event: Any) -> None:
    endpoint = NotingEndpoint()

    LambdaPlatform().entry(endpoint)(event, Context())

    assert endpoint.requests[0].event == event
    assert endpoint.requests[0].source == "event"


class Nothing(BaseException):
    """Like SystemExit, but pytest lets it pass."""


@pytest.mark.parametrize(
    "event",
    [
        {"requestContext": {"eventType": "MESSAGE"}, "body": "{}"},  # a WebSocket
        {"version": "2.0", "method": "POST", "headers": {}, "body": "{}"},  # Lattice
    ],
)
def test_a_call_over_http_of_an_unknown_form_is_vouched_for_by_nobody(
    event: dict[str, Any],
) -> None:
    endpoint = NotingEndpoint(lambda _: answer(value=1))

    LambdaPlatform().entry(endpoint)(event, Context())

    (request,) = endpoint.requests
    assert not request.authenticated


def test_what_would_end_the_runtime_does_not_leave_the_handler() -> None:
    def fall(_request: Request) -> Answer:
        raise Nothing

    with pytest.raises(Unavailable, match="Nothing has ended the call"):
        LambdaPlatform().entry(NotingEndpoint(fall))({}, Context())


def test_a_handler_has_name_and_docstring_of_its_function() -> None:
    handler = LambdaPlatform().entry(NotingEndpoint())

    assert (handler.__name__, handler.__doc__) == ("checkout", "Sell something.")


# --- events of a bus ----------------------------------------------------------------


def test_an_event_of_a_bus_that_comes_twice_is_known_by_its_id() -> None:
    # P-02
    event = {
        "version": "0",
        "id": "6a7e8feb",
        "detail-type": "Order placed",
        "source": "shop",
        "detail": {"order_id": "o1"},
    }
    endpoint = NotingEndpoint()
    handler = LambdaPlatform().entry(endpoint)

    handler(event, Context("request-1"))
    handler(event, Context("request-2"))

    assert [r.delivery for r in endpoint.requests] == ["6a7e8feb", "6a7e8feb"]
    assert endpoint.requests[0].event == event


# --- queues -------------------------------------------------------------------------


def message(id: str, body: Any = None, *, group: str = "") -> dict[str, Any]:
    queue = "arn:aws:sqs:eu-west-1:123456789012:orders" + (".fifo" if group else "")
    return {
        "messageId": id,
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"MessageGroupId": group} if group else {},
        "eventSource": "aws:sqs",
        "eventSourceARN": queue,
    }


def batch(endpoint: NotingEndpoint, *messages: dict[str, Any]) -> list[str]:
    """Give the ids of the messages that stay in the queue."""
    result = LambdaPlatform().entry(endpoint)({"Records": [*messages]}, Context())
    return [failure["itemIdentifier"] for failure in result["batchItemFailures"]]


def test_each_message_is_a_request_of_its_own_known_by_its_id() -> None:
    # P-02
    endpoint = NotingEndpoint()

    assert (
        batch(endpoint, message("m1", {"order_id": "o1"}), message("m2", "text")) == []
    )

    found = {r.delivery: r for r in endpoint.requests}
    assert found["m1"].event == {"order_id": "o1"}
    assert found["m2"].event == "text"
    assert all(r.authenticated and r.seconds_left == 60 for r in found.values())


def by_event(**replies: Answer) -> Callable[[Request], Answer]:
    return lambda request: replies.get(request.event, answer())


def test_only_what_was_not_done_stays_in_the_queue(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # P-03, P-05, S40
    endpoint = NotingEndpoint(
        by_event(
            failed=answer(500, FAILED),
            waits=answer(202, SUSPENDED),
            gone=trouble(404),
            away=trouble(503, "the store is away"),
            bad=trouble(400, "no id"),
        )
    )
    names = ["failed", "away", "waits", "bad", "gone", "fine"]

    with caplog.at_level(logging.WARNING, "edgeflow"):
        left = batch(endpoint, *(message(f"m-{name}", name) for name in names))

    assert left == ["m-away", "m-bad"]
    assert sorted(record.getMessage() for record in caplog.records) == [
        "SQS message m-away stays in its queue: not done: the store is away",
        "SQS message m-bad stays in its queue: refused (400): no id",
    ]


def test_a_batch_of_which_nothing_was_done_is_an_error() -> None:
    # It reaches a mapping without ReportBatchItemFailures too, which would delete it.
    endpoint = NotingEndpoint(lambda _: trouble(503))

    with pytest.raises(Unavailable, match="no message of 2 could be taken"):
        batch(endpoint, message("m1"), message("m2"))


def test_a_group_of_a_fifo_queue_goes_in_order_and_stops_at_a_failure() -> None:
    endpoint = NotingEndpoint(by_event(away=trouble(503)))

    left = batch(
        endpoint,
        message("a1", "one", group="a"),
        message("b1", "one", group="b"),
        message("a2", "away", group="a"),
        message("a3", "three", group="a"),
        message("b2", "two", group="b"),
    )

    assert left == ["a2", "a3"]
    orders = [str(r.delivery) for r in endpoint.requests]
    assert [each for each in orders if each[0] == "a"] == ["a1", "a2"]
    assert [each for each in orders if each[0] == "b"] == ["b1", "b2"]


@pytest.mark.parametrize("group", ["", "tenant"])
def test_a_standard_queue_goes_at_once_in_groups_too_but_not_all_of_it(
    group: str,
) -> None:
    # A standard queue may have groups, for fairness between tenants.
    barrier = threading.Barrier(10, timeout=10)
    now = threading.Lock()
    at_once: list[int] = [0, 0]

    def reply(_request: Request) -> Answer:
        with now:
            at_once[0] += 1
            at_once[1] = max(at_once)
        barrier.wait()
        with now:
            at_once[0] -= 1
        return answer()

    messages = [message(f"m{number}") for number in range(20)]
    for each in messages:
        each["attributes"] = {"MessageGroupId": group} if group else {}

    assert batch(NotingEndpoint(reply), *messages) == []
    assert at_once[1] == 10


def test_no_thread_is_left_after_a_batch() -> None:
    # P-06
    before = threading.active_count()

    batch(NotingEndpoint(), *(message(f"m{number}") for number in range(20)))

    assert threading.active_count() == before
