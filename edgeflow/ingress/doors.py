"""The doors of a handler over HTTP: what each path below the prefix asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from edgeflow.ingress.refusing import BAD_REQUEST, NOT_ALLOWED, NOT_FOUND, Refused
from edgeflow.platform import DOOR

if TYPE_CHECKING:
    from edgeflow.platform import Request

DOORS = (
    (r"/?", {"POST"}, "trigger"),
    (r"/run-due/?", {"GET", "POST"}, "run_due"),
    (r"(?s:/instances/(.+)/messages/([^/]+))", {"POST"}, "send"),
    (r"(?s:/instances/(.+)/wake)", {"POST"}, "wake"),
    (r"(?s:/instances/(.+))", {"GET", "HEAD"}, "look"),
)
"""Below the prefix: path, methods, and what it asks for; the first that fits holds.

The path is decoded, so an id may have slashes in it. One that looks like a door, such
as "a/wake", is for the door that takes JSON.
"""

MAX_DIGITS = 9
"""Of a limit."""


def trigger_of(request: Request, prefix: str) -> Any:
    """Give what a request asks of us, as an event says it under the reserved key.

    None: it is none of ours, but an event of the user's.

    Raises:
        Refused: if there is no such door, or not for this method.
    """
    path = request.path
    if path != prefix and not path.startswith(f"{prefix}/"):
        return None
    for pattern, methods, asks in DOORS:
        found = re.fullmatch(pattern, path[len(prefix) :])
        if found is None:
            continue
        if request.method not in methods:
            allowed = " or ".join(sorted(methods))
            raise Refused(NOT_ALLOWED, "MethodNotAllowed", f"{path!r} takes {allowed}")
        return _asked(asks, found.groups(), request)
    raise Refused(NOT_FOUND, "NotFound", f"there is no door {path!r}")


def _asked(asks: str, parts: tuple[str, ...], request: Request) -> Any:
    if asks == "trigger":
        return _under_the_key(request.event)
    if asks == "run_due":
        return {"run_due": _limit(request)}
    if asks == "send":
        to, name = parts
        send = {"to": to, "name": name, "body": request.event}
        message = request.query.get("id") or request.headers.get("idempotency-key")
        return {"send": send | ({"id": message} if message else {})}
    return {asks: parts[0]}


def _under_the_key(event: Any) -> Any:
    if isinstance(event, dict):
        trigger = cast("dict[str, Any]", event).get(DOOR)
        if trigger is not None:
            return trigger
    raise Refused(
        BAD_REQUEST, "BadTrigger", f'this door takes {{"{DOOR}": {{"wake": "<id>"}}}}'
    )


def _limit(request: Request) -> int | None:
    text = request.query.get("limit")
    if text is None:
        return None
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        raise Refused(BAD_REQUEST, "BadLimit", f"limit={text[:20]!r} is no number")
    return int(text)
