"""Doing what a request asks for, and making it durable before anybody is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from edgeflow.engine.committing import to_the_end
from edgeflow.errors import Fenced, InstanceFinished, UnknownInstance
from edgeflow.ingress.answering import OK, answer, looked, result, told
from edgeflow.ingress.refusing import CONFLICT, Refused, refusals
from edgeflow.starting import start

if TYPE_CHECKING:
    from edgeflow.app import App
    from edgeflow.engine.worker import Worker
    from edgeflow.outcome import Outcome
    from edgeflow.platform import Action, Answer
    from edgeflow.workflows import Workflow


class Doing:
    """One request, let in, on an open app."""

    def __init__(
        self,
        app: App,
        workflow: Workflow[Any, Any],
        worker: Worker,
        until: float | None,
    ) -> None:
        """Have everything suspended before `until`, in s since the epoch."""
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
        match action.kind:
            case "start":
                return await self._start(action)
            case "send":
                return await self._send(action)
            case "wake":
                return await self._wake(action.id)
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
            instance = await start(
                self._worker, workflow, value, action.id, "attach", run=True
            )
        outcome = await self._drive(instance)
        output = None
        if outcome.status == "completed":
            output = workflow.output_converter().encode(outcome.output)
        return result(instance, outcome, output)

    async def _send(self, action: Action) -> Answer:
        handle = self._app.handle(action.id)
        try:
            with refusals():
                sent = await handle.send(action.name, action.body, id=action.message_id)
        except InstanceFinished as error:
            raise Refused(CONFLICT, type(error).__name__, str(error)) from error
        value = await self._told(action.id)
        return answer(OK, value | {"sent": sent})

    async def _wake(self, instance: str) -> Answer:
        return answer(OK, await self._told(instance))

    async def _told(self, instance: str) -> dict[str, Any]:
        """Drive an instance, if there is one and it is due, and say how it rests."""
        try:
            return told(instance, await self._drive(instance))
        except UnknownInstance:  # to be started, or deleted: there is nothing to do
            return {"id": instance, "status": "unknown"}

    async def _drive(self, instance: str) -> Outcome[Any]:
        """Drive an instance here; one that runs elsewhere is left alone.

        Two processes may open it at once: one of them meets the other's commit.
        """
        worker = self._worker
        try:
            return await worker.drive(instance, self._left(), take_over=False)
        except Fenced:
            return await worker.drive(instance, self._left(), take_over=False)
        except asyncio.CancelledError:  # the server gives the request up
            await to_the_end(worker.attendance.leave(instance))
            raise

    def _left(self) -> float | None:
        if self._until is None:
            return None
        return self._until - self._app.clock.now()
