"""Waking up what sleeps, while no process of ours runs.

Up to 15 minutes an SQS queue does it, to the second; beyond that a schedule of
EventBridge, which has a precision of a minute. With a queue only, longer waits go in
hops: who is woken too early arms the next.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
"""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.platform import Alarm
    from edgeflow_lambda._clients import Clients

LONGEST_DELAY = 900
"""Of an SQS message, in seconds."""
MINUTE, DAY = 60, 86_400
LONGEST_SCHEDULE = 365 * DAY
FORMAT = "%Y-%m-%dT%H:%M:%S"
SOON = 5
"""Seconds to make a schedule in: one whose time has passed is never called."""


class LambdaWaker:
    """Arms alarms by SQS and EventBridge Scheduler."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        clients: Clients,
        called_as: Callable[[], str | None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Arm with these settings.

        Args:
            settings: complete ones.
            clients: of AWS.
            called_as: gives the ARN that this function was called by, if it was.
            now: gives seconds since the epoch.
        """
        self._settings = settings
        self._clients = clients
        self._called_as = called_as
        self._now = now

    def arm(self, alarm: Alarm) -> None:
        """Ask for a call with the wake event of the alarm's instance.

        Raises:
            ConfigError: if boto3 is missing, or the function's ARN is not known.
            Exception: what boto3 raises if AWS refuses, or cannot be reached.
        """
        left = alarm.when - self._now()
        may_schedule = self._settings["schedule_role"] is not None
        if self._settings["queue_url"] and (left <= LONGEST_DELAY or not may_schedule):
            self._send(alarm, left)
        else:
            self._schedule(alarm)

    def _send(self, alarm: Alarm, left: float) -> None:
        self._clients.get("sqs").send_message(
            QueueUrl=self._settings["queue_url"],
            MessageBody=json.dumps(alarm.event()),
            DelaySeconds=min(LONGEST_DELAY, max(0, math.ceil(left))),
        )

    def _schedule(self, alarm: Alarm) -> None:
        scheduler = self._clients.get("scheduler")
        when = schedule_time(alarm.when, self._now())
        try:
            scheduler.create_schedule(
                Name=alarm.name(when),
                GroupName=self._settings["schedule_group"],
                ScheduleExpression=f"at({datetime.fromtimestamp(when, UTC):{FORMAT}})",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={
                    "Arn": self._function(),
                    "RoleArn": self._settings["schedule_role"],
                    "Input": json.dumps(alarm.event()),
                },
            )
        except scheduler.exceptions.ConflictException:
            return  # it is there: the same alarm was armed before

    def _function(self) -> str:
        arn = self._settings["function_arn"] or self._called_as()
        if arn is None:
            raise ConfigError(
                "a schedule cannot be made: the function's ARN is known from its first "
                "invocation on, and there was none; set function_arn"
            )
        return arn


def schedule_time(when: float, now: float) -> int:
    """Give the time of a schedule, in whole seconds since the epoch.

    It is never earlier than `when`, unless that is too far away: who is woken too
    early arms an alarm of the same name, while the schedule that has just fired may
    still be there. A schedule of 1:00 fires from 1:00:00 to 1:00:59; of one with
    seconds AWS does not say so, and it may fire a little early. So within the last
    minute the next whole one is taken: that is another name, and comes last.
    """
    if when - now > LONGEST_SCHEDULE:
        return (int(now) // DAY) * DAY + LONGEST_SCHEDULE
    if when - now >= MINUTE:
        return math.ceil(when)
    return math.ceil(max(when, now + SOON) / MINUTE) * MINUTE


def services_of(settings: Mapping[str, Any]) -> list[str]:
    """Name the services that the settings ask for; none: no waker.

    Raises:
        ConfigError: if they are incomplete, or cannot work; says why.
    """
    role, queue = settings["schedule_role"], settings["queue_url"]
    if queue and queue.endswith(".fifo"):
        raise ConfigError(
            f"queue_url: {queue} is a FIFO queue, in which single messages cannot be "
            "delayed: give a standard queue"
        )
    if not role and (
        settings["function_arn"] or settings["schedule_group"] != "default"
    ):
        raise ConfigError(
            "function_arn and schedule_group are for schedules, for which "
            "schedule_role is missing: the ARN of a role that may call the function"
        )
    return [*(["scheduler"] if role else []), *(["sqs"] if queue else [])]
