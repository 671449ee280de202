"""A handler as an ASGI application: requests, and the life of the server."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgeflow_asgi._reading import read_body, request_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from edgeflow.platform import Answer, Endpoint, Request
    from edgeflow_asgi._types import Receive, Scope, Send

CANNOT_ACCEPT = 1003
"""The code that closes a websocket; before it is accepted, servers answer 403.

https://asgi.readthedocs.io/en/latest/specs/www.html#close-send-event
"""


class AsgiHandler:
    """An ASGI 3 application: mount it in a framework, or give it to a server."""

    workflow: Any
    """What it runs; the app sets it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        seconds_left: Callable[[Request], float | None] = lambda _: None,
        authenticated: Callable[[Request], bool] = lambda _: False,
    ) -> None:
        """Make the application of an endpoint.

        Args:
            endpoint: what answers.
            seconds_left: until the platform wants the answer; None: it does not say.
            authenticated: whether the platform vouches for who calls.

        Both are asked once for each request; its `native` is the scope.
        """
        self.endpoint = endpoint
        self._seconds_left = seconds_left
        self._authenticated = authenticated
        self.__name__ = endpoint.name
        self.__doc__ = endpoint.doc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as a server asks for it.

        Raises:
            NotImplementedError: if it is of a kind that ASGI did not know in 2026; the
                specification wants an exception.
        """
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": CANNOT_ACCEPT})
            case kind:
                raise NotImplementedError(
                    f"the handler {self.__name__!r} does not serve {kind!r}: it is "
                    "made for http, and knows lifespan and websocket"
                )

    def lifespan(self, _app: object = None) -> AbstractAsyncContextManager[None]:
        """Open the app as long as a framework is up: `Starlette(lifespan=…)`.

        A framework does not tell what is mounted in it when it starts and ends. With
        this the instances that are due run from the start; without it the first
        request opens the app.
        """
        return self.endpoint.lifespan()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, self.endpoint.settings["max_body"])
        if body is None:
            return
        request = request_of(scope, body)
        request = replace(
            request,
            seconds_left=self._seconds_left(request),
            authenticated=self._authenticated(request),
        )
        # Nobody listens for a disconnect: a client that is gone cancels nothing.
        answer = await self.endpoint.answer(request)
        with suppress(OSError):  # what send raises if the client is gone
            await _send(answer, send, with_content=scope["method"] != "HEAD")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        at = "startup"
        try:
            async with self.endpoint.lifespan():
                await send({"type": "lifespan.startup.complete"})
                at = "shutdown"
                await receive()
        except Exception as error:
            message = f"{self.__name__}: {type(error).__name__}: {error}"
            await send({"type": f"lifespan.{at}.failed", "message": message})
        else:
            await send({"type": "lifespan.shutdown.complete"})


async def _send(answer: Answer, send: Send, *, with_content: bool) -> None:
    headers = {
        "content-type": "application/json",
        "content-length": str(len(answer.content)),
        **answer.headers,
    }
    pairs = [
        (k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()
    ]
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": pairs}
    )
    content = answer.content if with_content else b""
    await send({"type": "http.response.body", "body": content})
