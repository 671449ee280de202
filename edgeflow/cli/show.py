"""`edgeflow show`: the journal of an instance, as a person reads it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.cli._console import Console
from edgeflow.cli._looking import add_app, app_to_look
from edgeflow.cli._nodes import tree_of
from edgeflow.cli._text import brief, cells, clean, cut, pad
from edgeflow.cli._times import ago, moment, waiting
from edgeflow.cli._tree import VALUE, TreeWriter
from edgeflow.engine.checking import exported
from edgeflow.engine.opening import load
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from edgeflow.cli._console import Output
    from edgeflow.outcome import EntryInfo, Info
    from edgeflow.store import Envelope

TITLE = 10
"""Columns for the words in the header."""


def arguments(parser: ArgumentParser) -> None:
    """Declare what `show` takes."""
    parser.add_argument("instance", metavar="ID", help="of the instance")
    add_app(parser)


def command(args: Namespace) -> int:
    """Show the instance."""
    console = Console()
    picture = asyncio.run(_look(args))
    if args.json:
        console.out.json(picture.as_json())
    else:
        Page(console.out, time.time()).write(picture)
    return 0


@dataclass(frozen=True)
class Picture:
    """All that is stored of an instance."""

    info: Info
    history: list[EntryInfo]
    state: dict[str, Any]
    inbox: Sequence[Envelope]
    journal: dict[str, Any]
    """For `assert_replayable`."""

    @property
    def cancelled_at(self) -> float | None:
        """When somebody had it cancelled, in s since the epoch."""
        records = (record.get("cancel") for record in self.journal["records"])
        return next((found["at"] for found in records if found), None)

    def as_json(self) -> dict[str, object]:
        """Make it plain JSON; times in s since the epoch."""
        return {
            "info": asdict(self.info),
            "history": [asdict(entry) for entry in self.history],
            "state": self.state,
            "inbox": [{"id": m.id, "name": m.name, "at": m.at} for m in self.inbox],
            "journal": self.journal,
        }


async def _look(args: Namespace) -> Picture:
    app = app_to_look(args)
    handle = app.handle(args.instance)
    async with app.session.using():
        return Picture(
            await handle.info(),
            await handle.history(),
            await handle.state(),
            await app.store.unread(handle.id),
            exported((await load(app.wiring, handle.id, b""))[0]),
        )


class Page:
    """A header, the tree, the state."""

    def __init__(self, output: Output, now: float) -> None:
        """Write to `output`; times are relative to `now`."""
        self._output = output
        self._now = now

    def write(self, picture: Picture) -> None:
        """Write everything."""
        self._header(picture.info)
        self._cancellation(picture)
        self._inbox(picture.inbox)
        if picture.history:
            self._output.line()
            TreeWriter(self._output, self._now).write(tree_of(picture.history))
        if picture.state:
            self._output.line()
            self._output.line(self._output.paint("state", "bold"))
            width = min(max(map(cells, picture.state)), 30)
            for key, value in picture.state.items():
                self._fact(clean(key), value, width=width, indent=2)

    def _header(self, info: Info) -> None:
        output, now = self._output, self._now
        status = output.paint(info.status, output.colour_of(info.status))
        who = output.paint(clean(info.id), "bold")
        name = clean(info.workflow)
        output.line(f"{output.sign(info.status)} {who}  {name}  {status}")
        output.line()
        self._word("started", f"{moment(info.started, now)}, {ago(info.started, now)}")
        done = "ended" if info.status in TERMINAL else "updated"
        self._word(done, f"{moment(info.updated, now)}, {ago(info.updated, now)}")
        if info.status == "suspended":
            self._word("waits for", waiting(info.wake_at, info.awaiting, now))
        if info.progress is not None:
            self._fact("progress", info.progress)
        if info.input is not None:
            self._fact("input", info.input)
        if info.status == "completed":
            self._fact("output", info.output)
        for title, errors in (("error", [info.error]), ("undo", info.undo_errors)):
            for error in filter(None, errors):
                self._word(title, f"{error.type}: {error.message}", "red")

    def _cancellation(self, picture: Picture) -> None:
        at = picture.cancelled_at
        if at is not None and picture.info.status not in TERMINAL:
            asked = f"asked for {moment(at, self._now)}, {ago(at, self._now)}"
            self._word("cancel", f"{asked}; it is due")

    def _inbox(self, inbox: Sequence[Envelope]) -> None:
        if inbox:
            counts = Counter(_named(message) for message in inbox)
            names = ", ".join(
                name if count == 1 else f"{name} ({count})"
                for name, count in counts.items()
            )
            self._word("inbox", names)

    def _word(self, title: str, text: str, *styles: str) -> None:
        output = self._output
        shown = text if styles else cut(text, output.width - TITLE - 1)
        front = output.paint(pad(title, TITLE), "dim")
        output.line(front + output.paint(clean(shown), *styles))

    def _fact(
        self, title: str, value: object, *, width: int = TITLE - 1, indent: int = 0
    ) -> None:
        output = self._output
        room = output.width - indent - width - 2 if output.tty else VALUE
        front = output.paint(pad(cut(title, width), width), "dim")
        output.line(f"{' ' * indent}{front} {brief(value, room)}")


def _named(message: Envelope) -> str:
    """Name a message as people do."""
    return "cancellation by its parent" if message.name[:1] == "~" else message.name
