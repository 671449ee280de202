"""`edgeflow config`: the settings that are in force, and where each comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.cli._console import Console, fit
from edgeflow.cli._text import cells, clean, pad
from edgeflow.config import sources
from edgeflow.platforms import Choice, choose, configure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.cli._console import Output
    from edgeflow.config import Config

GAP = "  "


def arguments(parser: ArgumentParser) -> None:
    """Declare what `config` takes."""
    parser.epilog = (
        "Without --app it goes by the current directory and the variables alone.\n"
        "Secrets, and passwords in URLs, are not printed."
    )
    parser.add_argument(
        "--app", metavar="TARGET", help="an App, whose own arguments count too"
    )
    parser.add_argument(
        "--platform", metavar="NAME", help="as if on this platform, detected or not"
    )


def command(args: Namespace) -> int:
    """Print the settings."""
    console = Console()
    with console.lent():
        config, choice = _in_force(args)
    if args.json:
        console.out.json(as_json(config, choice))
        return 0
    _write(console.out, config, choice)
    for name in config.strangers:
        warning = f"{clean(name)} is set, but there is no such setting here"
        console.err.line(console.err.paint(warning, "yellow"))
    return 0


def _in_force(args: Namespace) -> tuple[Config, Choice]:
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


def as_json(config: Config, choice: Choice) -> dict[str, object]:
    """Make the settings plain JSON; seconds and bytes are numbers."""
    return {
        "file": None if config.file is None else str(config.file),
        "platform": choice.platform.name,
        "why": choice.why,
        "settings": {
            key: {"value": config.shown(key), "origin": setting.origin}
            for key, setting in config.settings.items()
        },
        "strangers": list(config.strangers),
    }


def _write(output: Output, config: Config, choice: Choice) -> None:
    rows = [
        (key, clean(config.text(key)), _origin(setting.origin, config))
        for key, setting in config.settings.items()
        if key != "platform"  # it is above
    ]
    keys, _, origins = (max(map(cells, one)) for one in zip(*rows, strict=True))
    file = "no file" if config.file is None else clean(str(config.file))
    output.line(f"{pad('file', keys)}{GAP}{file}")
    chosen = f"{choice.platform.name} ({choice.why})"
    output.line(f"{pad('platform', keys)}{GAP}{clean(chosen)}")
    output.line()
    room = output.width - 1 - keys - origins - 2 * len(GAP)
    values = max((n for _, value, _ in rows if (n := cells(value)) <= room), default=0)
    for key, value, origin in rows:
        muted = "dim" if origin.startswith("default") else ""
        head = f"{pad(key, keys)}{GAP}{value}"
        if cells(value) > values:  # in full, and what it comes from below it
            output.line(head)
            head = ""
        head = pad(head, keys + len(GAP) + values) + GAP
        output.line(fit(output, [(head, ""), (origin, muted)]).rstrip())


def _origin(origin: str, config: Config) -> str:
    """Shorten an origin: the file itself is named above."""
    if config.file is None:
        return clean(origin)
    name, space, table = origin.partition(" ")
    return clean(table if space and name == config.file.name else origin)
