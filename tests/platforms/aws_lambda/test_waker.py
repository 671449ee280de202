"""Alarms by EventBridge Scheduler and SQS, as boto3 asks for them.

moto keeps the rules of both services; it never fires a schedule.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from edgeflow.errors import ConfigError
from edgeflow.platform import Alarm
from edgeflow_lambda import LambdaPlatform
from edgeflow_lambda._clients import Clients
from edgeflow_lambda._waker import LambdaWaker
from tests.platforms.aws_lambda.endpoints import ARN, Context, NotingEndpoint

ROLE = "arn:aws:iam::123456789012:role/wake"
NOW = 1_800_000_030.0
"""15 January 2027, 08:00:30 UTC."""

SHARED = Clients()
"""What is tested, and what tests look with: making a client takes long."""


def settings(**given: Any) -> dict[str, Any]:
    return {name: key.default for name, key in LambdaPlatform.keys.items()} | given


def waker_at(time: float, **given: Any) -> LambdaWaker:
    return LambdaWaker(settings(**given), SHARED, lambda: ARN, lambda: time)


def client(service: str) -> Any:
    return SHARED.get(service)


@pytest.fixture
def queue(aws: str) -> str:
    return str(client("sqs").create_queue(QueueName=f"q-{uuid4()}")["QueueUrl"])


@pytest.fixture
def group(aws: str) -> str:
    name = f"g-{uuid4()}"
    client("scheduler").create_schedule_group(Name=name)
    return name


def schedules(group: str) -> list[Any]:
    found = client("scheduler")
    names = found.list_schedules(GroupName=group)["Schedules"]
    return [found.get_schedule(GroupName=group, Name=n["Name"]) for n in names]


# --- schedules ----------------------------------------------------------------------


def test_a_schedule_calls_the_function_once_and_goes_away(group: str) -> None:
    # G10
    alarm = Alarm("o1", "7", NOW + 3600.5)

    waker_at(NOW, schedule_role=ROLE, schedule_group=group).arm(alarm)

    (schedule,) = schedules(group)
    assert schedule["Name"] == alarm.name(int(NOW) + 3601)
    assert schedule["ScheduleExpression"] == "at(2027-01-15T09:00:31)"
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule["Target"]["Arn"] == ARN
    assert schedule["Target"]["RoleArn"] == ROLE
    assert json.loads(schedule["Target"]["Input"]) == alarm.event()


def test_the_same_alarm_armed_again_and_at_once_is_one_schedule(group: str) -> None:
    # G10, S43
    waker = waker_at(NOW, schedule_role=ROLE, schedule_group=group)
    alarm = Alarm("o1", "7", NOW + 3600)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(waker.arm, [alarm] * 8))
    waker.arm(Alarm("o1", "8", NOW + 3600))

    assert len(schedules(group)) == 2


def test_a_schedule_calls_what_was_called(group: str) -> None:
    platform = LambdaPlatform()
    handler = platform.entry(NotingEndpoint())
    handler({}, Context(invoked_function_arn=f"{ARN}:live"))
    handler({})  # outside of Lambda: nothing is forgotten
    waker = platform.waker(settings(schedule_role=ROLE, schedule_group=group))
    assert waker is not None

    waker.arm(Alarm("o1", "7", time.time() + 3600))

    assert schedules(group)[0]["Target"]["Arn"] == f"{ARN}:live"


def test_what_is_configured_is_called_whatever_was_called(group: str) -> None:
    arn = f"{ARN}:wake"

    waker_at(NOW, schedule_role=ROLE, schedule_group=group, function_arn=arn).arm(
        Alarm("o1", "7", NOW + 3600)
    )

    assert schedules(group)[0]["Target"]["Arn"] == arn


def test_a_schedule_needs_to_know_what_to_call(aws: str) -> None:
    waker = LambdaPlatform().waker(settings(schedule_role=ROLE))
    assert waker is not None

    with pytest.raises(ConfigError, match="set function_arn"):
        waker.arm(Alarm("o1", "7", time.time() + 3600))


def test_a_refusal_of_aws_is_raised(aws: str) -> None:
    # G10: the flush is given up, rather than that an alarm is missing
    waker = waker_at(NOW, queue_url=f"{aws}/123456789012/no-such-queue")

    with pytest.raises(Exception, match="queue"):
        waker.arm(Alarm("o1", "7", NOW))


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (3600.4, "2027-01-15T09:00:31"),  # never earlier than asked for
        (60.0, "2027-01-15T08:01:30"),
        (59.0, "2027-01-15T08:02:00"),  # an early one comes again, at a whole minute
        (30.0, "2027-01-15T08:01:00"),
        (28.0, "2027-01-15T08:01:00"),
        (0.0, "2027-01-15T08:01:00"),
        (-1e9, "2027-01-15T08:01:00"),  # what has passed would never be called
        (1e12, "2028-01-15T00:00:00"),  # in hops
    ],
)
def test_a_schedule_is_never_early_and_always_ahead(
    group: str, left: float, expected: str
) -> None:
    # G10
    waker_at(NOW, schedule_role=ROLE, schedule_group=group).arm(
        Alarm("o1", "7", NOW + left)
    )

    assert schedules(group)[0]["ScheduleExpression"] == f"at({expected})"


def test_a_schedule_is_made_some_seconds_before_its_minute(group: str) -> None:
    waker_at(NOW + 27, schedule_role=ROLE, schedule_group=group).arm(
        Alarm("o1", "7", NOW)
    )

    assert schedules(group)[0]["ScheduleExpression"] == "at(2027-01-15T08:02:00)"


def test_who_is_woken_early_arms_under_another_name(group: str) -> None:
    # G10: the schedule that fired may not be gone yet
    alarm = Alarm("o1", "7", NOW + 300.5)
    for now in (NOW, alarm.when - 29):
        waker_at(now, schedule_role=ROLE, schedule_group=group).arm(alarm)

    assert len(schedules(group)) == 2


# --- queues -------------------------------------------------------------------------


def test_a_message_in_a_queue_wakes_too(queue: str) -> None:
    # G10
    alarm = Alarm("o1", "7", NOW - 5)

    waker_at(NOW, queue_url=queue).arm(alarm)

    (found,) = client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(found["Body"]) == alarm.event()


@pytest.mark.parametrize(
    ("left", "expected"),
    [(0.2, 1), (20.0, 20), (899.5, 900), (900.0, 900), (86_400.0, 900)],
)
def test_a_message_is_delayed_but_not_beyond_what_sqs_can(
    queue: str, left: float, expected: int
) -> None:
    # G10: with a queue only, a longer wait goes in hops
    sent: list[int] = []
    clients = Clients()

    def note(params: Any, **_: Any) -> None:
        sent.append(params["DelaySeconds"])

    sending = "provide-client-params.sqs.SendMessage"
    clients.get("sqs").meta.events.register(sending, note)

    LambdaWaker(settings(queue_url=queue), clients, now=lambda: NOW).arm(
        Alarm("o1", "7", NOW + left)
    )

    assert sent == [expected]
    assert client("sqs").receive_message(QueueUrl=queue).get("Messages") is None


def test_a_queue_is_for_short_waits_if_there_are_schedules(
    queue: str, group: str
) -> None:
    waker = waker_at(NOW, schedule_role=ROLE, schedule_group=group, queue_url=queue)

    short, long = Alarm("short", "7", NOW), Alarm("long", "7", NOW + 901)
    waker.arm(short)
    waker.arm(long)

    (found,) = client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(found["Body"]) == short.event()
    (schedule,) = schedules(group)
    assert json.loads(schedule["Target"]["Input"]) == long.event()


# --- settings -----------------------------------------------------------------------


def test_without_settings_somebody_else_polls() -> None:
    assert LambdaPlatform().waker(settings()) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"function_arn": ARN}, "schedule_role is missing"),
        (
            {"schedule_group": "mine", "queue_url": "https://q"},
            "schedule_role is missing",
        ),
        ({"queue_url": "https://sqs/orders.fifo"}, "orders.fifo is a FIFO queue"),
    ],
)
def test_incomplete_settings_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LambdaPlatform().waker(settings(**given))


def test_without_boto3_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)

    with pytest.raises(ConfigError, match=r"pip install 'edgeflow-durable\[aws\]'"):
        LambdaWaker(settings(queue_url="https://q"), Clients()).arm(Alarm("o1", "7", 0))


# --- clients ------------------------------------------------------------------------


def test_a_client_is_made_once_until_it_is_forgotten(aws: str) -> None:
    # P-06
    clients = Clients()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(clients.get, ["sqs"] * 16))

    assert len(set(map(id, found))) == 1
    assert clients.get("sqs") is found[0]
    clients.forget()
    assert clients.get("sqs") is not found[0]


def test_a_forked_process_makes_clients_of_its_own(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = Clients()
    mine = clients.get("sqs")

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert clients.get("sqs") is not mine
