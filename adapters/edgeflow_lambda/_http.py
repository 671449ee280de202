"""What the two forms of HTTP events have in common."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from edgeflow.platform import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow_lambda._call import Call


def answer(
    call: Call,
    *,
    method: str,
    path: str,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    authenticated: bool,
    at_most: float | None,
) -> dict[str, Any]:
    """Have a request answered, in the form that both take.

    Args:
        call: what came.
        method: the HTTP method.
        path: still encoded, without the stage.
        headers: under any names.
        query: decoded.
        authenticated: whether the gateway has checked who calls.
        at_most: seconds that the gateway waits for an answer; None: as long as Lambda.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    settings = call.endpoint.settings
    found = call.endpoint.answer_in_thread(
        Request(
            source="http",
            method=method.upper(),
            path=without(settings["base_path"], unquote(path)),
            headers={name.lower(): value for name, value in headers.items()},
            query=query,
            body=_body(call.event, settings["max_body"]),
            authenticated=authenticated,
            seconds_left=call.seconds_left(at_most),
            native=call.event,
        )
    )
    return {
        "statusCode": found.status,
        "headers": {"content-type": "application/json", **found.headers},
        "body": found.content.decode(),
        "isBase64Encoded": False,
    }


def without(mount: str | None, path: str) -> str:
    """Take off the part of a path at which something is mounted, if it is there."""
    if mount and (path == mount or path.startswith(f"{mount}/")):
        path = path[len(mount) :]
    return path if path.startswith("/") else f"/{path}"


def _body(event: Any, limit: int) -> bytes:
    """Give the body; of one that is too long just what shows that."""
    text: str = event.get("body") or ""
    if event.get("isBase64Encoded"):
        return b64decode(text)[: limit + 1]
    # A lone surrogate, which JSON can hold, is no JSON for us: that says 400.
    return text.encode(errors="surrogatepass")[: limit + 1]
