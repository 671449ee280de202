"""`@step`: functions with effects, whose outcome is recorded."""

from __future__ import annotations

import asyncio
import functools
import inspect
from dataclasses import replace
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from edgeflow.clock import seconds
from edgeflow.engine.arguments import Arguments
from edgeflow.engine.loop import BodyLoop
from edgeflow.engine.operation import Operation
from edgeflow.engine.ops.step import StepOp, StepOptions
from edgeflow.engine.run import Run
from edgeflow.engine.scope import checked_name
from edgeflow.errors import DefinitionError
from edgeflow.values import Signature, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from edgeflow.engine.settings import Durability
    from edgeflow.retry import Retry

P = ParamSpec("P")
T = TypeVar("T")


def options(base: StepOptions, overrides: dict[str, Any]) -> StepOptions:
    """Apply what was said about a step, at its definition or at one call.

    Raises:
        DefinitionError: if a value is out of its range; names the option.
    """
    changes = {key: value for key, value in overrides.items() if value is not None}
    if "name" in changes:
        checked_name(changes["name"], "a step")
    if "timeout" in changes:
        changes["timeout"] = seconds(changes["timeout"])
        if changes["timeout"] <= 0:
            raise DefinitionError(f"step {base.name!r}: timeout must be above 0 s")
    if changes.get("durability") not in (None, "step", "behind", "suspend"):
        raise DefinitionError(
            f"step {base.name!r}: durability must be 'step', 'behind' or 'suspend', "
            f"not {changes['durability']!r}"
        )
    if "raises" in changes:
        changes["raises"] = tuple(changes["raises"])
    return replace(base, **changes)


class Step(Generic[P, T]):
    """A function that is a durable operation in a body, and itself elsewhere."""

    def __init__(self, function: Callable[P, Any], options: StepOptions) -> None:
        """Wrap `function`; use the decorator `step`."""
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.plain = not is_async(function)
        self._signature: Signature | None = None

    @property
    def name(self) -> str:
        return self.options.name

    def signature(self) -> Signature:
        """Give the converters of the function's annotations.

        Raises:
            DefinitionError: if an annotation cannot be resolved or has no JSON form.
        """
        if self._signature is None:
            self._signature = signature(self.function)
        return self._signature

    def __call__(
        self, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, T]:
        """In a body: a durable operation to await. Elsewhere: the function itself."""
        loop = asyncio._get_running_loop()  # noqa: SLF001  for loops
        if not isinstance(loop, BodyLoop) or not isinstance(loop.owner, Run):
            result: Coroutine[object, object, T] = self.function(*args, **kwargs)
            return result
        run = loop.owner

        def make() -> StepOp[T]:
            known = self.signature()
            arguments = Arguments(known, args, kwargs)

            function: Callable[..., Any] = self.function

            def call() -> Any:
                own, named = arguments.fresh()
                return function(*own, **named)

            return StepOp(run, self.options, call, known.result(), plain=self.plain)

        return Operation(run, self.options.name, make)

    def using(
        self,
        *,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
        durability: Durability | None = None,
        at_most_once: bool | None = None,
        raises: tuple[type[Exception], ...] | None = None,
    ) -> Step[P, T]:
        """Give the same step with some options changed, for one call."""
        changes: dict[str, Any] = {
            "name": name,
            "retry": retry,
            "timeout": timeout,
            "durability": durability,
            "at_most_once": at_most_once,
            "raises": raises,
        }
        return Step(self.function, options(self.options, changes))

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<step {self.name!r}>"


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether calling it gives a coroutine, looking through partials."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  an object whose __call__ is async
    )


@overload
def step(function: Callable[P, Coroutine[Any, Any, T]], /) -> Step[P, T]: ...
@overload
def step(function: Callable[P, T], /) -> Step[P, T]: ...
@overload
def step(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    durability: Durability | None = None,
    at_most_once: bool = False,
    raises: tuple[type[Exception], ...] = (),
) -> StepDecorator: ...
def step(function: Callable[..., Any] | None = None, /, **overrides: Any) -> Any:
    """Make a function a step: its outcome is recorded, and never computed twice.

    A plain function runs in a worker thread.

    Args:
        function: async or plain; use as `@step` or `@step(…)`.
        **overrides: `name` in the journal (default: the function's); `retry`, a
            `Retry`; `timeout` in seconds for each attempt (default: none);
            `durability`, "step", "behind" or "suspend"; `at_most_once`, never to
            call it again once it may have begun; `raises`, exception types that the
            body is to get as themselves.

    Raises:
        DefinitionError: if it is no function, or an option makes no sense.
    """
    if function is None:
        return functools.partial(_define, overrides=overrides)
    return _define(function, {})


class StepDecorator:
    """The type of `step(…)`."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Step[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Step[P, T]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        """Make the function a step."""
        raise NotImplementedError


def _define(function: Callable[..., Any], overrides: dict[str, Any]) -> Step[..., Any]:
    found: object = function
    if not callable(found) or isinstance(found, type):
        raise DefinitionError(f"@step wants a function, not {function!r}")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise DefinitionError(
            f"step {function.__name__!r} is a generator: return a list, or call a "
            "step for each item"
        )
    name = getattr(function, "__name__", None) or type(function).__name__
    made: Step[..., Any] = Step(function, options(StepOptions(name=name), overrides))
    resolve_now(made.signature().result)
    return made


def resolve_now(resolve: Callable[[], object]) -> None:
    """Refuse an annotation at its definition, unless it names what comes later.

    Raises:
        DefinitionError: if the annotation has no JSON form, or is ambiguous.
    """
    try:
        resolve()
    except DefinitionError as error:
        if not isinstance(error.__cause__, NameError):
            raise
