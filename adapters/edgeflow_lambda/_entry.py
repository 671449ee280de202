"""What Lambda calls: a plain function of an event and a context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow_lambda._call import Call
from edgeflow_lambda._direct import DIRECT
from edgeflow_lambda._errors import Unavailable
from edgeflow_lambda._event_bridge import EVENT_BRIDGE
from edgeflow_lambda._http_api import HTTP_API
from edgeflow_lambda._rest_api import REST_API
from edgeflow_lambda._sqs import SQS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from edgeflow.platform import Endpoint

KINDS = (HTTP_API, REST_API, SQS, EVENT_BRIDGE, DIRECT)
"""The first that fits serves an event; the last one always fits."""


def entry_of(
    endpoint: Endpoint, around: Callable[[Any], AbstractContextManager[None]]
) -> Callable[..., Any]:
    """Make the function; `around` gets the context of a call, and is there meanwhile.

    It is no coroutine function: the runtime would take the coroutine for the answer.
    """

    def handler(event: Any, context: Any = None) -> Any:
        kind = next(kind for kind in KINDS if kind.fits(event))
        try:
            with around(context):
                return kind.serve(Call(event, context, endpoint))
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            # A signal handler of the user's, say, that exits. It would end the runtime
            # without an answer: it catches nothing but an Exception.
            raise Unavailable(f"{type(error).__name__} has ended the call") from error

    handler.__name__ = handler.__qualname__ = endpoint.name
    handler.__doc__ = endpoint.doc
    return handler
