"""`Handle`: an instance, seen from outside of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from edgeflow.clock import seconds
from edgeflow.engine import opening
from edgeflow.engine.entries import UNDER_WAY
from edgeflow.engine.failures import info
from edgeflow.engine.inbox import Posted, reply_address, shown, unseal
from edgeflow.errors import (
    ErrorInfo,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowFailed,
)
from edgeflow.late import replace
from edgeflow.outcome import EntryInfo, Info, Outcome
from edgeflow.posting import net_of, new_message_id, plain, post
from edgeflow.store import TERMINAL, Envelope, Head
from edgeflow.values import loads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from edgeflow.app import App
    from edgeflow.engine.entries import Entry
    from edgeflow.engine.journal import Journal
    from edgeflow.workflows import Workflow

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

ASK_POLL = 0.02


class Handle(Generic[R_co]):
    """Reads, and talks to, one instance; it need not exist yet."""

    def __init__(self, app: App, id: str, workflow: Workflow[Any, R_co] | None) -> None:
        """Stand for the instance `id`."""
        self.id = id
        self._app = app
        self._workflow = workflow

    def __repr__(self) -> str:
        return f"<handle of instance {self.id!r}>"

    async def result(self, timeout: float | timedelta | None = None) -> R_co:
        """Wait for the result, wherever the instance runs.

        Args:
            timeout: seconds or timedelta; without it, wait for ever.

        Raises:
            TimeoutError: if it is not there in time; the instance is untouched.
            WorkflowFailed: if its body raised.
            WorkflowCancelled: if it was cancelled.
            WorkflowBlocked: if it needs corrected code.
            UnknownInstance: if there is none.
        """
        clock = self._app.clock
        wait = None if timeout is None else seconds(timeout)
        give_up = None if wait is None else clock.now() + wait
        pause = 0.05
        async with self._app.session.using() as worker:
            while True:
                journal = await self._load()
                if journal.status in TERMINAL or journal.status == "blocked":
                    return unwrap(self.id, self._decoded(journal))
                left = None if give_up is None else give_up - clock.now()
                if left is not None and left <= 0:
                    raise TimeoutError(
                        f"instance {self.id!r} is {journal.status} after {wait:g} s; "
                        "it goes on"
                    )
                last = left is not None and left <= pause
                await worker.bells.wait(
                    self.id, min(pause, left or pause), idle=not last
                )
                pause = min(2 * pause, worker.plan.poll)

    def _decoded(self, journal: Journal) -> Outcome[R_co]:
        outcome = opening.ended(journal)
        workflow = self._workflow or self._app.known(journal.start["workflow"])
        if workflow is None or outcome.status != "completed":
            return outcome
        output = workflow.output_converter().decode(outcome.output)
        return replace(outcome, output=output)

    async def info(self) -> Info:
        """Read status, wake time, awaited names, progress and error; writes nothing.

        Raises:
            UnknownInstance: if there is none.
        """
        async with self._app.session.using():
            journal = await self._load()
        header = journal.header
        return Info(
            id=self.id,
            workflow=journal.start["workflow"],
            status=journal.status,
            wake_at=header["wake_at"],
            awaiting=shown(header["awaiting"]),
            updated=header["at"],
            progress=journal.progress,
            error=opening.error_of(journal),
            started=journal.start["at"],
            input=journal.start["input"],
            output=journal.end.get("output"),
            undo_errors=opening.undo_errors_of(journal),
        )

    async def history(self) -> list[EntryInfo]:
        """Read the entries in journal order; those under way come last.

        Raises:
            UnknownInstance: if there is none.
        """
        async with self._app.session.using():
            journal = await self._load()
        entries = journal.entries.values()
        return [entry_info(entry) for entry in sorted(entries, key=_place)]

    async def state(self) -> dict[str, Any]:
        """Read the last committed state.

        Raises:
            UnknownInstance: if there is none.
        """
        async with self._app.session.using():
            journal = await self._load()
        return {key: loads(value) for key, value in journal.state.items()}

    async def send(
        self, name: str, body: object = None, *, id: str | None = None
    ) -> bool:
        """Send a message; it waits in the inbox until the body receives it.

        Args:
            name: what the body asks for.
            body: plain JSON, or one of the types that `values` knows.
            id: of the message; the same id is delivered once. Default: a new one.

        Returns:
            False if a message with this id was sent before.

        Raises:
            InstanceFinished: if the instance has ended.
            Unencodable: if the body has no JSON form.
            StoreUnavailable: if it could not be written.
        """
        posted = Posted(plain(name, body), self._app.clock.now())
        message_id = new_message_id() if id is None else id
        wiring = self._app.wiring
        async with self._app.session.using() as worker:
            net = net_of(wiring, self.id, message_id)
            await net.spread()
            fresh = await post(wiring, self.id, message_id, name, posted)
            await net.tighten()
            worker.ring(self.id)
        return fresh

    async def ask(
        self, name: str, body: object = None, *, timeout: float | timedelta
    ) -> Any:
        """Send a message and wait for the value that the body replies with.

        Raises:
            TimeoutError: if no answer came within `timeout` seconds.
            InstanceFinished: if the instance has ended.
        """
        clock, wait = self._app.clock, seconds(timeout)
        ask, give_up = new_message_id(), clock.now() + wait
        value, wiring = plain(name, body), self._app.wiring
        address = reply_address(ask)
        store = self._app.store
        async with self._app.session.using() as worker:
            posted = Posted(value, clock.now(), ask=ask, deadline=give_up)
            net = net_of(wiring, self.id, ask)
            await net.spread()
            await post(wiring, self.id, ask, name, posted)
            await net.tighten()
            worker.ring(self.id)
            try:
                while not (answers := await self._unread(address)):
                    left = give_up - clock.now()
                    if left <= 0:
                        raise TimeoutError(
                            f"{self.id!r} did not answer {name!r} in {wait:g} s"
                        )
                    last = left <= ASK_POLL
                    await worker.bells.wait(address, min(left, ASK_POLL), idle=not last)
            finally:
                await store.delete(address)
        return unseal(answers[0].body, self._app.wiring.codec).body

    async def wake(self) -> None:
        """Look at the instance now: it is driven here if it is due, else untouched.

        Raises:
            ProcessEnding: if the process was told to end.
            UnknownInstance: if there is none.
        """
        async with self._app.session.using(runs=True) as worker:
            await worker.drive(self.id)

    async def cancel(self) -> bool:
        """Have the instance cancelled: this is durable when it returns.

        Its body gets `CancelledError` where it waits, what it did is undone, and its
        status becomes cancelled, whatever the body makes of it: here if this
        process runs it, else when somebody drives it; it is due at once. One that
        is blocked, or has not begun, is cancelled without its body.

        Returns:
            False if it has ended, or is being cancelled or undone already.

        Raises:
            UnknownInstance: if there is none.
            StoreUnavailable: if it could not be written.
        """
        from edgeflow.engine import lifecycle  # noqa: PLC0415  seldom needed

        async with self._app.session.using() as worker:
            return await lifecycle.cancel(worker, self.id)

    async def recover(self) -> None:
        """Let a failed or blocked instance go on from where it stopped; it is due.

        The failure that ended it is forgotten and everything that was undone: these
        steps run again, with new keys. All else keeps its outcome.

        Raises:
            NotRecoverable: if it has neither failed nor is blocked.
            UnknownInstance: if there is none.
            StoreUnavailable: if it could not be written.
        """
        from edgeflow.engine import lifecycle  # noqa: PLC0415  seldom needed

        async with self._app.session.using() as worker:
            await lifecycle.revise(worker, self.id, lifecycle.recovered)

    async def rewind(self, to: Sequence[Sequence[str | int]]) -> None:
        """Forget an entry and all that was recorded after it; the instance is due.

        It runs from there again, in whatever status it was; who runs it now can
        write no more. Enclosing loops go back to that turn, or to their start if the
        turn is pruned. Messages received since are in the inbox again; state is not
        turned back, nothing is undone, and children are left alone.

        Args:
            to: a path, as `history()` gives it.

        Raises:
            UnknownEntry: if the history has no such entry.
            UnknownInstance: if there is none.
            StoreUnavailable: if it could not be written.
        """
        from edgeflow.engine import lifecycle  # noqa: PLC0415  seldom needed

        async with self._app.session.using() as worker:
            change = partial(lifecycle.rewound, to=to)
            await lifecycle.revise(worker, self.id, change)

    async def delete(self) -> None:
        """Forget the instance, its history and its inbox; a running owner is fenced."""
        async with self._app.session.using() as worker:
            await self._app.store.delete(self.id)
            worker.forget(self.id)

    async def _unread(self, address: str) -> Sequence[Envelope]:
        with self._app.clock.busy():
            return await self._app.store.unread(address)

    async def _load(self) -> Journal:
        journal, _ = await opening.load(self._app.wiring, self.id, b"")
        return journal


def unwrap(instance: str, outcome: Outcome[R]) -> R:
    """Give the result of an ended instance.

    Raises:
        WorkflowFailed, WorkflowCancelled, WorkflowBlocked: if there is none.
    """
    error = outcome.error or ErrorInfo("Unknown", "no reason is recorded")
    if outcome.status == "failed":
        raise WorkflowFailed(instance, error, outcome.undo_errors)
    if outcome.status == "cancelled":
        raise WorkflowCancelled(instance, outcome.undo_errors)
    if outcome.status == "blocked":
        raise WorkflowBlocked(instance, error.message)
    return cast("R", outcome.output)


def info_of(head: Head) -> Info:
    """Make a listing of a head."""
    return Info(
        id=head.instance,
        workflow=head.workflow,
        status=head.status,
        wake_at=head.wake_at,
        awaiting=shown(head.awaiting),
        updated=head.updated,
    )


def _place(entry: Entry) -> tuple[bool, int, bool]:
    return entry.status in UNDER_WAY, entry.position, not entry.is_done


def entry_info(entry: Entry) -> EntryInfo:
    """Make an entry readable."""
    data = entry.data
    kind, name, _ = entry.path[-1]
    return EntryInfo(
        path=[list(segment) for segment in entry.path],
        kind=kind,
        name=name,
        status=entry.status,
        attempts=entry.attempts,
        at=data["at"],
        took=data.get("took"),
        retry_at=data.get("retry_at"),
        value=data.get("value", data.get("state")),
        error=info(data["error"]) if "error" in data else None,
        workflow=data.get("workflow"),
        child=data.get("child"),
    )
