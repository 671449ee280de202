"""`edgeflow cancel`: have an instance cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._errors import COMPLETED, FAILED
from edgeflow.cli._looking import add_app, app_to_look
from edgeflow.cli._next import who_goes_on

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

DETAILS = """\
The cancellation is durable when this returns; who runs the instance next undoes what
it did. One that has ended otherwise stays as it is, and the exit code is 1.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what `cancel` takes."""
    parser.epilog = DETAILS
    parser.add_argument("instance", metavar="ID", help="of the instance")
    add_app(parser)


def command(args: Namespace) -> int:
    """Cancel the instance; 1: it is too late."""
    return asyncio.run(_cancel(args, Console()))


async def _cancel(args: Namespace, console: Console) -> int:
    app = app_to_look(args)
    handle = app.handle(args.instance)
    async with app.session.using():
        fresh = await handle.cancel()
        status = (await handle.info()).status
    late = not fresh and status in {"completed", "failed"}
    if args.json:
        found = {"id": handle.id, "cancelled": fresh, "status": status}
        console.out.json(found)
    elif fresh:
        hint = who_goes_on(handle.id, args)
        console.err.line(f"{handle.id!r} will be cancelled; {hint}")
    elif late:
        console.err.line(f"edgeflow: it is too late: {handle.id!r} has {status}")
    elif status == "cancelled":
        console.err.line(f"{handle.id!r} was cancelled before; nothing changed")
    else:
        console.err.line(f"{handle.id!r} is being cancelled or undone already")
    return FAILED if late else COMPLETED
