"""EventBridge: what a rule on a bus matches; the whole event is the user's.

https://docs.aws.amazon.com/eventbridge/latest/ref/events-structure.html
"""

from __future__ import annotations

from typing import Any

from edgeflow_lambda._call import Call, Kind, table
from edgeflow_lambda._direct import serve


def _fits(event: Any) -> bool:
    return table(event).keys() >= {"detail", "detail-type", "id", "source"}


def _serve(call: Call) -> Any:
    # An event may come twice, and as another request, but with the same id.
    return serve(call, str(call.event["id"]))


EVENT_BRIDGE = Kind(_fits, _serve)
