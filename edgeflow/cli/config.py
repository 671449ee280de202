"""`edgeflow config`: the settings that are in force, and where each comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.cli._configured import add_options, in_force
from edgeflow.cli._console import Console, fit
from edgeflow.cli._text import cells, clean, pad

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.cli._console import Output
    from edgeflow.config import Config
    from edgeflow.platforms import Choice

GAP = "  "


def arguments(parser: ArgumentParser) -> None:
    """Declare what `config` takes."""
    parser.epilog = (
        "Without --app it goes by the current directory and the variables alone.\n"
        "Secrets, and passwords in URLs, are not printed."
    )
    add_options(parser)


def command(args: Namespace) -> int:
    """Print the settings."""
    console = Console()
    with console.lent():
        config, choice = in_force(args)
    if args.json:
        console.out.json(as_json(config, choice))
        return 0
    _write(console.out, config, choice)
    for name in config.strangers:
        warning = f"{clean(name)} is set, but there is no such setting here"
        console.err.line(console.err.paint(warning, "yellow"))
    return 0


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
