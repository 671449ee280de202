"""`edgeflow rm`: forget instances."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._looking import add_app, app_to_look
from edgeflow.errors import UnknownInstance

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def arguments(parser: ArgumentParser) -> None:
    """Declare what `rm` takes."""
    parser.epilog = "Nothing is asked. A process that runs one stops, and says so."
    parser.add_argument("instances", metavar="ID", nargs="+", help="of an instance")
    add_app(parser)


def command(args: Namespace) -> int:
    """Delete the instances, their histories and their inboxes; all or none exist."""
    asyncio.run(_remove(args, Console()))
    return 0


async def _remove(args: Namespace, console: Console) -> None:
    app = app_to_look(args)
    handles = [app.handle(instance) for instance in dict.fromkeys(args.instances)]
    async with app.session.using():
        for handle in handles:
            if await app.store.load(handle.id) is None:
                raise UnknownInstance(handle.id)
        for handle in handles:
            await handle.delete()
            if args.json:
                console.out.json({"id": handle.id, "deleted": True})
            else:
                console.err.line(f"forgot {handle.id!r}")
