"""Cloud Tasks on loopback: its rules about names and times; a test fires a task.

https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.request
from base64 import b64decode
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

QUEUE = "projects/p/locations/l/queues/q"
NAME = re.compile(rf"{QUEUE}/tasks/[A-Za-z0-9_-]{{1,500}}")
LIMIT = timedelta(days=30)
METHODS = {1: "POST"}  # the client library writes numbers for names


class Refused(Exception):
    """An error, as the service gives it."""

    def __init__(self, code: int, status: str) -> None:
        super().__init__(status)
        self.code = code
        self.error = {"error": {"code": code, "status": status, "message": status}}


@dataclass
class CloudTasks:
    """The tasks that are there, by name."""

    port: int = 0
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict[str, Any])
    names: set[str] = field(default_factory=set[str])
    """Of these and of those that are done: they stay taken for an hour."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def create(self, path: str, task: dict[str, Any]) -> dict[str, Any]:
        name = task["name"]
        if path != f"/v2/{QUEUE}/tasks":
            raise Refused(404, "NOT_FOUND")
        if not NAME.fullmatch(name) or not task["httpRequest"]["url"]:
            raise Refused(400, "INVALID_ARGUMENT")
        if "scheduleTime" in task:
            when = datetime.fromisoformat(task["scheduleTime"])
            if when > datetime.now(when.tzinfo) + LIMIT:
                raise Refused(400, "INVALID_ARGUMENT")
        with self.lock:
            if name in self.names:
                raise Refused(409, "ALREADY_EXISTS")
            self.names.add(name)
            self.tasks[name] = task
        return task

    def is_due(self, name: str) -> bool:
        """Whether the time of a task has come."""
        when = self.tasks[name].get("scheduleTime")
        return when is None or datetime.fromisoformat(when) <= datetime.now(UTC)

    def fire(self, name: str) -> int:
        """Send the request of a task, whatever its time; a success ends the task."""
        wanted = self.tasks[name]["httpRequest"]
        request = urllib.request.Request(  # its url is loopback
            wanted["url"],
            b64decode(wanted["body"]),
            wanted["headers"],
            method=METHODS[wanted["httpMethod"]],
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                status: int = response.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        del self.tasks[name]
        return status

    def soonest(self, count: int, seconds: float = 10) -> str:
        """Wait for as many tasks, and give the name of the one that fires first."""
        end = time.monotonic() + seconds
        while len(self.tasks) != count:
            assert time.monotonic() < end, f"there are {len(self.tasks)} tasks"
            time.sleep(0.01)
        return min(
            self.tasks, key=lambda name: self.tasks[name].get("scheduleTime", "")
        )

    def only(self, seconds: float = 10) -> str:
        """Wait for the one task that is there, and give its name."""
        end = time.monotonic() + seconds
        while len(self.tasks) != 1:
            assert time.monotonic() < end, f"there are {len(self.tasks)} tasks"
            time.sleep(0.01)
        return next(iter(self.tasks))


@contextmanager
def cloud_tasks() -> Generator[CloudTasks]:
    """Serve while the block runs."""
    service = CloudTasks()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            try:
                code, answer = (
                    200,
                    service.create(self.path.partition("?")[0], body["task"]),
                )
            except Refused as refused:
                code, answer = refused.code, refused.error
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # of connections at once

    with Server(("127.0.0.1", 0), Handler) as server:
        service.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
