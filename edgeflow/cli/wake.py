"""`edgeflow wake`: run an instance once, if it is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._logs import logging_to_stderr
from edgeflow.cli._looking import check_exists
from edgeflow.cli._loop import Stopped, run_until_stopped
from edgeflow.cli._progress import Progress
from edgeflow.cli._report import report
from edgeflow.cli._target import find_app

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.app import App


def arguments(parser: ArgumentParser) -> None:
    """Declare what `wake` takes."""
    parser.add_argument("instance", metavar="ID", help="of the instance")
    parser.add_argument(
        "--app", metavar="TARGET", required=True, help="the App with its workflow"
    )


def command(args: Namespace) -> int:
    """Drive the instance to its next rest; exit as `run --once` does."""
    console = Console()
    with console.lent(), logging_to_stderr(verbose=args.verbose):
        app = find_app(args.app, args.store)
        check_exists(app)
        app.observe(Progress(console, once=True))
        try:
            return run_until_stopped(lambda: _wake(args, app, console))
        except Stopped as stop:
            console.live.line("edgeflow: stopped; it goes on when woken again")
            return stop.code


async def _wake(args: Namespace, app: App, console: Console) -> int:
    async with app.session.using(runs=True):
        outcome = await app.drive(app.handle(args.instance).id)
        info = await app.handle(args.instance).info()
    now = app.clock.now()
    return report(console, info.id, outcome, info.output, as_json=args.json, now=now)
