"""An endpoint that only notes what it is asked, and connections by hand."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeflow.platform import Answer, Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping


@dataclass
class NotingEndpoint:
    """Answers all with one answer."""

    reply: Answer = field(
        default_factory=lambda: Answer(status=200, value=1, content=b"1")
    )
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {"prefix": "/edgeflow", "max_body": 10}
    )
    fails_at: str = ""
    """Whether the app cannot be opened ("startup") or closed ("shutdown")."""
    name: str = "checkout"
    doc: str | None = "Sell something."
    is_ending: bool = False
    requests: list[Request] = field(default_factory=list[Request])
    opened: list[str] = field(default_factory=list[str])

    async def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.reply

    def answer_in_thread(self, request: Request) -> Answer:
        raise NotImplementedError

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self._note("startup")
        yield
        self._note("shutdown")

    def release(self) -> None:
        raise NotImplementedError

    def _note(self, what: str) -> None:
        self.opened.append(what)
        if self.fails_at == what:
            raise ConnectionError("the store is away")


def http(method: str = "POST", path: str = "/", **more: Any) -> dict[str, Any]:
    """The scope of a request."""
    headers: list[tuple[bytes, bytes]] = []
    return {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        **more,
    }


def part(body: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def connect(
    app: Callable[..., Awaitable[None]],
    scope: Mapping[str, Any],
    *messages: Mapping[str, Any],
) -> tuple[list[Any], int]:
    """Hand over these messages; give what was sent, and how many were not read."""
    left, sent = list(messages), list[Any]()

    async def receive() -> Mapping[str, Any]:
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(dict(scope), receive, send)
    return sent, len(left)
