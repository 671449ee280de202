"""`edgeflow check`: stored histories against today's code, before it is deployed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._errors import COMPLETED, FAILED
from edgeflow.cli._logs import logging_to_stderr
from edgeflow.cli._looking import check_exists
from edgeflow.cli._target import find_app
from edgeflow.cli._text import clean
from edgeflow.engine.checking import examine
from edgeflow.errors import UnknownInstance
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.app import App
    from edgeflow.cli._console import Output
    from edgeflow.errors import EdgeflowError
    from edgeflow.outcome import Info


def arguments(parser: ArgumentParser) -> None:
    """Declare what `check` takes."""
    parser.epilog = (
        "Every unfinished instance is replayed as far as its history goes; no step is "
        "entered and nothing is written. It exits with 1 if one would be blocked."
    )
    parser.add_argument("target", metavar="TARGET", help="the App with the workflows")
    parser.add_argument("--workflow", metavar="NAME", help="only instances of this one")


def command(args: Namespace) -> int:
    """Check the instances; 1: some would be blocked."""
    console = Console()
    with (
        console.lent(),
        logging_to_stderr(verbose=args.verbose),
    ):
        app = find_app(args.target, args.store)
        check_exists(app)
        found = asyncio.run(_check(args, app, console.out))
        if not args.json:
            console.live.line(_summary(*found))
    return FAILED if found[1] else COMPLETED


async def _check(args: Namespace, app: App, output: Output) -> tuple[int, int]:
    """Give how many instances there are, and how many would be blocked."""
    checked = blocked = 0
    async with (
        app.session.using() as worker,
        aclosing(app.find(workflow=args.workflow)) as every,
    ):
        async for info in every:
            if info.status in TERMINAL:
                continue
            try:
                error = await examine(app.wiring, worker.plan, info.id)
            except UnknownInstance:  # it was deleted meanwhile
                continue
            checked += 1
            blocked += error is not None
            if args.json:
                output.json(as_json(info, error))
            elif error is not None:
                _write(output, info, error)
    return checked, blocked


def as_json(info: Info, error: EdgeflowError | None) -> dict[str, object]:
    """Make what was found of an instance plain JSON."""
    return {
        "id": info.id,
        "workflow": info.workflow,
        "status": info.status,
        "would_block": error is not None,
        "reason": None if error is None else str(error),
    }


def _write(output: Output, info: Info, error: EdgeflowError) -> None:
    who = output.paint(clean(info.id), "bold")
    output.line(f"{output.sign('blocked')} {who}  {clean(info.workflow)}")
    output.line(f"  {output.paint(clean(str(error)), 'red')}")


def _summary(checked: int, blocked: int) -> str:
    plural = "" if checked == 1 else "s"
    verdict = f"{blocked} would be blocked" if blocked else "none would be blocked"
    return f"checked {checked} instance{plural}: {verdict}"
