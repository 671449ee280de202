"""Handlers in the real runtime: what is called, how long it may take, what is left."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.aws_lambda.environment import (
    IMAGE,
    MANAGED,
    Environment,
    FunctionError,
    notes,
)

if TYPE_CHECKING:
    from pathlib import Path

BOTH = pytest.mark.parametrize("runtime", [MANAGED, IMAGE], ids=["managed", "image"])


def ours(**trigger: Any) -> dict[str, Any]:
    return {"edgeflow": trigger}


def url_event(path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    """What a function URL sends, of type NONE: nobody has checked who calls."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "domainName": "id.lambda-url.eu-west-1.on.aws",
            "http": {"method": "POST", "path": path},
            "stage": "$default",
        },
        "body": b64encode(json.dumps(body).encode()).decode(),
        "isBase64Encoded": True,
    }


def queue_event(**bodies: Any) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": name,
                "body": json.dumps(body),
                "attributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders",
            }
            for name, body in bodies.items()
        ]
    }


@BOTH
def test_a_hundred_calls_leave_nothing_behind(tmp_path: Path, runtime: str) -> None:
    # P-06 G15
    with Environment(tmp_path, runtime) as env:
        before = [env.call({"order_id": f"o{n}", "then": "report"}) for n in range(2)]
        for number in range(2, 99):
            assert env.call({"order_id": f"o{number}"}) == "done"
        after = env.call({"order_id": "o99", "then": "report"})

    assert after == before[1]


def test_each_kind_of_event_reaches_the_same_function(tmp_path: Path) -> None:
    # P-01 P-02 P-03
    with Environment(tmp_path, variables={"EDGEFLOW_SECRET": "s3cret"}) as env:
        door = {"authorization": "Bearer s3cret"}
        waiting = env.call(queue_event(m1={"order_id": "o1", "then": "approve"}, m2=1))
        looked = env.call(ours(look="o1"))
        forged = env.call(url_event("/edgeflow/instances/o1/messages/approval", "yes"))
        sent = env.call(
            url_event("/edgeflow/instances/o1/messages/approval", "yes", **door)
        )
        again = env.call({"order_id": "o1"})
        over_http = env.call(url_event("/", {"order_id": "o1"}, **door))
        from_a_bus = env.call(
            {
                "id": "e1",
                "detail-type": "Order placed",
                "source": "shop",
                "detail": {},
                "order_id": "o1",
            }
        )
        due = env.call(ours(run_due=None))

    assert waiting == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    assert (looked["status"], looked["awaiting"]) == ("suspended", ["approval"])
    assert forged["statusCode"] == 403
    assert sent["statusCode"] == 200
    assert json.loads(sent["body"])["status"] == "completed"
    assert again == from_a_bus == "yes"
    assert (over_http["statusCode"], over_http["body"]) == (200, '"yes"')
    assert due == {"ran": 0}
    assert notes(tmp_path) == ["reserve o1"]


def test_a_call_is_answered_before_its_deadline_and_then_goes_on(
    tmp_path: Path,
) -> None:
    # P-04 G1 G10 G11
    with Environment(tmp_path) as env:
        env.call({"order_id": "o0"})
        call = env.begin({"order_id": "o1", "then": "ship", "seconds": 60}, seconds=2)
        value = env.end(call)
        (answered, deadline) = (call.answered_at, call.deadline)
        with pytest.raises(FunctionError, match="no id"):
            env.call({})
    assert (value["id"], value["status"]) == ("o1", "suspended")
    assert answered < deadline
    assert notes(tmp_path) == ["reserve o0", "reserve o1", "ship o1"]

    with Environment(tmp_path) as env:
        waits = env.call({"order_id": "o2", "then": "approve"})
        message = {"to": "o2", "name": "approval", "body": "yes", "id": "m1"}
        received = env.call(ours(send=message))
        again = env.call(ours(wake="o1"), seconds=2)

    assert (waits["status"], received["status"]) == ("suspended", "completed")
    assert again["status"] == "suspended"  # it takes a minute, and is cut off again
    assert notes(tmp_path)[3:] == ["reserve o2", "ship o1"]


@pytest.mark.parametrize("how", ["leave", "exit"])
def test_what_exits_in_a_workflow_does_not_end_the_runtime(
    tmp_path: Path, how: str
) -> None:
    with Environment(tmp_path) as env:
        try:
            value = env.call({"order_id": "o1", "then": how})
        except FunctionError as error:
            value = error.args
        process = env.call({"order_id": "o2", "then": "report"})["process"]

        assert process == env.process.pid
        assert env.process.poll() is None
    assert value


def test_a_failure_is_an_answer_and_not_an_error(tmp_path: Path) -> None:
    # P-01 S40
    with Environment(tmp_path) as env:
        value = env.call({"order_id": "o1", "then": "fail"})

    assert (value["id"], value["status"]) == ("o1", "failed")
    assert value["error"] == {"type": "ValueError", "message": "no stock"}


def test_without_its_store_a_call_is_an_error_so_that_lambda_retries(
    tmp_path: Path,
) -> None:
    # P-05 G2 G12
    away = {"EDGEFLOW_STORE": "sqlite:///no/such/folder/edgeflow.db"}
    with Environment(tmp_path, variables=away) as env:
        with pytest.raises(FunctionError) as caught:
            env.call({"order_id": "o1"})
        over_http = env.call(url_event("/", {"order_id": "o1"}, authorization="no"))

    assert caught.value.args[0] == "Unavailable"
    assert caught.value.args[1].startswith("not done: the store could not be used")
    assert over_http["statusCode"] == 403
    assert notes(tmp_path) == []


def test_the_same_event_in_two_processes_at_once_is_one_order(tmp_path: Path) -> None:
    # P-02 G4 G14
    event = {"order_id": "o1", "then": "ship", "seconds": 0.3}
    with Environment(tmp_path) as one, Environment(tmp_path) as two:
        one.call({"order_id": "o0"})
        two.call({"order_id": "o0"})
        calls = [env.begin(event) for env in (one, two)]
        answers = [one.end(calls[0]), two.end(calls[1])]
        while answers[-1] != "shipped":
            answers.append(two.call(event))

    assert "shipped" in answers[:2]
    assert notes(tmp_path).count("shipped o1") == 1
