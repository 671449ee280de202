"""The one function that serves HTTP, queue and timer triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow_azure._events import take_message, take_timer
from edgeflow_azure._host import function_timeout
from edgeflow_azure._http import http_request, http_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.platform import Endpoint

HTTP_LIMIT = 230.0
"""Seconds after which the load balancer gives up on an answer.

https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout
"""


def entry_of(endpoint: Endpoint) -> Callable[[Any], Any]:
    """Make the function; a trigger has to call its argument `req`.

    The worker matches the names of arguments with those of triggers, and checks
    annotations against them. So it has one argument, whose name is the default of
    `route`, and no annotations.
    """

    async def entry(req: Any) -> Any:
        seconds = endpoint.settings["function_timeout"] or function_timeout()
        if hasattr(req, "route_params"):
            request = http_request(
                req, endpoint.settings["max_body"], min(seconds, HTTP_LIMIT)
            )
            return http_response(await endpoint.answer(request))
        if hasattr(req, "dequeue_count"):
            return await take_message(endpoint, req, seconds)
        if hasattr(req, "past_due"):
            return await take_timer(endpoint, req, seconds)
        raise TypeError(
            f"the handler {endpoint.name!r} was called with a {type(req).__name__}: "
            "it serves HTTP, queue and timer triggers"
        )

    entry.__annotations__ = {}
    entry.__name__ = entry.__qualname__ = endpoint.name
    entry.__doc__ = endpoint.doc
    return entry
