"""An endpoint that notes what it is asked, and contexts as Lambda makes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeflow.platform import Answer
from edgeflow_lambda import LambdaPlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from edgeflow.platform import Request

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:checkout"


def answer(status: int = 200, value: Any = "done", **headers: str) -> Answer:
    return Answer(
        status=status,
        value=value,
        content=json.dumps(value).encode(),
        headers={name.replace("_", "-"): text for name, text in headers.items()},
    )


def trouble(status: int, message: str = "no") -> Answer:
    return answer(status, {"error": {"type": "Trouble", "message": message}})


@dataclass
class NotingEndpoint:
    """Answers as `reply` says."""

    reply: Callable[[Request], Answer] = lambda _: answer()
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {
            **{name: key.default for name, key in LambdaPlatform.keys.items()},
            "max_body": 10,
        }
    )
    name: str = "checkout"
    doc: str | None = "Sell something."
    is_ending: bool = False
    requests: list[Request] = field(default_factory=list[Any])
    releases: int = 0

    def answer_in_thread(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.reply(request)

    async def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    def release(self) -> None:
        self.releases += 1


@dataclass
class Context:
    """What of Lambda's context we look at."""

    aws_request_id: str = "request-1"
    invoked_function_arn: str = ARN
    milliseconds: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds
