"""What a scope and its body say, as a `Request`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from edgeflow.platform import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow_asgi._types import Receive, Scope


def request_of(scope: Scope, body: bytes) -> Request:
    """Give the request; HEAD is a GET, whose answer is cut when it is sent.

    https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
    """
    method: str = scope["method"]
    query: bytes = scope.get("query_string") or b""
    return Request(
        source="http",
        method="GET" if method == "HEAD" else method,
        path=path_below(scope.get("root_path") or "", scope["path"]),
        headers=_headers(scope.get("headers") or ()),
        query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)),
        body=body,
        native=scope,
    )


def path_below(mount: str, path: str) -> str:
    """Give the part of a path that is below the mount; it begins with "/".

    The specification has the mount in the path too. Starlette before 0.33, and some
    servers, leave it out there: then the path is below the mount already.
    """
    mount = mount.rstrip("/")
    if path == mount or path.startswith(f"{mount}/"):
        path = path[len(mount) :]
    return path if path.startswith("/") else f"/{path}"


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Join what was sent more than once.

    As RFC 9110 has it (section 5.3), and RFC 9113 for cookies (section 8.2.3).
    """
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in found:
            separator = "; " if name == "cookie" else ", "
            value = f"{found[name]}{separator}{value}"
        found[name] = value
    return found


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """Read a body that comes in parts; None: the client went away before its end.

    Of a body of more than `limit` bytes no more is read than it takes to know that,
    and `limit` + 1 bytes are given.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body") or b""
        if len(body) > limit or not message.get("more_body"):
            return bytes(body[: limit + 1])
