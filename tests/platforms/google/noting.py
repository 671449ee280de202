"""An endpoint that only notes what it is asked."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeflow.platform import Answer, Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping


def answered(status: int) -> Answer:
    """An answer with this status."""
    headers = {"retry-after": "1"} if status == 503 else {}
    return Answer(status=status, value=status, content=b"%d" % status, headers=headers)


@dataclass
class NotingEndpoint:
    """Answers all with one answer."""

    reply: Answer = field(default_factory=lambda: answered(200))
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {
            "ingress": "closed",
            "prefix": "/edgeflow",
            "max_body": 10,
            "max_run": None,
            "function_timeout": None,
        }
    )
    name: str = "checkout"
    doc: str | None = "Sell something."
    is_ending: bool = False
    requests: list[Request] = field(default_factory=list[Request])

    async def answer(self, request: Request) -> Answer:
        return self.answer_in_thread(request)

    def answer_in_thread(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.reply

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        yield

    def release(self) -> None:
        raise NotImplementedError
