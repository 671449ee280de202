"""A storage queue on loopback: its rules about times and sizes, as Azurite has them.

https://learn.microsoft.com/rest/api/storageservices/put-message
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import fromstring

if TYPE_CHECKING:
    from collections.abc import Generator

ACCOUNT = "devstoreaccount1"
KEY = "c2VzYW1l"
WEEK = 604_800
LONGEST = 65_536
DATE = "Fri, 01 Jan 2100 00:00:00 GMT"
SENT = (
    "<QueueMessagesList><QueueMessage><MessageId>1</MessageId>"
    f"<InsertionTime>{DATE}</InsertionTime><ExpirationTime>{DATE}</ExpirationTime>"
    f"<PopReceipt>1</PopReceipt><TimeNextVisible>{DATE}</TimeNextVisible>"
    "</QueueMessage></QueueMessagesList>"
)


class Sent(NamedTuple):
    """A message, as it came."""

    text: str
    delay: int
    """Seconds that it is invisible."""
    lives: int
    """Seconds; -1: for ever."""


@dataclass
class StorageQueue:
    """The queues that are there."""

    port: int = 0
    queues: dict[str, list[Sent]] = field(default_factory=dict[str, list[Sent]])
    made: list[str] = field(default_factory=list[str])

    @property
    def connection(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"QueueEndpoint=http://127.0.0.1:{self.port}/{ACCOUNT};"
        )

    def make(self, path: str) -> tuple[int, str]:
        _, account, queue = path.split("/")
        assert account == ACCOUNT
        self.made.append(queue)
        self.queues.setdefault(queue, [])
        return 201, ""

    def send(
        self, path: str, query: dict[str, list[str]], body: str
    ) -> tuple[int, str]:
        _, account, queue, kind = path.split("/")
        assert (account, kind) == (ACCOUNT, "messages")
        if queue not in self.queues:
            return 404, "QueueNotFound"
        text = fromstring(body).findtext("MessageText") or ""
        delay, lives = int(query["visibilitytimeout"][0]), int(query["messagettl"][0])
        if not (0 <= delay <= WEEK and (lives == -1 or delay < lives)):
            return 400, "OutOfRangeQueryParameterValue"
        if len(text) > LONGEST:
            return 400, "RequestBodyTooLarge"
        self.queues[queue].append(Sent(text, delay, lives))
        return 201, SENT


@contextmanager
def storage_queue() -> Generator[StorageQueue]:
    """Serve while the block runs."""
    service = StorageQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer(*service.make(urlsplit(self.path).path))

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(*service.send(parts.path, parse_qs(parts.query), body))

        def _answer(self, code: int, content: str) -> None:
            self.send_response(code)
            if code >= 400:
                self.send_header("x-ms-error-code", content)
                content = f"<Error><Code>{content}</Code><Message>no</Message></Error>"
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
