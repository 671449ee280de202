"""Starting an instance: its id, its input, and what holds if the id is taken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgeflow.engine import opening
from edgeflow.engine.scope import checked_id
from edgeflow.errors import AlreadyExists, Fenced, UnknownInstance, ValueTooLarge
from edgeflow.store import TERMINAL
from edgeflow.workflows import encode_input

if TYPE_CHECKING:
    from edgeflow.engine.worker import Worker
    from edgeflow.store import Loaded
    from edgeflow.workflows import Workflow

OnConflict: TypeAlias = Literal["attach", "fail", "restart"]


async def start(
    worker: Worker,
    workflow: Workflow[Any, Any],
    value: object,
    instance: str | None,
    on_conflict: OnConflict,
    *,
    run: bool,
) -> str:
    """Make an instance durable, or attach to what is there; give its id.

    Raises:
        Unencodable: if the input does not fit; nothing was written.
        ValueTooLarge: if the input is above the store's limit; nothing was written.
        AlreadyExists: if the id belongs to another workflow, on "fail", or on
            "restart" of what has not ended.
    """
    instance = new_id() if instance is None else checked_id(instance)
    plain = encode_input(workflow, value)
    replaces: Loaded | None = None
    while True:
        try:
            await worker.start(
                instance, workflow.name, plain, run=run, replaces=replaces
            )
        except ValueTooLarge as error:
            raise ValueTooLarge(f"input of {workflow.name!r}", error.why) from None
        except Fenced:
            with worker.wiring.clock.busy():
                there = await worker.wiring.store.load(instance)
            if there is not None and opening.is_void(worker.wiring, there):
                replaces = there
                continue
            if on_conflict == "fail":
                raise AlreadyExists(f"instance {instance!r} exists already") from None
            if on_conflict == "restart":
                replaces = await _ended(worker, instance, workflow)
                continue
            _check_workflow(there, workflow)
        return instance


async def _ended(
    worker: Worker, instance: str, known: Workflow[Any, Any]
) -> Loaded | None:
    """Give the instance that is there, if it has ended; None: it is gone by now."""
    try:
        journal, loaded = await opening.load(worker.wiring, instance, b"")
    except UnknownInstance:
        return None
    _check_workflow(loaded, known)
    if journal.status not in TERMINAL:
        raise AlreadyExists(
            f"instance {instance!r} has not ended, it is {journal.status}: cancel it "
            "first, or choose another id"
        )
    return loaded


def _check_workflow(there: Loaded | None, known: Workflow[Any, Any]) -> None:
    if there is not None and there.head.workflow != known.name:
        raise AlreadyExists(
            f"instance {there.head.instance!r} belongs to workflow "
            f"{there.head.workflow!r}, not to {known.name!r}: choose another id"
        )


def new_id() -> str:
    """Give an id that nobody else has."""
    return os.urandom(16).hex()
