"""`edgeflow run`: a workflow, from its start or from where it stopped."""

from __future__ import annotations

import secrets
import shlex
from typing import TYPE_CHECKING, Any

from edgeflow.cli._console import Console
from edgeflow.cli._errors import UsageError
from edgeflow.cli._logs import logging_to_stderr
from edgeflow.cli._loop import Stopped, run_until_stopped
from edgeflow.cli._progress import Progress
from edgeflow.cli._report import report
from edgeflow.cli._target import find_workflow
from edgeflow.cli._values import read_value
from edgeflow.errors import Undecodable, UnknownInstance, ValueRefused
from edgeflow.store import TERMINAL

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from edgeflow.app import App
    from edgeflow.cli._target import AnyWorkflow
    from edgeflow.engine.worker import Worker
    from edgeflow.outcome import Info, Outcome

DETAILS = """\
The result is written to stdout as JSON; everything else, what the steps print
included, to stderr. An instance that was stopped or killed goes on with the same
command; one that has ended gives its result again.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what `run` takes."""
    parser.epilog = DETAILS
    parser.add_argument("target", metavar="TARGET", help="the workflow")
    parser.add_argument("--id", help="of the instance, new or not (default: a new one)")
    parser.add_argument(
        "--input", metavar="X", help="JSON, a file of it, or - for standard input"
    )
    parser.add_argument(
        "--once", action="store_true", help="do not stay over waits, but exit with 3"
    )


def command(args: Namespace) -> int:
    """Run the workflow of `args.target`."""
    console = Console()
    instance = secrets.token_hex(16) if args.id is None else args.id
    with console.lent(), logging_to_stderr(verbose=args.verbose):
        app, workflow = find_workflow(args.target, args.store)
        running = Running(console, app, workflow, instance, args)
        try:
            return run_until_stopped(running.run, running.stopping)
        except Stopped as stop:
            running.stopped()
            return stop.code


class Running:
    """One `run`, and what it has to say."""

    def __init__(
        self,
        console: Console,
        app: App,
        workflow: AnyWorkflow,
        instance: str,
        args: Namespace,
    ) -> None:
        """Run `instance`, which may exist."""
        self.console = console
        self.app = app
        self.workflow = workflow
        self.args = args
        self.handle = app.handle(instance)
        self.progress = Progress(console, once=args.once)
        self.worker: Worker | None = None
        """Set once the instance exists."""

    async def run(self) -> int:
        """Start or attach, drive, and report."""
        value = self._input()
        self.app.observe(self.progress)
        async with self.app.session.using(runs=True) as worker:
            info = await self._find()
            if info is None:
                await self._start(value)
            else:
                self._attach(info)
            self.worker = worker
            outcome = await self._drive(worker)
        output = outcome.output
        if outcome.status == "completed":
            output = self.workflow.output_converter().encode(output)
        return report(
            self.console,
            self.handle.id,
            outcome,
            output,
            as_json=self.args.json,
            now=self.app.clock.now(),
        )

    async def _drive(self, worker: Worker) -> Outcome[Any]:
        if self.args.once:
            return await worker.drive(self.handle.id)
        async with self.progress.below(worker, self.handle):
            return await worker.attendance.attend(self.handle.id)

    async def _find(self) -> Info | None:
        try:
            return await self.handle.info()
        except UnknownInstance:
            return None

    def _input(self) -> Any:
        """Read the input and make it what the workflow takes.

        Raises:
            UsageError: if it does not fit.
        """
        name, given = self.workflow.name, self.args.input
        if given is None:
            return None
        if not self.workflow.takes_input:
            raise UsageError(f"workflow {name!r} takes no input")
        plain = read_value(given, "--input")
        try:
            return self.workflow.input_converter().decode(plain)
        except Undecodable as error:
            message = f"--input does not fit workflow {name!r}: {error}"
            raise UsageError(message) from error

    async def _start(self, value: object) -> None:
        try:
            await self.app.start(self.workflow, value, id=self.handle.id)
        except ValueRefused as error:
            if self.args.input is None:
                raise UsageError(
                    f"workflow {self.workflow.name!r} needs an --input: {error.why}"
                ) from error
            raise UsageError(f"--input: {error}") from error
        self._say("running", "")

    def _attach(self, info: Info) -> None:
        if info.workflow != self.workflow.name:
            raise UsageError(
                f"instance {self.handle.id!r} belongs to workflow {info.workflow!r}, "
                f"not to {self.workflow.name!r}: choose another --id"
            )
        if info.status in TERMINAL:
            self._say(info.status, f"has ended before: {info.status}")
            return
        self._say("running", "goes on")
        if info.status == "suspended":
            self.progress.rest = info.wake_at, info.awaiting

    def _say(self, status: str, what: str) -> None:
        err = self.console.err
        words = f"{self.workflow.name} {err.paint(self.handle.id, 'bold')} {what}"
        self.console.live.line(f"{err.sign(status)} {words.rstrip()}")

    # --- signals ------------------------------------------------------------------

    def stopping(self) -> None:
        """Say that the steps that run are waited for."""
        if self.worker is not None and self.worker.under_way(self.handle.id):
            self.console.live.line("stopping once running steps end; again: at once")

    def stopped(self) -> None:
        """Say how to go on."""
        if self.worker is None:
            self.console.live.line("edgeflow: stopped before anything was started")
            return
        words = ["edgeflow", "run", self.args.target, "--id", self.handle.id]
        if self.args.store is not None:
            words += ["--store", self.args.store]
        self.console.live.line(
            f"edgeflow: stopped; instance {self.handle.id!r} goes on with the same "
            f"command: {shlex.join(words)}"
        )
