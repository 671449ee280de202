"""`@step`: functions with effects, whose outcome is recorded."""

from __future__ import annotations

import asyncio
import functools
import inspect
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from edgeflow.clock import seconds
from edgeflow.engine.arguments import Arguments
from edgeflow.engine.loop import BodyLoop
from edgeflow.engine.operation import Operation
from edgeflow.engine.ops.step import StepOp, StepOptions
from edgeflow.engine.run import Run
from edgeflow.engine.scope import checked_name
from edgeflow.engine.undo import DECLARED, Undo, declare, lookup, name_of
from edgeflow.errors import DefinitionError
from edgeflow.late import replace
from edgeflow.values import Signature, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import timedelta

    from edgeflow.engine.settings import Durability
    from edgeflow.retry import Retry
    from edgeflow.values import Converter

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


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
    wanted = changes.pop("undo", None)
    changed = replace(base, **changes)
    if wanted is not None:
        changed = replace(changed, undo=undo_at(wanted, changed))
    return changed


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
            result = (self._signature or self.signature()).result()
            return StepOp(run, self.options, bind, result, plain=self.plain)

        def bind() -> Callable[[], Any]:
            return Arguments(self.signature(), args, kwargs).bind(self.function)

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
        undo: Callable[[T], object] | None = None,
    ) -> Step[P, T]:
        """Give the same step with some options changed, for one call."""
        changes: dict[str, Any] = {
            "name": name,
            "retry": retry,
            "timeout": timeout,
            "durability": durability,
            "at_most_once": at_most_once,
            "raises": raises,
            "undo": undo,
        }
        return Step(self.function, options(self.options, changes))

    @overload
    def undo(
        self, function: Callable[[T], Coroutine[Any, Any, U]], /
    ) -> Step[[T], U]: ...
    @overload
    def undo(self, function: Callable[[T], U], /) -> Step[[T], U]: ...
    @overload
    def undo(
        self,
        /,
        *,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
    ) -> UndoDecorator[T]: ...
    def undo(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
    ) -> Any:
        """Make a function what takes this step back, if its instance fails.

        It gets the recorded result of the step, and is found by its name: it must be
        a function of a module. It is a step itself, to be used as `@charge.undo` or
        `@charge.undo(…)`.

        Args:
            function: async or plain; takes one argument.
            retry: of the undo (default: that of the step).
            timeout: in seconds, for each attempt (default: that of the step).

        Raises:
            DefinitionError: if it is no function that can be found by its name, or
                does not take one argument.
        """
        overrides = {"retry": retry, "timeout": timeout}
        if function is None:
            return functools.partial(self._undone_by, overrides=overrides)
        return self._undone_by(function, overrides)

    def _undone_by(
        self, function: Callable[..., Any], overrides: dict[str, Any]
    ) -> Step[..., Any]:
        given = as_step(function)
        own: Step[..., Any] = Step(given.function, options(given.options, overrides))
        mine = f"{self.__module__}:{getattr(self.function, '__qualname__', self.name)}"
        made = declare(undo_of(own, self), mine)
        self.options = replace(self.options, undo=made)
        return own

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<step {self.name!r}>"


def undo_of(own: Step[..., Any], step: Step[..., Any] | None) -> Undo:
    """Make of a step what takes back `step`, with the policy of that by default.

    Raises:
        DefinitionError: if it has no name to be found by, or takes more arguments.
    """
    name = name_of(own.function)
    known, chosen = own.signature(), own.options
    takes = [each for each in known.parameters.values() if each.default is each.empty]
    first = next(iter(known.parameters.values()), None)
    if first is None or first.kind is first.KEYWORD_ONLY or len(takes) > 1:
        raise DefinitionError(
            f"undo {name} must take one argument: the result of the step"
        )
    is_annotated = first.annotation is not first.empty

    def argument() -> Converter[Any]:
        if step is not None and not is_annotated:
            return step.signature().result()
        return known.parameter(first.name)

    resolve_now(argument)
    if step is not None:
        chosen = _with_policy_of(chosen, step.options)
    return Undo(
        name=name,
        function=own.function,
        argument=argument,
        result=known.result,
        options=chosen,
        plain=own.plain,
        is_declared=step is not None,
    )


def _with_policy_of(own: StepOptions, of_step: StepOptions) -> StepOptions:
    retry = of_step.policy if own.retry is None else own.retry
    timeout = of_step.timeout if own.timeout is None else own.timeout
    return replace(own, retry=retry, timeout=timeout)


def undo_at(wanted: Callable[..., Any], of_step: StepOptions) -> Undo:
    """Make of a function, or a step, the undo for one call.

    Raises:
        DefinitionError: if its name does not lead to it.
    """
    own = as_step(wanted)
    made = undo_of(own, None)
    found = lookup(made.name, {})
    if not callable(found) or as_step(found).function is not own.function:
        raise DefinitionError(
            f"undo {made.name}: this name does not lead to the function, and after a "
            "crash it is called by its name"
        )
    return replace(made, options=_with_policy_of(own.options, of_step))


def find_undo(name: str, names: Mapping[str, Any]) -> Undo | None:
    """Find the undo that the journal names, in this process; import nothing.

    `names` are the globals of the workflow, which may now live in another module.
    """
    if name in DECLARED:
        return DECLARED[name]
    found = lookup(name, names)
    return undo_of(as_step(found), None) if callable(found) else None


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


class UndoDecorator(Generic[T]):
    """The type of `charge.undo(…)`."""

    @overload
    def __call__(
        self, function: Callable[[T], Coroutine[Any, Any, U]], /
    ) -> Step[[T], U]: ...
    @overload
    def __call__(self, function: Callable[[T], U], /) -> Step[[T], U]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        """Make the function the undo of the step."""
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


def as_step(function: Callable[..., Any]) -> Step[..., Any]:
    """Make a step of a function that may be one already."""
    if isinstance(function, Step):
        return cast("Step[..., Any]", function)
    return _define(function, {})


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
