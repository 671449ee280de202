"""The settings that only this platform has."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from edgeflow.config import PATH, POSITIVE_SECONDS, TEXT, Key

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "schedule_role": Key(
            TEXT,
            None,
            "ARN of the role with which EventBridge Scheduler calls the function; "
            "none: no schedules are made",
        ),
        "schedule_group": Key(TEXT, "default", "group of the schedules that are made"),
        "function_arn": Key(
            TEXT, None, "what a schedule calls; none: the ARN that we were called by"
        ),
        "queue_url": Key(
            TEXT,
            None,
            "URL of an SQS standard queue that calls the function: "
            "for waits of up to 15 minutes, and in hops for longer ones",
        ),
        "gateway_timeout": Key(
            POSITIVE_SECONDS, 29.0, "how long API Gateway waits for an answer"
        ),
        "base_path": Key(
            PATH, None, "where an API has the function; it is taken off the paths"
        ),
    }
)
