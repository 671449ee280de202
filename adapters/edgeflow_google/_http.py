"""A request of Flask as ours, and our answer as Flask wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.platform import Request

if TYPE_CHECKING:
    from edgeflow.platform import Answer


def http_request(flask: Any, max_body: int, seconds_left: float | None) -> Request:
    """Translate; of a longer body no more than `max_body` + 1 bytes are read here.

    HEAD is a GET, whose answer the server cuts.
    """
    method: str = flask.method
    return Request(
        source="http",
        method="GET" if method == "HEAD" else method,
        path=flask.path,
        headers={name.lower(): value for name, value in flask.headers.items()},
        query=flask.args.to_dict(),
        body=_read(flask.stream, max_body + 1),
        seconds_left=seconds_left,
        native=flask,
    )


def http_response(answer: Answer) -> tuple[bytes, int, dict[str, str]]:
    """Give content, status and headers.

    https://flask.palletsprojects.com/en/stable/quickstart/#about-responses
    """
    headers = {"Content-Type": "application/json", **answer.headers}
    return answer.content, answer.status, headers


def _read(stream: Any, most: int) -> bytes:
    """Read up to `most` bytes of a stream, which may give fewer at once."""
    found = bytearray()
    while len(found) < most and (part := stream.read(most - len(found))):
        found += part
    return bytes(found)
