"""`edgeflow doctor`: which platform and store are in force, why, and do they work?"""

from __future__ import annotations

import asyncio
from textwrap import wrap
from typing import TYPE_CHECKING

from edgeflow.cli._checks import of_config, of_platform, of_runtime, of_store
from edgeflow.cli._configured import add_options, in_force
from edgeflow.cli._console import Console
from edgeflow.cli._errors import FAILED
from edgeflow.cli._text import cells, clean, pad

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.cli._checks import Check
    from edgeflow.cli._console import Output

GAPS = 4
"""Columns beside the name and the text: the sign, and blanks."""
SIGNS = {"good": "completed", "note": "suspended", "bad": "failed"}
"""The sign of a verdict is that of a status."""


def arguments(parser: ArgumentParser) -> None:
    """Declare what `doctor` takes."""
    parser.epilog = (
        "It tries the store out under an id of its own, edgeflow-doctor-..., which no\n"
        "worker takes, and removes it again; a store that is missing is not made. The\n"
        "exit code is 1 if something does not work; notes are no failure."
    )
    parser.add_argument(
        "--read-only", action="store_true", help="write nothing into the store"
    )
    add_options(parser)


def command(args: Namespace) -> int:
    """Look at everything, and say what is to be done."""
    console = Console()
    with console.lent():
        config, choice = in_force(args)
        checks = [
            *of_runtime(),
            *of_config(config),
            *of_platform(choice, config),
            *asyncio.run(of_store(config, reads_only=args.read_only)),
        ]
    if args.json:
        console.out.json(
            [{"check": c.name, "verdict": c.verdict, "text": c.text} for c in checks]
        )
    else:
        _write(console.out, checks)
    return FAILED if any(check.verdict == "bad" for check in checks) else 0


def _write(output: Output, checks: list[Check]) -> None:
    names = max(cells(check.name) for check in checks)
    last = ""
    for check in checks:
        name = "" if check.name == last else check.name
        last = check.name
        sign = output.sign(SIGNS[check.verdict])
        first, *more = wrap(clean(check.text), output.width - names - GAPS)
        output.line(f"{sign} {pad(name, names)}  {first}")
        for line in more:
            output.line(f"{pad('', names + GAPS)}{line}")
