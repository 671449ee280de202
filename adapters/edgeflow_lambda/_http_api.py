"""Payload 2.0: HTTP APIs of API Gateway, and function URLs.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from edgeflow_lambda._call import Call, Kind, table
from edgeflow_lambda._http import answer, without

DEFAULT_STAGE = "$default"
"""The stage that is in no path."""


def _fits(event: Any) -> bool:
    found = table(event)
    return found.get("version") == "2.0" and "http" in table(
        found.get("requestContext")
    )


def _serve(call: Call) -> dict[str, Any]:
    event = call.event
    context = event["requestContext"]
    stage = context.get("stage", DEFAULT_STAGE)
    path = event.get("rawPath") or "/"
    settings = call.endpoint.settings
    return answer(
        call,
        method=context["http"]["method"],
        path=path if stage == DEFAULT_STAGE else without(f"/{stage}", path),
        headers=event.get("headers") or {},
        query=dict(
            parse_qsl(event.get("rawQueryString") or "", keep_blank_values=True)
        ),
        authenticated=_is_vouched_for(context),
        at_most=None if _is_function_url(context) else settings["gateway_timeout"],
    )


def _is_vouched_for(context: Any) -> bool:
    """Tell whether an authorizer (jwt, lambda or iam) has let the caller in.

    There is none in the event of a route without one, nor of a URL of type NONE.
    """
    return any(table(context.get("authorizer")).values())


def _is_function_url(context: Any) -> bool:
    """Tell a function URL, which waits as long as the function may run.

    https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
    """
    return ".lambda-url." in context.get("domainName", "")


HTTP_API = Kind(_fits, _serve)
