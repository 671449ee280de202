"""SQS: batches of messages, each of which succeeds or fails by itself.

What fails stays in the queue, and in the end reaches its dead-letter queue: give the
event source mapping `ReportBatchItemFailures`. Of a FIFO queue what comes after a
failure fails too, within its group, so that the order holds.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

from edgeflow.platform import Request
from edgeflow_lambda._call import Call, Kind, table
from edgeflow_lambda._errors import Unavailable, failure

WIDEST = 10
"""Lanes that go at once; so many messages are in a batch by default."""


def _fits(event: Any) -> bool:
    records = table(event).get("Records")
    return isinstance(records, list) and _are_of_sqs(cast("Any", records))


def _are_of_sqs(records: list[Any]) -> bool:
    return bool(records) and {table(r).get("eventSource") for r in records} == {
        "aws:sqs"
    }


def _serve(call: Call) -> dict[str, Any]:
    records = call.event["Records"]
    lanes = _lanes(records)
    work = partial(_lane, call)
    if len(lanes) == 1:
        results = [work(lanes[0])]
    else:
        with ThreadPoolExecutor(min(len(lanes), WIDEST)) as pool:
            results = list(pool.map(work, lanes))
    failed = [each for ids in results for each in ids]
    if len(failed) == len(records):
        # This reaches those too who have forgotten ReportBatchItemFailures.
        raise Unavailable(f"no message of {len(records)} could be taken: see the log")
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


def _lanes(records: list[Any]) -> list[list[Any]]:
    """Put those together that go one after the other: of a FIFO queue, each group.

    A standard queue may have groups too, which say nothing of the order.
    """
    lanes: dict[str, list[Any]] = {}
    for record in records:
        is_fifo = record["eventSourceARN"].endswith(".fifo")
        group = record["attributes"]["MessageGroupId"] if is_fifo else None
        lanes.setdefault(group or record["messageId"], []).append(record)
    return list(lanes.values())


def _lane(call: Call, records: list[Any]) -> list[str]:
    """Serve records one after the other; give the ids from the first failure on."""
    for number, record in enumerate(records):
        error = _trouble(call, record)
        if error is not None:
            logging.getLogger("edgeflow").warning(
                "SQS message %s stays in its queue: %s", record["messageId"], error
            )
            return [left["messageId"] for left in records[number:]]
    return []


def _trouble(call: Call, record: Any) -> Exception | None:
    return failure(
        call.endpoint.answer_in_thread(
            Request(
                source="event",
                event=_content(record["body"]),
                authenticated=True,  # IAM has: it takes sqs:SendMessage
                delivery=record["messageId"],
                seconds_left=call.seconds_left(),
                native=record,
            )
        )
    )


def _content(body: str) -> Any:
    """Read a body as JSON, if it is; else the text is the event."""
    try:
        return json.loads(body)
    except ValueError:
        return body


SQS = Kind(_fits, _serve)
