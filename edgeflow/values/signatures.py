"""The converters of a function: of what it takes and of what it returns."""

from __future__ import annotations

import functools
import inspect
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DefinitionError
from edgeflow.values.convert import converter
from edgeflow.values.hints import Scope, parameters_of, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.values.convert import Converter


class Signature:
    """The annotations of a callable, each resolved when it is first asked for.

    So an annotation that no one asks for may be anything, such as that of a client
    which is passed to a step as it is.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        """Look at the parameters; resolve nothing yet."""
        self._function = function
        self._of_parameters: dict[str, Converter[Any]] = {}
        self._of_result: Converter[Any] | None = None
        self.parameters: Mapping[str, Parameter] = {}
        """What a caller can pass: bound arguments and `self` are not among it."""
        self._returns: object = Parameter.empty
        try:
            found = inspect.signature(function)
        except ValueError:  # some builtins have none
            return
        self.parameters = found.parameters
        self._returns = found.return_annotation

    def parameter(self, name: str) -> Converter[Any]:
        """Return the converter of a parameter; for `*args`, of each of them.

        Raises:
            DefinitionError: if its annotation cannot be resolved, or is not supported.
            KeyError: if there is no such parameter.
        """
        found = self._of_parameters.get(name)
        if found is None:
            raw = self.parameters[name].annotation
            found = self._converter(raw, f"parameter {name} of {self._name}")
            self._of_parameters[name] = found
        return found

    def result(self) -> Converter[Any]:
        """Return the converter of what the function returns, or its coroutine.

        Raises:
            DefinitionError: if its annotation cannot be resolved, or is not supported.
        """
        if self._of_result is None:
            place = f"the result of {self._name}"
            self._of_result = self._converter(self._returns, place)
        return self._of_result

    def returns(self) -> object:
        """Return the annotation of the result itself; `Any` if there is none.

        Raises:
            DefinitionError: if it cannot be resolved.
        """
        if self._returns is Parameter.empty:
            return Any
        place = f"the result of {self._name}"
        return resolve(self._returns, _scope(self._function, place))

    @property
    def _name(self) -> str:
        inner: object = _innermost(self._function)
        return getattr(inner, "__qualname__", None) or repr(inner)

    def _converter(self, raw: object, place: str) -> Converter[Any]:
        annotation = resolve(raw, _scope(self._function, place))
        try:
            return converter(annotation)
        except DefinitionError as error:
            raise DefinitionError(f"{place}: {error}") from error


def signature(function: Callable[..., object]) -> Signature:
    """Return the signature of a function, method, partial or callable object."""
    return Signature(function)


def _innermost(function: Any) -> Any:
    """Return the function that the annotations were written at."""
    inner: Any = getattr(function, "__wrapped__", None)  # functools.wraps
    if inner is None:
        inner = getattr(function, "__func__", None)  # a method
    if inner is None:
        inner = getattr(function, "func", None) if _is_partial(function) else None
    if inner is None and not hasattr(function, "__qualname__"):
        inner = getattr(function.__class__, "__call__", None)  # noqa: B004  it is wanted itself
    return function if inner is None else _innermost(inner)


def _is_partial(function: object) -> bool:
    return isinstance(function, functools.partial)


def _scope(function: object, place: str) -> Scope:
    inner = _innermost(function)
    if inspect.isclass(inner):
        inner = inner.__init__
    variables = {each.__name__: each for each in parameters_of(inner)}
    return Scope(place, getattr(inner, "__globals__", {}), variables | _closure(inner))


def _closure(function: object) -> dict[str, object]:
    """Return the variables of enclosing functions, where local classes may be."""
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None) or ()
    found: dict[str, object] = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found
