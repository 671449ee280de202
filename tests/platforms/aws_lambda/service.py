"""Lambda's Runtime API and Extensions API on loopback, for one process of a runtime.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
"""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from tests.platforms.aws_lambda.endpoints import ARN

RUNTIME = "/2018-06-01/runtime"
EXTENSION = "/2020-01-01/extension"


@dataclass
class Invocation:
    """One call of the function."""

    id: str
    event: Any
    deadline: float
    answered: threading.Event = field(default_factory=threading.Event)
    answered_at: float = 0.0
    value: Any = None
    error: Any = None

    def headers(self) -> dict[str, str]:
        return {
            "Lambda-Runtime-Aws-Request-Id": self.id,
            "Lambda-Runtime-Deadline-Ms": str(int(self.deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-0",
        }


class Service(ThreadingHTTPServer):
    """What the two APIs know."""

    daemon_threads = True

    def __init__(self, *, lets_register: bool = True, drops: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lets_register = lets_register
        self.drops = drops
        """How often the connection of an extension that waits breaks."""
        self.extensions: list[str] = []
        self.parked = threading.Event()
        """Whether an extension waits for its next event, as all have to."""
        self.calls: dict[str, Invocation] = {}
        self.waiting: queue.Queue[Invocation] = queue.Queue()
        self.snapshot_taken = threading.Event()
        self.restored = threading.Event()
        self.trouble: list[Any] = []
        """Errors of the initialization, and of a restore."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def begin(self, event: Any, seconds: float) -> Invocation:
        """Have the function called, with so many seconds to answer."""
        number = f"request-{len(self.calls)}"
        call = Invocation(number, event, time.time() + seconds)
        self.calls[number] = call
        self.waiting.put(call)
        return call


class Handler(BaseHTTPRequestHandler):
    """Serves both APIs."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement

    @property
    def service(self) -> Service:
        return cast("Service", self.server)

    def do_GET(self) -> None:
        match self.path.removeprefix(RUNTIME).removeprefix(EXTENSION):
            case "/invocation/next":
                call = self.service.waiting.get()
                self._send(200, call.event, call.headers())
            case "/restore/next":
                self.service.snapshot_taken.set()
                self.service.restored.wait()
                self._send(200)
            case "/event/next" if self.service.drops:
                self.service.drops -= 1
                self.close_connection = True
            case "/event/next":
                self.service.parked.set()
                threading.Event().wait()  # no event ever comes
            case unknown:
                self._send(404, unknown)

    def do_POST(self) -> None:
        value = json.loads(self._body() or b"null")
        match self.path.removeprefix(RUNTIME).removeprefix(EXTENSION).split("/")[1:]:
            case ["register"]:
                self._register(value)
            case ["invocation", number, kind]:
                call = self.service.calls[number]
                call.value, call.error = (
                    (value, None) if kind != "error" else (0, value)
                )
                call.answered_at = time.time()
                call.answered.set()
                self._send(202)
            case _:
                self.service.trouble.append(value)
                self._send(202)

    def _register(self, value: Any) -> None:
        name = self.headers["Lambda-Extension-Name"]
        is_taken = name in self.service.extensions
        if value != {"events": []} or is_taken or not self.service.lets_register:
            self._send(403, {"errorType": "Extension.InvalidExtensionState"})
            return
        self.service.extensions.append(name)
        self._send(200, {}, {"Lambda-Extension-Identifier": f"id-of-{name}"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(
        self, status: int, value: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        named = {"Content-Type": "application/json", **(headers or {})}
        for name, text in (named | {"Content-Length": str(len(body))}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
