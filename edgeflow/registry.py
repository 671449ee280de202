"""The workflows of an app, by name, and what identifies an instance."""

from __future__ import annotations

from inspect import unwrap
from typing import TYPE_CHECKING, Any, TypeVar

from edgeflow.context import Context
from edgeflow.engine.plan import refused
from edgeflow.engine.settings import Body
from edgeflow.errors import BodyError, DefinitionError, UnknownWorkflow
from edgeflow.steps import find_undo

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from edgeflow.engine.run import Run
    from edgeflow.workflows import Workflow

In = TypeVar("In")
R = TypeVar("R")


class Registry:
    """Workflows by name."""

    def __init__(self) -> None:
        """Start empty."""
        self._workflows: dict[str, Workflow[Any, Any]] = {}
        self._bodies: dict[str, Body] = {}

    def register(self, workflow: Workflow[In, R]) -> Workflow[In, R]:
        """Add a workflow.

        Raises:
            DefinitionError: if another one has its name.
        """
        known = self._workflows.setdefault(workflow.name, workflow)
        if known is not workflow:
            raise DefinitionError(f"two workflows are called {workflow.name!r}")
        return workflow

    def all(self) -> tuple[Workflow[Any, Any], ...]:
        """Give all of them, in the order of their registration."""
        return tuple(self._workflows.values())

    def get(self, name: str) -> Workflow[Any, Any] | None:
        """Give the workflow of this name, if there is one."""
        return self._workflows.get(name)

    def find(self, workflow: Workflow[Any, Any] | str) -> Workflow[Any, Any]:
        """Look a workflow up.

        Raises:
            UnknownWorkflow: if it is not registered here.
        """
        name = workflow if isinstance(workflow, str) else workflow.name
        known = self._workflows.get(name)
        if known is None or workflow not in (name, known):
            raise UnknownWorkflow(name, sorted(self._workflows))
        return known

    def body(self, name: str) -> Body:
        """Give what a run needs of a workflow; an unknown one is refused by it."""
        known = self._workflows.get(name)
        if known is None:
            unknown = UnknownWorkflow(name, sorted(self._workflows))
            return refused(BodyError(str(unknown)))
        if name not in self._bodies:
            self._bodies[name] = self._make_body(known)
        return self._bodies[name]

    def _make_body(self, known: Workflow[Any, Any]) -> Body:
        def begin(run: Run) -> Coroutine[Any, Any, Any]:
            ctx = Context(run)
            if not known.takes_input:
                return known.function(ctx)
            value = known.input_converter().decode(run.journal.start["input"])
            return known.function(ctx, value)

        function: Any = unwrap(known.function)
        names: dict[str, Any] = getattr(function, "__globals__", {})
        return Body(
            begin,
            lambda output: known.output_converter().encode(output),
            lambda name: find_undo(name, names),
        )

    def decode(self, name: str, output: Any) -> Any:
        """Make a stored output what the caller gets."""
        known = self._workflows.get(name)
        return known.output_converter().decode(output) if known else output
