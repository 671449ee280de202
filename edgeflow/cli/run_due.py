"""`edgeflow run-due`: what a cron job calls."""

from __future__ import annotations

import logging
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._logs import logging_to_stderr
from edgeflow.cli._loop import Stopped, run_until_stopped
from edgeflow.cli._progress import Progress
from edgeflow.cli._rests import Rests
from edgeflow.cli._target import find_app

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.app import App


def arguments(parser: ArgumentParser) -> None:
    """Declare what `run-due` takes."""
    parser.epilog = "It exits with 0 whatever became of them: see their journals."
    parser.add_argument(
        "--app", metavar="TARGET", required=True, help="the App with the workflows"
    )
    parser.add_argument(
        "--limit", metavar="N", type=_count, help="at most so many (default: all)"
    )


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def command(args: Namespace) -> int:
    """Drive what is due."""
    console = Console()
    with (
        console.lent(),
        logging_to_stderr(verbose=args.verbose, level=logging.WARNING),
    ):
        app = find_app(args.app, args.store)
        app.observe(Progress(console, many=True))
        if args.json:
            app.observe(Rests(console.out))
        try:
            return run_until_stopped(lambda: _run_due(args, app, console))
        except Stopped as stop:
            console.live.line("edgeflow: stopped; what is left stays due")
            return stop.code


async def _run_due(args: Namespace, app: App, console: Console) -> int:
    outcomes = await app.run_due(args.limit)
    count = len(outcomes)
    if not args.json:
        console.live.line(f"ran {count} instance{'' if count == 1 else 's'}")
    return 0
