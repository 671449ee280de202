"""A request of Azure Functions as ours, and our answer as it wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.platform import Request

if TYPE_CHECKING:
    from edgeflow.platform import Answer

REST = "path"
"""The name of the rest of a route: `checkout/{*path}`; the path is what it holds."""


def http_request(req: Any, max_body: int, seconds_left: float) -> Request:
    """Translate a `func.HttpRequest`; the host has read its body already."""
    method: str = req.method
    return Request(
        source="http",
        method="GET" if method == "HEAD" else method,
        path=f"/{(req.route_params.get(REST) or '').lstrip('/')}",
        headers={name.lower(): value for name, value in req.headers.items()},
        query=dict(req.params),
        body=req.get_body()[: max_body + 1],
        seconds_left=seconds_left,
        native=req,
    )


def http_response(answer: Answer) -> Any:
    """Give a `func.HttpResponse`."""
    from azure.functions import HttpResponse  # noqa: PLC0415  only where it is called

    return HttpResponse(
        answer.content,
        status_code=answer.status,
        headers=dict(answer.headers),
        mimetype="application/json",
    )
