"""A platform as small as can be: a handler takes a `Request` and gives an `Answer`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgeflow.platform import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.config import Key
    from edgeflow.platform import (
        Action,
        Alarm,
        Answer,
        Background,
        Endpoint,
        Guard,
        Waker,
    )


class Entry:
    """What this platform calls."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.workflow: Any = None

    async def __call__(self, request: Request) -> Answer:
        return await self.endpoint.answer(request)


class Place:
    """Hears nothing and listens to nothing; its waker is what it is given."""

    name = "place"
    grace = 8.0
    margin = 1.0
    signals: tuple[int, ...] = ()
    keys: Mapping[str, Key] = {}

    def __init__(
        self, background: Background = "none", waker: Waker | None = None
    ) -> None:
        self.background: Background = background
        self._waker = waker

    def detect(self, environ: Mapping[str, str]) -> str | None:
        return None

    def prepare(self, guard: Guard) -> None: ...

    def install(self, guard: Guard) -> None: ...

    def entry(self, endpoint: Endpoint) -> Callable[..., Any]:
        return Entry(endpoint)

    def waker(self, settings: Mapping[str, Any]) -> Waker | None:
        return self._waker


class Alarms:
    """A waker that notes what it is asked for, and fails as often as it is told."""

    def __init__(self, diary: list[Any] | None = None) -> None:
        self.diary: list[Any] = [] if diary is None else diary
        """All that was armed, oldest first; others may write into it too."""
        self.failures = 0
        """How many of the next calls fail."""
        self.refused_before = 0.0
        """Alarms for before this time fail, in s since the epoch."""
        self.tries = 0

    def arm(self, alarm: Alarm) -> None:
        self.tries += 1
        if self.failures or alarm.when < self.refused_before:
            self.failures = max(self.failures - 1, 0)
            raise ConnectionError("the scheduler is away")
        self.diary.append(alarm)


def event(event: Any, **known: Any) -> Request:
    """An event that the platform has authenticated, unless `known` says otherwise."""
    return replace(Request(source="event", event=event, authenticated=True), **known)


def http(
    path: str = "/",
    body: Any = None,
    *,
    method: str = "POST",
    query: Mapping[str, str] | None = None,
    **headers: str,
) -> Request:
    """A request over HTTP; a body that is no bytes is sent as JSON."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return Request(
        source="http",
        method=method,
        path=path,
        query=query or {},
        headers={name.replace("_", "-"): text for name, text in headers.items()},
        body=body or b"",
    )


async def asked(handler: Any, request: Request) -> Answer:
    """Have a handler of this platform answer."""
    answer: Answer = await handler(request)
    return answer


def anyone(request: Request, action: Action) -> bool:
    """Let everybody in."""
    return True


def nobody(request: Request, action: Action) -> bool:
    """Let nobody in."""
    return False


def endpoint_of(handler: Any) -> Endpoint:
    """What the platform was given to make this handler of."""
    endpoint: Endpoint = handler.endpoint
    return endpoint


def error_type(answer: Answer) -> str:
    """The type of the error that an answer tells of."""
    found: str = answer.value["error"]["type"]
    return found
