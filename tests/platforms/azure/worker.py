"""A program: Azure's own worker for Python, with the host played by a pipe.

It takes a line of JSON for each invocation, and answers with one when that has ended,
as the host does over gRPC. The names within the runtime are of version 1.3.0.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

runtime: Any = import_module("azure_functions_runtime.handle_event")
native: Any = import_module("azure_functions_runtime.native_invocation")
threadpool: Any = import_module("azure_functions_runtime.utils.threadpool")
Datum: Any = import_module("azure_functions_runtime.bindings.datumdef").Datum


class Message(SimpleNamespace):
    """A message of the protocol, and the numbers that some of them name."""

    Success, Failure = "success", "failure"
    out, inout, undefined = 1, 2, None


class Protos:
    """The messages of the protocol: whatever is asked for."""

    def __getattr__(self, name: str) -> type[Message]:
        return Message


async def index() -> str:
    """Load function_app.py from the current directory, as the host asks for it."""
    sys.path.insert(0, str(Path.cwd()))
    init = Message(capabilities={}, function_app_directory=str(Path.cwd()))
    request = Message(
        request=Message(worker_init_request=init),
        properties={"host": "127.0.0.1", "protos": Protos()},
    )
    response = await runtime.worker_init_request(request)
    if response.result.status == Message.Failure:
        return str(response.result.exception)
    found = await runtime.functions_metadata_request(request)
    threadpool.start_threadpool_executor()
    return " ".join(sorted(f.name for f in found.function_metadata_results))


def text(value: str) -> Any:
    return Datum(value, "string")


def texts(values: dict[str, str]) -> dict[str, Any]:
    return {name: text(value) for name, value in values.items()}


def given(call: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Give what triggers a call, and its metadata."""
    match call["trigger"]:
        case "http":
            request = {
                "method": text(call.get("method", "POST")),
                "url": text("https://shop.example/api/checkout"),
                "headers": texts(call.get("headers", {})),
                "body": Datum(call["body"].encode(), "bytes"),
                "params": texts({"path": call.get("path", "")}),
                "query": texts({}),
            }
            return Datum(request, "http"), {}
        case "queue":
            return text(call["body"]), texts({"Id": call["id"]})
        case _:
            return Datum('{"IsPastDue": false}', "json"), {}


async def invoke(call: dict[str, Any]) -> dict[str, Any]:
    """Call a function, and give what the host would hear."""
    function = str(uuid.uuid5(uuid.NAMESPACE_OID, call["function"]))
    value, metadata = given(call)
    ok, returned, _, error, _ = await native.invocation_request_native(
        str(uuid.uuid4()), function, [("req", value)], metadata
    )
    answer = {"number": call["number"], "ok": ok, "error": error}
    if returned is not None:
        response = returned.value
        headers = {name: each.value for name, each in response["headers"].items()}
        answer["status"] = int(response["status_code"].value)
        answer["headers"] = headers
        answer["body"] = response["body"].value.decode()
    return answer


async def main() -> None:
    say({"functions": await index()})
    calls: set[asyncio.Task[None]] = set()

    async def serve(call: dict[str, Any]) -> None:
        say(await invoke(call))

    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.create_task(serve(json.loads(line)))
        calls.add(task)
        task.add_done_callback(calls.discard)


def say(answer: dict[str, Any]) -> None:
    OUT.write(f"{json.dumps(answer)}\n")
    OUT.flush()


if __name__ == "__main__":
    OUT = sys.stdout
    sys.stdout = sys.stderr  # what functions print is no answer
    asyncio.run(main())
