"""`ctx.call` and `ctx.start`: workflows as children of an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgeflow import words
from edgeflow.engine.operation import Operation
from edgeflow.engine.scope import checked_id, checked_name
from edgeflow.values import converter
from edgeflow.workflows import encode_input

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from edgeflow.engine.ops.child import Target
    from edgeflow.engine.run import Run
    from edgeflow.workflows import Workflow

In = TypeVar("In")
R = TypeVar("R")


class Calls:
    """The part of a context that makes children."""

    _run: Run

    @overload
    def call(
        self,
        workflow: Workflow[None, R],
        input: None = None,
        *,
        id: str | None = None,
        name: str = "call",
    ) -> Coroutine[object, object, R]: ...
    @overload
    def call(
        self,
        workflow: Workflow[In, R],
        input: In,
        *,
        id: str | None = None,
        name: str = "call",
    ) -> Coroutine[object, object, R]: ...
    @overload
    def call(
        self,
        workflow: str,
        input: object = None,
        *,
        id: str | None = None,
        name: str = "call",
    ) -> Coroutine[object, object, Any]: ...
    def call(
        self,
        workflow: Workflow[Any, Any] | str,
        input: object = None,
        *,
        id: str | None = None,
        name: str = "call",
    ) -> Coroutine[object, object, Any]:
        """Run a workflow as a child instance, and wait for its result.

        Who waits for it no longer cancels it: the loser of a race, a timeout, an
        instance that is cancelled or fails.

        Args:
            workflow: or its name, for one whose code need not be here; its input and
                result are then plain JSON.
            input: what the body of the child gets.
            id: of the child; default: one of its own, the same on replay.
            name: of the entry in the journal.

        Raises:
            ChildError: when it is awaited, if the child failed or was cancelled, or
                if `id` belongs to an instance that is not this one's child.
            DefinitionError: if `id` cannot be an id.
        """
        run = self._run
        checked_name(name, "a call")
        target, child = _target(workflow, input), _checked(id)
        return Operation(run, name, lambda: words.CallOp(run, name, target, child))

    @overload
    def start(
        self,
        workflow: Workflow[None, Any],
        input: None = None,
        *,
        id: str | None = None,
        name: str = "start",
    ) -> Coroutine[object, object, str]: ...
    @overload
    def start(
        self,
        workflow: Workflow[In, Any],
        input: In,
        *,
        id: str | None = None,
        name: str = "start",
    ) -> Coroutine[object, object, str]: ...
    @overload
    def start(
        self,
        workflow: str,
        input: object = None,
        *,
        id: str | None = None,
        name: str = "start",
    ) -> Coroutine[object, object, str]: ...
    def start(
        self,
        workflow: Workflow[Any, Any] | str,
        input: object = None,
        *,
        id: str | None = None,
        name: str = "start",
    ) -> Coroutine[object, object, str]:
        """Run a workflow as a child instance that goes its own way; gives its id.

        It starts with the flush of what follows. If the id is taken, what is there
        is left as it is.

        Args:
            workflow: or its name, as for `call`.
            input: what the body of the child gets.
            id: of the child; default: one of its own, the same on replay.
            name: of the entry in the journal.

        Raises:
            DefinitionError: if `id` cannot be an id.
        """
        run = self._run
        checked_name(name, "a start")
        target, child = _target(workflow, input), _checked(id)
        return Operation(run, name, lambda: words.StartOp(run, name, target, child))


def _target(workflow: Workflow[Any, Any] | str, value: object) -> Target:
    """Say what is to be run on what, and how both cross the boundary."""
    if isinstance(workflow, str):
        name, plain = checked_name(workflow, "a workflow"), converter(Any)
        return words.Target(name, lambda: plain.encode(value), lambda output: output)
    return words.Target(
        workflow.name,
        lambda: encode_input(workflow, value),
        lambda output: workflow.output_converter().decode(output),
    )


def _checked(child: str | None) -> str | None:
    return None if child is None else checked_id(child)
