"""`edgeflow ls`: the instances of a store."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from edgeflow.cli._console import Console, fit
from edgeflow.cli._looking import add_app, app_to_look
from edgeflow.cli._text import cells, clean, pad
from edgeflow.cli._times import ago, waiting
from edgeflow.store import Status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.cli._console import Output
    from edgeflow.outcome import Info

TITLES = ("ID", "WORKFLOW", "STATUS", "UPDATED", "WAITS FOR")
MEASURED = 500
"""Rows that the widths of the columns are taken from; later ones may stand out."""


def arguments(parser: ArgumentParser) -> None:
    """Declare what `ls` takes."""
    parser.add_argument("--workflow", metavar="NAME", help="only instances of this one")
    parser.add_argument(
        "--status", choices=get_args(Status), help="only instances in this status"
    )
    add_app(parser)


def command(args: Namespace) -> int:
    """List the instances."""
    asyncio.run(_list(args, Console()))
    return 0


async def _list(args: Namespace, console: Console) -> None:
    app = app_to_look(args)
    table = Table(console.out, time.time())
    every = app.find(workflow=args.workflow, status=args.status)
    async with aclosing(every) as found:  # a reader may leave in the middle
        async for info in found:
            if args.json:
                console.out.json(as_json(info))
            else:
                table.add(info)
    if not args.json and not table.finish():
        console.err.line("no instances")


def as_json(info: Info) -> dict[str, object]:
    """Make what a listing knows plain JSON; times in s since the epoch."""
    return {
        "id": info.id,
        "workflow": info.workflow,
        "status": info.status,
        "updated": info.updated,
        "wake_at": info.wake_at,
        "awaiting": list(info.awaiting),
    }


@dataclass
class Table:
    """Rows in columns as wide as the first rows need."""

    output: Output
    now: float
    held: list[tuple[str, ...]] | None = field(default_factory=list[tuple[str, ...]])
    """Rows that wait for the widths; None once these are known."""
    widths: list[int] = field(default_factory=list[int])

    def add(self, info: Info) -> None:
        """Take a row."""
        waits = ""
        if info.status == "suspended":
            waits = clean(waiting(info.wake_at, info.awaiting, self.now, clock=False))
        row = (
            clean(info.id),
            clean(info.workflow),
            info.status,
            ago(info.updated, self.now),
            waits,
        )
        if self.held is None:
            self._write(row)
            return
        self.held.append(row)
        if len(self.held) == MEASURED:
            self.finish()

    def finish(self) -> bool:
        """Write what is held; tell whether there was anything at all."""
        rows, self.held = self.held, None
        if rows:
            self.widths = [
                max(map(cells, column)) for column in zip(TITLES, *rows, strict=True)
            ]
            self._write(TITLES)
            for row in rows:
                self._write(row)
        return bool(self.widths)

    def _write(self, row: tuple[str, ...]) -> None:
        columns = zip(row[:-1], self.widths, strict=False)
        padded = [pad(text, width) + "  " for text, width in columns] + [row[-1]]
        if row is TITLES:
            parts = [(text, "dim") for text in padded]
        else:
            parts = [(text, "") for text in padded]
            parts[2] = padded[2], self.output.colour_of(row[2])
        self.output.line(fit(self.output, parts).rstrip())
