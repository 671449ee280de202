"""`edgeflow send`: a message to an instance."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console
from edgeflow.cli._errors import UsageError
from edgeflow.cli._looking import add_app, app_to_look
from edgeflow.cli._values import read_value
from edgeflow.errors import UnknownInstance, ValueRefused

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def arguments(parser: ArgumentParser) -> None:
    """Declare what `send` takes."""
    parser.add_argument("instance", metavar="ID", help="of the instance")
    parser.add_argument("name", metavar="NAME", help="what the workflow waits for")
    parser.add_argument(
        "body",
        metavar="BODY",
        nargs="?",
        help="JSON, a file of it, or - (default: null)",
    )
    parser.add_argument(
        "--id",
        help="of the message: the same one is delivered once (default: a new one)",
    )
    parser.add_argument(
        "--early", action="store_true", help="keep it for an instance not yet started"
    )
    add_app(parser)


def command(args: Namespace) -> int:
    """Send the message."""
    body = None if args.body is None else read_value(args.body, "BODY")
    try:
        return asyncio.run(_send(args, body, Console()))
    except ValueRefused as error:
        raise UsageError(str(error)) from error


async def _send(args: Namespace, body: object, console: Console) -> int:
    app = app_to_look(args)
    handle = app.handle(args.instance)
    message = secrets.token_hex(16) if args.id is None else args.id
    async with app.session.using():
        if not args.early and await app.store.load(handle.id) is None:
            raise UnknownInstance(handle.id)
        fresh = await handle.send(args.name, body, id=message)
    if args.json:
        console.out.json({"to": handle.id, "id": message, "sent": fresh})
    elif fresh:
        console.err.line(f"sent {args.name!r} to {handle.id!r} as message {message}")
    else:
        console.err.line(f"message {message} was sent before; nothing changed")
    return 0
