"""Opening a store to look into it: commands that need no workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.app import App
from edgeflow.cli._errors import CommandError
from edgeflow.cli._target import find_app
from edgeflow.store import Creates

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_app(parser: ArgumentParser) -> None:
    """Let a command take the store, and the codec, of an App."""
    parser.add_argument(
        "--app", metavar="TARGET", help="an App, whose store and codec are used"
    )


def app_to_look(args: Namespace) -> App:
    """Give an App over the store that the arguments name; it must exist.

    Raises:
        CommandError: if there is no such store.
    """
    if args.app is not None:
        # Without its workflows: what is shown is plain JSON, as it is stored.
        found = find_app(args.app, args.store)
        app = App(found.store, codec=found.wiring.codec)
    else:
        app = App(args.store)
    check_exists(app)
    return app


def check_exists(app: App) -> None:
    """Refuse a store that opening would create.

    Raises:
        CommandError: if it is missing; says what.
    """
    missing = app.store.missing() if isinstance(app.store, Creates) else None
    if missing is not None:
        raise CommandError(f"there is no such store: {missing}")
