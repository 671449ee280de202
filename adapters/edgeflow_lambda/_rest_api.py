"""Payload 1.0: REST APIs of API Gateway, HTTP APIs that ask for it, load balancers.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

from edgeflow_lambda._call import Call, Kind, table
from edgeflow_lambda._http import answer, without


def _fits(event: Any) -> bool:
    found = table(event)
    return "httpMethod" in found and isinstance(found.get("requestContext"), dict)


def _serve(call: Call) -> dict[str, Any]:
    event = call.event
    context = event["requestContext"]
    path = event.get("path") or "/"
    if event.get("version") == "1.0":  # of an HTTP API: its paths have the stage
        path = without(f"/{context.get('stage')}", path)
    query = _last(event, "multiValueQueryStringParameters", "queryStringParameters")
    if "elb" in context:  # it hands them over as they came
        query = {unquote_plus(k): unquote_plus(v) for k, v in query.items()}
    return answer(
        call,
        method=event["httpMethod"],
        path=path,
        headers=_joined(event),
        query=query,
        authenticated=_is_vouched_for(context),
        at_most=call.endpoint.settings["gateway_timeout"],
    )


def _last(event: Any, several: str, single: str) -> dict[str, str]:
    """Give the last value of each name."""
    many = table(event.get(several))
    return table(event.get(single)) | {k: v[-1] for k, v in many.items() if v}


def _joined(event: Any) -> dict[str, str]:
    """Join what was sent more than once, as RFC 9110 (section 5.3) has it."""
    many = table(event.get("multiValueHeaders"))
    return table(event.get("headers")) | {k: ", ".join(v) for k, v in many.items()}


def _is_vouched_for(context: Any) -> bool:
    """Tell whether an authorizer, or IAM, has let the caller in.

    A Lambda authorizer gives a principal, Cognito the claims of its token; without
    one these are null or absent. `userArn` is whose signature IAM has checked. An API
    key identifies, but proves nothing, so it does not count.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html#context-variable-reference
    """
    authorizer = table(context.get("authorizer"))
    identity = table(context.get("identity"))
    return bool(
        authorizer.get("principalId")
        or authorizer.get("claims")
        or identity.get("userArn")
    )


REST_API = Kind(_fits, _serve)
