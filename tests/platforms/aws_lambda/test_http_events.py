"""What API Gateway, function URLs and load balancers send becomes a request.

The events are cut from AWS's own examples:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow_lambda import LambdaPlatform
from tests.platforms.aws_lambda.endpoints import (
    Context,
    NotingEndpoint,
    answer,
    trouble,
)

if TYPE_CHECKING:
    from edgeflow.platform import Request


def http_api(path: str = "/", *, stage: str = "$default", **more: Any) -> Any:
    """Payload 2.0."""
    context = {
        "domainName": "id.execute-api.eu-west-1.amazonaws.com",
        "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1"},
        "stage": stage,
        **more.pop("context", {}),
    }
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "requestContext": context,
        "isBase64Encoded": False,
        **more,
    }


def rest_api(path: str = "/", **more: Any) -> Any:
    """Payload 1.0."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "POST",
        "headers": None,
        "multiValueHeaders": None,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "body": None,
        "isBase64Encoded": False,
        "requestContext": {
            "stage": "prod",
            "identity": {"apiKey": "k", "userArn": None, "sourceIp": "192.0.2.1"},
            **more.pop("context", {}),
        },
        **more,
    }


def load_balancer(path: str = "/", **more: Any) -> Any:
    event = rest_api(path, **more)
    event["requestContext"] = {
        "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing"}
    }
    return event


FORMS = [http_api, rest_api, load_balancer]


def seen(event: Any, context: Any = None, **settings: Any) -> Request:
    """Give the request that an event becomes."""
    endpoint = NotingEndpoint()
    endpoint.settings = {**endpoint.settings, **settings}
    LambdaPlatform().entry(endpoint)(event, context or Context())
    (request,) = endpoint.requests
    return request


@pytest.mark.parametrize("form", FORMS)
def test_an_http_event_is_a_request_without_an_event(form: Any) -> None:
    # P-01
    event = form("/orders/a%20b", body='{"a": 1}')

    request = seen(event)

    assert (request.source, request.method) == ("http", "POST")
    assert request.path == "/orders/a b"
    assert request.body == b'{"a": 1}'
    assert (request.event, request.delivery) == (None, None)
    assert request.native is event


@pytest.mark.parametrize("form", FORMS)
def test_a_body_in_base64_is_decoded_and_a_long_one_cut_after_the_limit(
    form: Any,
) -> None:
    body = b64encode(bytes(range(100))).decode()

    assert seen(form(body=body, isBase64Encoded=True)).body == bytes(range(11))
    assert seen(form(body="é" * 100)).body == ("é" * 5).encode() + b"\xc3"
    assert seen(form(body=None)).body == b""


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_has_status_headers_and_a_body_of_text(form: Any) -> None:
    # P-01, P-05: over HTTP each answer is one, and nothing is raised
    reply = replace(trouble(503, "é"), headers={"Retry-After": "1"})
    handler = LambdaPlatform().entry(NotingEndpoint(lambda _: reply))

    assert handler(form(), Context()) == {
        "statusCode": 503,
        "headers": {"content-type": "application/json", "Retry-After": "1"},
        "body": reply.content.decode(),
        "isBase64Encoded": False,
    }


def test_headers_and_query_of_payload_2_come_as_text() -> None:
    request = seen(
        http_api(
            headers={"Idempotency-Key": "m1", "x-n": "1,2"},
            rawQueryString="id=%C3%A9&empty=&id=2",
            cookies=["a=b"],
        )
    )

    assert request.headers == {"idempotency-key": "m1", "x-n": "1,2"}
    assert request.query == {"id": "2", "empty": ""}


def test_headers_and_query_of_payload_1_may_come_several_times() -> None:
    request = seen(
        rest_api(
            headers={"X-N": "2"},
            multiValueHeaders={"X-N": ["1", "2"]},
            queryStringParameters={"id": "2"},
            multiValueQueryStringParameters={"id": ["1", "a+b"]},
        )
    )

    assert request.headers == {"x-n": "1, 2"}
    assert request.query == {"id": "a+b"}


def test_a_load_balancer_leaves_the_query_as_it_was_sent() -> None:
    request = seen(load_balancer(queryStringParameters={"id": "a+b%2F"}))

    assert request.query == {"id": "a b/"}


@pytest.mark.parametrize(
    ("event", "settings"),
    [
        (http_api("/dev/edgeflow/run-due", stage="dev"), {}),
        (http_api("/edgeflow/run-due", stage="dev"), {}),
        (rest_api("/prod/edgeflow/run-due", version="1.0"), {}),
        (rest_api("/shop/edgeflow/run-due"), {"base_path": "/shop"}),
        (http_api("/dev/shop/edgeflow/run-due", stage="dev"), {"base_path": "/shop"}),
    ],
)
def test_stage_and_base_path_are_taken_off(
    event: Any, settings: dict[str, Any]
) -> None:
    assert seen(event, **settings).path == "/edgeflow/run-due"


def test_what_only_begins_like_a_stage_is_left() -> None:
    assert seen(http_api("/developers", stage="dev")).path == "/developers"
    assert seen(http_api("/dev", stage="dev")).path == "/"
    assert seen(rest_api("/prod/x")).path == "/prod/x"  # the stage is not in it


def test_a_gateway_has_less_patience_than_lambda() -> None:
    # P-04: it answers its caller after 29 s, whatever the function does
    url = {"domainName": "id.lambda-url.eu-west-1.on.aws"}

    assert seen(http_api()).seconds_left == 29
    assert seen(rest_api(), gateway_timeout=50.0).seconds_left == 50
    assert seen(rest_api(), Context(milliseconds=2500)).seconds_left == 2.5
    assert seen(http_api(context=url)).seconds_left == 60


SIGNER = "arn:aws:iam::123456789012:user/ada"


@pytest.mark.parametrize(
    ("event", "is_vouched_for"),
    [
        (http_api(), False),
        (http_api(context={"authorizer": None}), False),
        (http_api(context={"authorizer": {"lambda": None}}), False),
        (http_api(headers={"authorization": "Bearer forged"}), False),
        (http_api(context={"authorizer": {"jwt": {"claims": {"sub": "ada"}}}}), True),
        (http_api(context={"authorizer": {"lambda": {"user": "ada"}}}), True),
        (http_api(context={"authorizer": {"iam": {"userArn": SIGNER}}}), True),
        (rest_api(), False),
        (rest_api(context={"authorizer": {"claims": None, "scopes": None}}), False),
        (rest_api(context={"authorizer": {"integrationLatency": 5}}), False),
        (rest_api(context={"authorizer": {"principalId": "ada"}}), True),
        (rest_api(context={"authorizer": {"claims": {"sub": "ada"}}}), True),
        (rest_api(context={"identity": {"userArn": SIGNER}}), True),
        (load_balancer(), False),
    ],
)
def test_only_an_authorizer_or_iam_vouches_for_a_caller(
    event: Any,
    is_vouched_for: bool,  # noqa: FBT001  a parameter of the cases
) -> None:
    assert seen(event).authenticated is is_vouched_for


def test_a_call_from_a_console_may_have_no_context() -> None:
    endpoint = NotingEndpoint(lambda _: answer(value={"a": 1}))
    handler = LambdaPlatform().entry(endpoint)

    assert handler({"order_id": "o1"}) == {"a": 1}
    assert endpoint.requests[0].seconds_left is None
