"""`edgeflow rewind`: let an instance run again from an entry of its history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._looking import add_app, app_to_look
from edgeflow.cli._next import who_goes_on
from edgeflow.cli._paths import find_path, shown, within_reach

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

DETAILS = """\
A PATH is what `edgeflow show ID` draws: charge, charge[1], 'turn[2] > charge'; or
JSON, as in `show ID --json`. That entry and all that was recorded after it are
forgotten; a turn that is pruned means the start of its loop. Nothing is undone and
state is not turned back; who runs the instance now can write no more.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what `rewind` takes."""
    parser.epilog = DETAILS
    parser.add_argument("instance", metavar="ID", help="of the instance")
    parser.add_argument("path", metavar="PATH", help="of what is to run again")
    add_app(parser)


def command(args: Namespace) -> int:
    """Forget the entry and what came after it."""
    asyncio.run(_rewind(args, Console()))
    return 0


async def _rewind(args: Namespace, console: Console) -> None:
    app = app_to_look(args)
    handle = app.handle(args.instance)
    async with app.session.using():
        before = await handle.history()
        path = within_reach(find_path(args.path, before, handle.id), before)
        await handle.rewind(path)
        forgotten = len(before) - len(await handle.history())
    if args.json:
        found = {"id": handle.id, "to": path, "forgotten": forgotten}
        console.out.json(found)
    else:
        plural = "entry" if forgotten == 1 else "entries"
        console.err.line(
            f"{handle.id!r} goes back to {shown(path)}, {forgotten} {plural} "
            f"forgotten; {who_goes_on(handle.id, args)}"
        )
