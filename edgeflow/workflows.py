"""`@workflow`: an `async def` that edgeflow can run, and run again."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from edgeflow.engine.scope import checked_name
from edgeflow.errors import DefinitionError, Unencodable
from edgeflow.steps import is_async, resolve_now
from edgeflow.values import Converter, Signature, converter, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow.context import Context
    from edgeflow.engine.settings import Durability

In = TypeVar("In")
R = TypeVar("R")
In_contra = TypeVar("In_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Workflow(Generic[In_contra, R_co]):
    """A workflow's code under its name; calling it calls the function."""

    def __init__(
        self,
        function: Callable[..., Coroutine[Any, Any, R_co]],
        name: str,
        durability: Durability | None = None,
    ) -> None:
        """Wrap `function`; use `@app.workflow` or `@workflow`."""
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.durability: Durability | None = durability
        parameters = list(inspect.signature(function).parameters.values())
        if not 1 <= len(parameters) <= 2:  # noqa: PLR2004  context and input
            raise DefinitionError(
                f"workflow {name!r} takes {len(parameters)} parameters: it must take "
                "the context, and may take one input; put several into a dataclass"
            )
        self._input = parameters[1] if len(parameters) > 1 else None
        self._signature: Signature | None = None

    def signature(self) -> Signature:
        """Give the converters of the function's annotations.

        Raises:
            DefinitionError: if an annotation cannot be resolved or has no JSON form.
        """
        if self._signature is None:
            self._signature = signature(self.function)
        return self._signature

    @property
    def default_input(self) -> object:
        """What the body gets if no input is given."""
        if self._input is None or self._input.default is inspect.Parameter.empty:
            return None
        default: object = self._input.default
        return default

    @property
    def takes_input(self) -> bool:
        return self._input is not None

    def input_converter(self) -> Converter[Any]:
        """Give what makes the input JSON and back."""
        if self._input is None:
            return converter(None)
        return self.signature().parameter(self._input.name)

    def output_converter(self) -> Converter[R_co]:
        """Give what makes the result JSON and back."""
        return self.signature().result()

    def __call__(self, ctx: Context, *input: In_contra) -> Coroutine[Any, Any, R_co]:
        """Call the function itself: to use it as a part of another body."""
        return self.function(ctx, *input)

    def __repr__(self) -> str:
        return f"<workflow {self.name!r}>"


class WorkflowDecorator:
    """The type of `workflow(…)`."""

    @overload
    def __call__(
        self, function: Callable[[Context, In], Coroutine[Any, Any, R]], /
    ) -> Workflow[In, R]: ...
    @overload
    def __call__(
        self, function: Callable[[Context], Coroutine[Any, Any, R]], /
    ) -> Workflow[None, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        """Make the function a workflow."""
        raise NotImplementedError


@overload
def workflow(
    function: Callable[[Context, In], Coroutine[Any, Any, R]], /
) -> Workflow[In, R]: ...
@overload
def workflow(
    function: Callable[[Context], Coroutine[Any, Any, R]], /
) -> Workflow[None, R]: ...
@overload
def workflow(
    *, name: str | None = None, durability: Durability | None = None
) -> WorkflowDecorator: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    durability: Durability | None = None,
) -> Any:
    """Make an `async def` a workflow, to be given to `App(workflows=…)`.

    Args:
        function: takes the `Context` and at most one input.
        name: identity of the code in the store (default: the function's name).
        durability: of its steps, unless they say otherwise (default: the app's).

    Raises:
        DefinitionError: if it is no `async def`, or takes other parameters.
    """
    if function is None:
        return functools.partial(define, name=name, durability=durability)
    return define(function, name, durability)


def define(
    function: Callable[..., Any], name: str | None, durability: Durability | None
) -> Workflow[Any, Any]:
    """Make a workflow of a function."""
    if isinstance(function, Workflow):
        return cast("Workflow[Any, Any]", function)  # type: ignore[redundant-cast]  # pyright
    found: object = function
    if not callable(found) or not is_async(found):
        raise DefinitionError(f"a workflow must be an async def, not {function!r}")
    name = name or getattr(function, "__name__", type(function).__name__)
    made = Workflow[Any, Any](function, checked_name(name, "a workflow"), durability)
    resolve_now(made.input_converter)
    resolve_now(made.output_converter)
    return made


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
