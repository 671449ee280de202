"""`edgeflow recover`: let a failed or blocked instance go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._looking import add_app, app_to_look
from edgeflow.cli._next import who_goes_on

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

DETAILS = """\
The failure that ended it is forgotten, and everything that was undone: these steps
run again. All else keeps its outcome.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what `recover` takes."""
    parser.epilog = DETAILS
    parser.add_argument("instance", metavar="ID", help="of the instance")
    add_app(parser)


def command(args: Namespace) -> int:
    """Make the instance due again, from where it stopped."""
    asyncio.run(_recover(args, Console()))
    return 0


async def _recover(args: Namespace, console: Console) -> None:
    app = app_to_look(args)
    handle = app.handle(args.instance)
    async with app.session.using():
        before = await handle.info()
        await handle.recover()
        after = await handle.info()
    if args.json:
        found = {"id": handle.id, "was": before.status, "status": after.status}
        console.out.json(found)
    else:
        hint = who_goes_on(handle.id, args)
        verb = "was" if before.status == "blocked" else "had"
        console.err.line(f"{handle.id!r} {verb} {before.status} and goes on; {hint}")
