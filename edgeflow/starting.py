"""Starting an instance: its id, its input, and what holds if the id is taken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from edgeflow.engine.scope import checked_name
from edgeflow.errors import (
    AlreadyExists,
    DefinitionError,
    Fenced,
    Unencodable,
    ValueTooLarge,
)

if TYPE_CHECKING:
    from edgeflow.engine.worker import Worker
    from edgeflow.workflows import Workflow

MAX_ID = 255


async def start(
    worker: Worker,
    workflow: Workflow[Any, Any],
    value: object,
    instance: str | None,
    on_conflict: str,
    *,
    run: bool,
) -> str:
    """Make an instance durable, or attach to what is there; give its id.

    Raises:
        Unencodable: if the input does not fit; nothing was written.
        ValueTooLarge: if the input is above the store's limit; nothing was written.
        AlreadyExists: if the id belongs to another workflow, or on "fail".
    """
    instance = new_id() if instance is None else checked_id(instance)
    plain = encode_input(workflow, value)
    try:
        await worker.start(instance, workflow.name, plain, run=run)
    except ValueTooLarge as error:
        raise ValueTooLarge(f"input of {workflow.name!r}", error.why) from None
    except Fenced:
        if on_conflict == "fail":
            raise AlreadyExists(f"instance {instance!r} exists already") from None
        await _attach(worker, instance, workflow)
    return instance


async def _attach(worker: Worker, instance: str, known: Workflow[Any, Any]) -> None:
    loaded = await worker.wiring.store.load(instance)
    if loaded is not None and loaded.head.workflow != known.name:
        raise AlreadyExists(
            f"instance {instance!r} belongs to workflow {loaded.head.workflow!r}, "
            f"not to {known.name!r}: choose another id"
        )


def new_id() -> str:
    """Give an id that nobody else has."""
    return os.urandom(16).hex()


def checked_id(instance: object) -> str:
    """Refuse an id that a store cannot hold.

    Raises:
        DefinitionError: if it is no string, empty, too long, or edgeflow's own.
    """
    found = checked_name(instance, "an instance")
    if len(found) > MAX_ID:
        raise DefinitionError(
            f"an id has {MAX_ID} characters at most, not {len(found)}"
        )
    if found.startswith("~"):
        raise DefinitionError(f"ids that start with '~' are edgeflow's own: {found!r}")
    return found


def encode_input(workflow: Workflow[Any, Any], value: object) -> Any:
    """Make an input plain JSON.

    Raises:
        Unencodable: if it does not fit the workflow; names the place.
    """
    given = workflow.default_input if value is None else value
    try:
        return workflow.input_converter().encode(given)
    except Unencodable as error:
        place = f"input of {workflow.name!r} {error.path}"
        raise Unencodable(place, error.why) from None
