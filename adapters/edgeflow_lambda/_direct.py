"""Everything else: direct invocations, and what services invoke with an event.

The event is the payload, the answer a plain value: the output of what has completed,
else an object that says id and status. EventBridge Scheduler calls like this too.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

from typing import Any

from edgeflow.platform import Request
from edgeflow_lambda._call import Call, Kind, table
from edgeflow_lambda._errors import failure


def serve(call: Call, delivery: str | None) -> Any:
    """Have an event answered by a plain value."""
    answer = call.endpoint.answer_in_thread(
        Request(
            source="event",
            event=call.event,
            authenticated=not _is_http(call.event),
            delivery=delivery,
            seconds_left=call.seconds_left(),
            native=call.event,
        )
    )
    error = failure(answer)
    if error is not None:
        raise error
    return answer.value


def _is_http(event: Any) -> bool:
    """Tell whether it is a call over HTTP in a form that is not known here.

    All else IAM has let in: it takes lambda:InvokeFunction to come here. But a gateway
    may have that, and let in whoever calls it: WebSockets, VPC Lattice, and others.
    """
    found = table(event)
    return "requestContext" in found or {"headers", "method"} <= found.keys()


def _fits(_: Any) -> bool:
    return True


def _serve(call: Call) -> Any:
    return serve(call, call.id)


DIRECT = Kind(_fits, _serve)
