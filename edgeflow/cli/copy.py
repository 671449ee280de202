"""`edgeflow copy`: instances from one store into another."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, get_args

from edgeflow.cli._console import Console
from edgeflow.cli._errors import COMPLETED, FAILED, CommandError, UsageError
from edgeflow.cli._text import clean
from edgeflow.copying import Copier
from edgeflow.engine.frames import PlainCodec
from edgeflow.store import Creates, Query, Remembers, Status
from edgeflow.stores import placed

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import AsyncGenerator, AsyncIterator

    from edgeflow.copying import Copied
    from edgeflow.engine.frames import Codec
    from edgeflow.store import Store

INDENT = 2
AT_ONCE = 8
"""How many instances are on their way at a time."""

DETAILS = """\
Each instance is read back from STORE_B and compared. What is there already
and equal is passed over, so after a break the same command goes on. The exit
code is 1 if one was left alone, with the reason.

Stop the workers of STORE_A first, and with --move what sends messages to it,
too: what they write between the copy and the deletion would be lost. Let
workers run on STORE_B once the command has ended.

Children are instances, too: who chooses some by --id, --workflow or --status
chooses them with their parents, which wait for their end in the same store.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what `copy` takes."""
    parser.epilog = DETAILS
    parser.add_argument("source", metavar="STORE_A", help="the URL to copy from")
    parser.add_argument("target", metavar="STORE_B", help="the URL to copy to")
    parser.add_argument(
        "--id",
        metavar="ID",
        action="append",
        help="only this instance; may be given several times (default: all)",
    )
    parser.add_argument("--workflow", metavar="NAME", help="only instances of this one")
    parser.add_argument(
        "--status", choices=get_args(Status), help="only instances in this status"
    )
    parser.add_argument(
        "--move", action="store_true", help="delete from STORE_A what was verified"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="forget what differs in STORE_B, and what it knew besides",
    )
    parser.add_argument("--app", metavar="TARGET", help="an App, whose codec is used")


def command(args: Namespace) -> int:
    """Copy the instances; 1: some were left alone."""
    if args.store is not None:
        raise UsageError("copy names its two stores by themselves, without --store")
    if args.source == args.target:
        raise UsageError("both are one and the same store: name two")
    if args.id and (args.workflow or args.status):
        raise UsageError("name instances by --id, or choose by --workflow and --status")
    console = Console()
    with console.lent():
        report = Report(console, as_json=args.json)
        asyncio.run(_copy(args, report))
        report.finish()
    return FAILED if report.left else COMPLETED


async def _copy(args: Namespace, report: Report) -> None:
    source, target = placed(args.source), placed(args.target)
    missing = source.missing() if isinstance(source, Creates) else None
    if missing is not None:
        raise CommandError(f"there is no such store: {missing}")
    copier = Copier(
        source,
        target,
        codec=_codec(args),
        now=time.time,
        moves=args.move,
        replaces=args.replace,
    )
    async with _opened(source), _opened(target):
        await copier.check_apart(secrets.token_hex(8))
        if not isinstance(source, Remembers):
            report.note(
                "STORE_A cannot list the ids of all messages that were received"
                ": an old one that is sent again may be received twice"
            )
        async for batch in _batches(_chosen(args, source)):
            answers = await asyncio.gather(
                *map(copier.copy, batch), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
                report.add(answer)


def _codec(args: Namespace) -> Codec:
    if args.app is None:
        return PlainCodec()
    from edgeflow.cli._target import find_app  # noqa: PLC0415  with the engine

    return find_app(args.app, None).wiring.codec


@asynccontextmanager
async def _opened(store: Store) -> AsyncGenerator[None]:
    await store.open()
    try:
        yield
    finally:
        await store.close()


async def _chosen(args: Namespace, source: Store) -> AsyncGenerator[str]:
    if args.id:
        for instance in dict.fromkeys(args.id):
            yield instance
        return
    query = Query(workflow=args.workflow, status=args.status)
    async for head in source.find(query):
        yield head.instance


async def _batches(ids: AsyncIterator[str]) -> AsyncGenerator[list[str]]:
    batch: list[str] = []
    async for instance in ids:
        batch.append(instance)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


class Report:
    """What became of the instances: each on a line, if there is something to say."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        """Write to `console`."""
        self._console = console
        self._as_json = as_json
        self._counts = {"copied": 0, "moved": 0, "same": 0}
        self.left = 0
        """How many were left alone."""

    def note(self, text: str) -> None:
        """Say something of all of them."""
        self._console.live.line(self._console.err.paint(text, "yellow"))

    def add(self, copied: Copied) -> None:
        """Take what became of one."""
        if copied.is_there:
            self._counts[copied.result] += 1
        else:
            self.left += 1
        if self._as_json:
            self._console.out.json(
                {
                    "id": copied.instance,
                    "result": copied.result,
                    "text": copied.text or None,
                }
            )
        elif copied.text:
            self._explain(copied)
        self._console.live.last(f"{self._sum()}: {clean(copied.instance)}")

    def _explain(self, copied: Copied) -> None:
        output, live = self._console.err, self._console.live
        sign = output.sign("completed" if copied.is_there else "failed")
        who = output.paint(clean(copied.instance), "bold")
        colour = "" if copied.is_there else "red"
        live.line(f"{sign} {who}  {copied.result}")
        for line in wrap(clean(copied.text), output.width - INDENT - 1):
            live.line(f"{'':{INDENT}}{output.paint(line, colour)}")

    def finish(self) -> None:
        """Say how many there were."""
        self._console.live.last("")
        if not self._as_json:
            self._console.live.line(self._sum())

    def _sum(self) -> str:
        words = {"same": "there already"}
        parts = [
            f"{count} {words.get(name, name)}"
            for name, count in self._counts.items()
            if count
        ]
        if self.left:
            parts.append(f"{self.left} left alone")
        return ", ".join(parts) or "no instances"
