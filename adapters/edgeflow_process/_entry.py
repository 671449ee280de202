"""A handler as the `main` of a program: one event, one answer, one exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgeflow.platform import Request

if TYPE_CHECKING:
    from edgeflow.platform import Answer, Endpoint

COMPLETED, FAILED, USAGE, SUSPENDED = 0, 1, 2, 3
"""Exit codes, as those of `edgeflow run`."""

OK, ACCEPTED = 200, 202

GIVEN = object()


class Main(Protocol):
    """What `sys.exit` takes the answer of."""

    def __call__(self, event: Any = GIVEN) -> int:
        """Handle one event: by default the JSON on the command line.

        Raises:
            SystemExit, KeyboardInterrupt: if a signal has ended it; all is durable.
        """
        ...


def entry(endpoint: Endpoint) -> Main:
    """Make a function that handles an event, prints the answer, and gives a code."""

    def main(event: Any = GIVEN, *others: object) -> int:
        if others:
            raise TypeError(
                f"{endpoint.name} is the main of a program and takes one event, since "
                "the platform is 'process'. If a server or a runtime calls it, say "
                "which: App(platform=...) or EDGEFLOW_PLATFORM"
            )
        try:
            event = _given() if event is GIVEN else event
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{endpoint.name}: {error}\n")
            return USAGE
        return _run(endpoint, event)

    main.__name__ = endpoint.name
    main.__doc__ = endpoint.doc
    return main


def _given() -> Any:
    """Read the event: JSON, a file of it, or - for standard input.

    Raises:
        ValueError: if there is none, or it is no JSON.
        OSError: if the file cannot be read.
    """
    words = sys.argv[1:]
    if len(words) != 1:
        raise ValueError("give one event: JSON, a file of it, or - for standard input")
    (word,) = words
    if word == "-":
        text, place = sys.stdin.read(), "standard input"
    elif word[:1] in '{["' or word in {"null", "true", "false"} or word.isdecimal():
        text, place = word, "the event"
    else:
        text, place = Path(word).read_text("utf-8"), word
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is no JSON: {error}") from error


def _run(endpoint: Endpoint, event: Any) -> int:
    import asyncio  # noqa: PLC0415  who only imports the program need not have it

    async def handle() -> Answer:
        async with endpoint.lifespan():
            request = Request(source="event", event=event, authenticated=True)
            answer = await endpoint.answer(request)
            sys.stdout.write(f"{answer.content.decode()}\n")
            sys.stdout.flush()
        return answer

    return _code(asyncio.run(handle()))


def _code(answer: Answer) -> int:
    if answer.status == OK:
        return COMPLETED
    if answer.status == ACCEPTED:
        return SUSPENDED
    return USAGE if answer.is_refused else FAILED
