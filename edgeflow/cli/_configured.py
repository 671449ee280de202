"""The configuration that is in force here, with the options of a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.config import sources
from edgeflow.platforms import Choice, choose, configure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.config import Config


def add_options(parser: ArgumentParser) -> None:
    """Let a command take an App, and a platform."""
    parser.add_argument(
        "--app", metavar="TARGET", help="an App, whose own arguments count too"
    )
    parser.add_argument(
        "--platform", metavar="NAME", help="as if on this platform, detected or not"
    )


def in_force(args: Namespace) -> tuple[Config, Choice]:
    """Put the settings together once more, with the options of the command.

    Raises:
        ConfigError: if a setting is unknown or bad, or no such platform is installed.
        UsageError: if there is no such App.
    """
    if args.app is None:
        found = sources(environ=os.environ, directory=Path.cwd())
        given = {}
        choice = choose(found, os.environ, args.platform)
    else:
        from edgeflow.cli._target import find_app  # noqa: PLC0415  with the engine

        app = find_app(args.app, None)
        found, given = app.config.sources, app.config.arguments
        choice = Choice(app.platform, app.platform_why)
        if args.platform is not None:
            choice = choose(found, os.environ, args.platform)
    if args.store is not None:
        given["store"] = args.store
    return configure(found, choice, given), choice
