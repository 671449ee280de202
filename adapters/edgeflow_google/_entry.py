"""The one function that serves every way in which Google calls a handler."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from edgeflow_asgi import AsgiHandler
from edgeflow_google._events import EventNotTaken, event_request
from edgeflow_google._http import http_request, http_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.platform import Endpoint, Request

TIMEOUT = "CLOUD_RUN_TIMEOUT_SECONDS"
"""The variable in which functions-framework looks for the request timeout.

https://github.com/GoogleCloudPlatform/functions-framework-python#configure-the-functions-framework
"""
DEFAULT_TIMEOUT = 300.0
"""Seconds that a service of Cloud Run gives a request if it is not told otherwise.

https://cloud.google.com/run/docs/configuring/request-timeout
"""
ASGI_ARGUMENTS = 3


def entry_of(endpoint: Endpoint) -> Callable[..., Any]:
    """Make the function; its `asgi` is the same handler as an ASGI application.

    functions-framework takes nothing but a plain function. It calls it in a thread
    with a Flask request or with a CloudEvent. With `--asgi` the request is
    Starlette's, and what we give is called as a response is: as an ASGI application.
    """
    asgi = AsgiHandler(endpoint, seconds_left=partial(seconds_left, endpoint))

    def entry(*call: Any) -> Any:
        if len(call) == ASGI_ARGUMENTS:
            return asgi(*call)
        (what,) = call
        if hasattr(what, "environ"):
            return _answer_flask(endpoint, what)
        if hasattr(what, "scope"):
            return asgi
        if hasattr(what, "get_attributes"):
            return _take_event(endpoint, what)
        raise TypeError(
            f"the handler {endpoint.name!r} was called with a {type(what).__name__}, "
            "which is neither a request nor a CloudEvent; an ASGI server is given "
            f"its attribute: main:{endpoint.name}.asgi"
        )

    entry.__name__ = entry.__qualname__ = endpoint.name
    entry.__doc__ = endpoint.doc
    entry.asgi = asgi  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]  functions-framework refuses an object
    return entry


def seconds_left(endpoint: Endpoint, _request: Request | None = None) -> float | None:
    """Give the timeout of a request that has just come; None: `max_run` says it."""
    given = os.environ.get(TIMEOUT, "")
    if given.isdecimal() and int(given):
        return float(given)
    return None if endpoint.settings["max_run"] is not None else DEFAULT_TIMEOUT


def _answer_flask(endpoint: Endpoint, flask_request: Any) -> tuple[bytes, int, Any]:
    request = http_request(
        flask_request, endpoint.settings["max_body"], seconds_left(endpoint)
    )
    return http_response(endpoint.answer_in_thread(request))


def _take_event(endpoint: Endpoint, event: Any) -> None:
    """Return if the event is taken; else raise, so that it is delivered once more."""
    request = event_request(
        event,
        authenticated=endpoint.settings["ingress"] == "platform",
        seconds_left=seconds_left(endpoint),
    )
    answer = endpoint.answer_in_thread(request)
    if answer.is_refused or not answer.is_decided:
        raise EventNotTaken(
            f"the handler {endpoint.name!r} has not taken the event "
            f"{request.delivery}: {answer.status} {answer.content.decode()}"
        )
