"""`edgeflow serve`: a worker that stays."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._errors import UsageError
from edgeflow.cli._logs import logging_to_stderr
from edgeflow.cli._loop import Stopped, run_until_stopped
from edgeflow.cli._progress import Progress
from edgeflow.cli._rests import Rests
from edgeflow.cli._target import find_app

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.app import App


def arguments(parser: ArgumentParser) -> None:
    """Declare what `serve` takes."""
    parser.epilog = (
        "SIGINT or SIGTERM ends it, with exit code 0: running steps get the App's\n"
        "grace; a second ^C cuts them off at once. Nothing that has ended is lost."
    )
    parser.add_argument("target", metavar="TARGET", help="the App")


def command(args: Namespace) -> int:
    """Serve until a signal comes."""
    console = Console()
    with (
        console.lent(),
        logging_to_stderr(verbose=args.verbose, level=logging.WARNING),
    ):
        app = find_app(args.target, args.store)
        if not app.workflows:
            raise UsageError(f"the App of {args.target} has no workflow")
        app.observe(Progress(console, many=True))
        if args.json:
            app.observe(Rests(console.out))
        say = console.live.line
        try:
            return run_until_stopped(
                lambda: _serve(app, console), lambda: say("stopping; again: at once")
            )
        except Stopped:
            say("stopped")
            return 0


async def _serve(app: App, console: Console) -> int:
    names = ", ".join(workflow.name for workflow in app.workflows)
    async with app:
        console.live.line(f"{console.err.sign('running')} serving {names}; ^C stops")
        await asyncio.Event().wait()
    return 0
