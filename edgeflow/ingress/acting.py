"""Doing what a request asks for, and making it durable before anybody is told."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from edgeflow.engine.arming import hop
from edgeflow.engine.committing import to_the_end
from edgeflow.engine.inbox import Inbox, Posted
from edgeflow.errors import (
    ErrorInfo,
    Fenced,
    InstanceFinished,
    ProcessEnding,
    StoreError,
    UnknownInstance,
    ValueRefused,
)
from edgeflow.ingress.answering import (
    ACCEPTED,
    OK,
    answer,
    looked,
    result,
    told,
    unavailable,
)
from edgeflow.ingress.refusing import CONFLICT, Refused, refusals
from edgeflow.outcome import Outcome
from edgeflow.posting import net_of, new_message_id, post
from edgeflow.starting import start

if TYPE_CHECKING:
    from edgeflow.app import App
    from edgeflow.engine.worker import Worker
    from edgeflow.platform import Action, Answer
    from edgeflow.workflows import Workflow


log = logging.getLogger("edgeflow")

DOORS = {"send", "wake", "look"}
"""What comes in beside the handler's own events."""
DRIVES = {"start", "send", "wake"}
"""What has an instance driven here; with no time for that nothing of it is done."""


class Doing:
    """One request, let in, on an open app."""

    def __init__(
        self,
        app: App,
        workflow: Workflow[Any, Any],
        worker: Worker,
        until: float | None,
        *,
        authenticated: bool = True,
    ) -> None:
        """Have everything suspended before `until`, in s since the epoch.

        Who was let in by the hook alone finds no instances but those of `workflow`.
        """
        self._authenticated = authenticated
        self._app = app
        self._workflow = workflow
        self._worker = worker
        self._until = until

    async def act(self, action: Action) -> Answer:
        """Do it, and answer once it is durable.

        Raises:
            Refused: if it cannot be done; nothing was.
            StoreError: if it could not be made durable.
            ProcessEnding: if the process ends first.
        """
        if action.kind in DRIVES and self._is_late():
            return self._no_time()
        if action.kind in DOORS and not self._authenticated:
            await self._check_is_ours(action.id)
        match action.kind:
            case "start":
                return await self._start(action)
            case "send":
                return await self._send(action)
            case "wake":
                return await self._wake(action)
            case "look":
                with refusals():
                    info = await self._app.handle(action.id).info()
                return answer(OK, looked(info))
            case "run_due":
                ran = await self._worker.due.run(action.limit, self._left())
                return answer(OK, {"ran": len(ran)})

    async def _start(self, action: Action) -> Answer:
        workflow = self._workflow
        with refusals():
            value = None
            if workflow.takes_input and action.body is not None:
                value = workflow.input_converter().decode(action.body)
            try:
                instance = await start(
                    self._worker, workflow, value, action.id, "attach", run=True
                )
            except asyncio.CancelledError:  # it may run by now
                await to_the_end(self._worker.attendance.leave(action.id))
                raise
        outcome = await self._drive(instance)
        output = None
        if outcome.status == "completed" and outcome.error is None:
            output = workflow.output_converter().encode(outcome.output)
        return result(instance, outcome, output)

    async def _send(self, action: Action) -> Answer:
        id_ = action.message_id or new_message_id()
        posted = Posted(action.body, self._app.clock.now())
        try:
            with refusals():  # nobody else need wake it: it is driven here, or nothing
                sent = await post(  # is said, and the same message comes once more
                    self._app.wiring, action.id, id_, action.name, posted
                )
        except InstanceFinished as error:
            raise Refused(CONFLICT, type(error).__name__, str(error)) from error
        try:
            value = await self._told(action.id)
        except (StoreError, ProcessEnding) as error:
            # It is durable: the same again, without an id, would be another one.
            log.warning("a message to %r waits for its next run: %s", action.id, error)
            await net_of(self._app.wiring, action.id, id_).tighten()
            value = {"id": action.id, "status": "unknown"}
            return answer(ACCEPTED, value | {"sent": sent})
        return answer(OK, value | {"sent": sent})

    async def _check_is_ours(self, instance: str) -> None:
        """Keep other handlers' instances apart: each has a hook of its own.

        Raises:
            Refused: if it is another workflow's, or there is none.
        """
        with refusals():
            info = await self._app.handle(instance).info()
            if info.workflow != self._workflow.name:
                raise UnknownInstance(instance)

    async def _wake(self, action: Action) -> Answer:
        value = await self._told(action.id)
        if action.alarm is not None and self._authenticated:
            is_running = value["status"] == "running"
            await hop(self._app.wiring, action.alarm, is_running=is_running)
        return answer(OK, value)

    async def _told(self, instance: str) -> dict[str, Any]:
        """Drive an instance, if there is one and it is due, and say how it rests."""
        try:
            return told(instance, await self._drive(instance))
        except UnknownInstance:  # to be started, or deleted: there is nothing to do
            return {"id": instance, "status": "unknown"}

    async def _drive(self, instance: str) -> Outcome[Any]:
        """Drive an instance here; one that runs elsewhere is left alone.

        Two processes may open it at once: one of them meets the other's commit. An
        output that does not fit today's code is an error beside "completed".
        """
        try:
            outcome = await self._drive_once(instance)
            while await self._has_mail(instance, outcome):
                outcome = await self._drive_once(instance)
        except ValueRefused as error:
            trouble = ErrorInfo(type(error).__name__, str(error))
            return Outcome("completed", error=trouble)
        except asyncio.CancelledError:  # the server gives the request up
            await to_the_end(self._worker.attendance.leave(instance))
            raise
        return outcome

    async def _drive_once(self, instance: str) -> Outcome[Any]:
        drive = self._worker.drive
        try:
            return await drive(instance, self._left(), take_over=False)
        except Fenced:
            return await drive(instance, self._left(), take_over=False)

    async def _has_mail(self, instance: str, outcome: Outcome[Any]) -> bool:
        """Tell whether a message came in by another process since it was looked for.

        That one has found the instance running here, and left it to us.
        """
        is_served = self._worker.serving  # then it is looked for anyway
        if is_served or not outcome.awaiting or self._is_late():
            return False
        unread = Inbox(await self._app.store.unread(instance))
        visible = unread.visible_at(outcome.awaiting)
        return visible is not None and visible <= self._app.clock.now()

    def _is_late(self) -> bool:
        """Tell whether a step that begins now would be cut off at once."""
        left = self._left()
        return left is not None and left <= self._app.config["margin"]

    def _no_time(self) -> Answer:
        margin = self._app.config["margin"]
        log.warning(
            "handler %r: a request came with less than the margin of %g s left, and "
            "was put off. If this happens again and again, give it more time, or set a "
            "smaller margin",
            self._workflow.name,
            margin,
        )
        return unavailable("NoTime", "there is not enough time left: ask again")

    def _left(self) -> float | None:
        if self._until is None:
            return None
        return self._until - self._app.clock.now()
