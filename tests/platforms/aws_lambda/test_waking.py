"""What sleeps is woken, though no process lives: schedules and messages of AWS.

Neither moto's Scheduler nor its SQS calls a function, so the test does: with what
they hold.
"""

from __future__ import annotations

import json
import threading
import time
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from edgeflow_lambda._clients import Clients
from tests.platforms.aws_lambda.endpoints import ARN
from tests.platforms.aws_lambda.environment import (
    Environment,
    FunctionError,
    notes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLE = "arn:aws:iam::123456789012:role/wake"


def test_a_schedule_is_there_before_the_call_is_answered_and_wakes_another_process(
    aws: str, tmp_path: Path
) -> None:
    # P-04 G10 S43
    scheduler = Clients().get("scheduler")
    group = f"g-{uuid4()}"
    scheduler.create_schedule_group(Name=group)
    variables = {
        "EDGEFLOW_SCHEDULE_ROLE": ROLE,
        "EDGEFLOW_SCHEDULE_GROUP": group,
        "EDGEFLOW_LINGER": "0",
    }

    with Environment(tmp_path, variables=variables) as env:
        value = env.call({"order_id": "o1", "then": "sleep", "seconds": 2})
        listed = scheduler.list_schedules(GroupName=group)["Schedules"]
    # One for its time, and one for later: they are the same if no minute ends between.
    assert len(listed) in {1, 2}
    schedule = min(
        (scheduler.get_schedule(GroupName=group, Name=each["Name"]) for each in listed),
        key=lambda found: found["ScheduleExpression"],
    )
    assert value["status"] == "suspended"
    assert schedule["Target"]["Arn"] == ARN

    event = json.loads(schedule["Target"]["Input"])
    with Environment(tmp_path, variables=variables) as env:
        statuses = [env.call(event)["status"]]
        while statuses[-1] == "suspended":  # it was early, which does no harm
            statuses.append(env.call(event)["status"])
        stale = env.call(event)

    assert statuses[-1] == "completed"
    assert stale["status"] == "completed"
    assert notes(tmp_path) == ["reserve o1"]


def test_a_message_wakes_after_a_short_wait(aws: str, tmp_path: Path) -> None:
    # G10
    sqs = Clients().get("sqs")
    url = sqs.create_queue(QueueName=f"q-{uuid4()}")["QueueUrl"]
    variables = {"EDGEFLOW_QUEUE_URL": url, "EDGEFLOW_LINGER": "0"}

    with Environment(tmp_path, variables=variables) as env:
        env.call({"order_id": "o1", "then": "sleep", "seconds": 0.5})
        batch = env.call({"Records": [record_of(received(sqs, url))]})
        value = env.call({"edgeflow": {"look": "o1"}})

    assert batch == {"batchItemFailures": []}
    assert (value["status"], value["output"]) == ("completed", "done")


def received(sqs: Any, url: str) -> Any:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        found = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2).get("Messages", [])
        if found:
            return found[0]
    pytest.fail("no message came")


def record_of(message: Any) -> dict[str, Any]:
    """Make of a message what Lambda makes of it."""
    return {
        "messageId": message["MessageId"],
        "body": message["Body"],
        "attributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:wake",
    }


def test_what_cannot_be_woken_is_not_put_to_sleep(aws: str, tmp_path: Path) -> None:
    # G10 G12: the flush is given up, and Lambda's retry is the recovery
    variables = {
        "EDGEFLOW_QUEUE_URL": f"{aws}/123456789012/no-such-queue",
        "EDGEFLOW_LINGER": "0",
    }
    with Environment(tmp_path, variables=variables) as env:
        with pytest.raises(FunctionError, match="not done"):
            env.call({"order_id": "o1", "then": "sleep", "seconds": 60})
        value = env.call({"edgeflow": {"look": "o1"}})

    assert value["status"] != "suspended"
    assert notes(tmp_path) == ["reserve o1"]


class KeepingQueue(BaseHTTPRequestHandler):
    """An SQS that keeps its connections, as the real one does; moto closes them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        digest = md5(sent["MessageBody"].encode()).hexdigest()
        body = json.dumps({"MessageId": "m1", "MD5OfMessageBody": digest}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def keeping_queue() -> Iterator[int]:
    """The port of it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), KeepingQueue)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_snapshot_holds_nothing_open_and_its_copies_begin_anew(
    aws: str, keeping_queue: int, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{keeping_queue}"
    variables = {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "AWS_ENDPOINT_URL": url,
        "EDGEFLOW_QUEUE_URL": f"{url}/queue",
        "OPENS_EARLY": "yes",  # what is done before the snapshot arms an alarm
    }
    with Environment(tmp_path, variables=variables) as env:
        env.wait_for(env.service.snapshot_taken.is_set, "no snapshot is asked for")
        files, peers = env.files(), env.peers()
        env.service.restored.set()
        value = env.call({"order_id": "o1", "then": "sleep", "seconds": 600})
        later = env.peers()

        assert env.service.trouble == []
        env.stop()
        assert env.process.returncode == 0
    assert keeping_queue in later
    assert peers == {env.service.server_port}  # the runtime, and the extension
    assert not [file for file in files if "edgeflow.db" in file]
    assert value["status"] == "suspended"
    assert notes(tmp_path) == ["reserve early", "reserve o1"]


def test_who_arms_for_the_first_time_at_the_end_has_the_time_for_it(
    aws: str, tmp_path: Path
) -> None:
    # P-08 G10: boto3 takes longer to load than Lambda gives
    sqs = Clients().get("sqs")
    url = sqs.create_queue(QueueName=f"q-{uuid4()}")["QueueUrl"]

    for order in ("o1", "o2", "o3"):  # other tests run, too: one of them has to fit
        with Environment(tmp_path, variables={"EDGEFLOW_QUEUE_URL": url}) as env:
            env.begin({"order_id": order, "then": "ship", "seconds": 60})
            env.noted(f"ship {order}")
            env.stop()
        found = sqs.receive_message(QueueUrl=url).get("Messages", [])
        if found:
            break
    assert [json.loads(m["Body"])["edgeflow"]["wake"] for m in found] == [order]
