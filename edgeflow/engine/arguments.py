"""Arguments of a step: what it does to them stays its own (S14)."""

from __future__ import annotations

from functools import lru_cache, partial
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DefinitionError, ValueRefused
from edgeflow.values import Converter, converter, dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgeflow.values import Signature

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
IMMUTABLE = frozenset({str, int, float, bool, bytes, type(None)})


class Arguments:
    """One call's arguments, kept as they were when the operation started.

    Each attempt gets fresh copies, made by the codec along the annotations. An
    argument that cannot be encoded, or would not come back equal, is passed as it is.
    """

    __slots__ = ("_args", "_has_copies", "_kwargs")

    def __init__(
        self, known: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Copy what can be copied, by the converters of the function's parameters."""
        self._args: Sequence[Any] = args
        self._kwargs: Mapping[str, Any] = kwargs
        self._has_copies = not (
            _are_immutable(args) and (not kwargs or _are_immutable(kwargs.values()))
        )
        if self._has_copies:
            parameters = _parameters_of(known)
            self._args = [
                _keep(value, parameters, index) for index, value in enumerate(args)
            ]
            self._kwargs = {
                name: _keep(value, parameters, name) for name, value in kwargs.items()
            }

    def bind(self, function: Callable[..., Any]) -> Callable[[], Any]:
        """Give what calls a function, each time with arguments of its own."""
        if not self._has_copies:
            return partial(function, *self._args, **self._kwargs)

        def call() -> Any:
            own, named = self.fresh()
            return function(*own, **named)

        return call

    def fresh(self) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Give the arguments of one attempt, which are not to be changed themselves."""
        if not self._has_copies:
            return self._args, self._kwargs
        return (
            [_use(kept) for kept in self._args],
            {name: _use(kept) for name, kept in self._kwargs.items()},
        )


class Copy:
    """An argument as it was."""

    __slots__ = ("_converter", "_data", "_unused")

    def __init__(self, converter: Converter[Any], data: bytes, unused: Any) -> None:
        """Keep the bytes; `unused` is what they stand for, and nobody has it yet."""
        self._converter = converter
        self._data = data
        self._unused = [unused]

    def take(self) -> Any:
        """Give what nobody else has."""
        try:
            return self._unused.pop()  # attempts in threads may come at the same time
        except IndexError:
            return self._converter.decode(loads(self._data))


class Parameters:
    """The converters of a function's parameters, each found when it is needed."""

    def __init__(self, known: Signature) -> None:
        """Sort the names; ask for no converter yet."""
        self._known = known
        self._places: list[str] = []
        self._rest: dict[object, str] = {}
        for name, parameter in known.parameters.items():
            if parameter.kind in POSITIONAL:
                self._places.append(name)
            else:
                self._rest[parameter.kind] = name
        self._found: dict[str | None, Converter[Any]] = {None: ANY}

    def of(self, place: int | str) -> Converter[Any]:
        """Give the converter of an argument; `ANY` if there is no better one."""
        name = self._name(place)
        found = self._found.get(name)
        return found or self._find(name)

    def _name(self, place: int | str) -> str | None:
        """Name the parameter, or give None: the function itself will say so."""
        if isinstance(place, str):
            if place in self._known.parameters:
                return place
            return self._rest.get(Parameter.VAR_KEYWORD)
        if place < len(self._places):
            return self._places[place]
        return self._rest.get(Parameter.VAR_POSITIONAL)

    def _find(self, name: Any) -> Converter[Any]:
        try:
            found = self._known.parameter(name)
        except DefinitionError as error:  # a client, say: it is passed as it is
            if _may_change(error):
                return ANY
            found = ANY
        self._found[name] = found
        return found


ANY: Converter[Any] = converter(Any)

_parameters_of = lru_cache(maxsize=1024)(Parameters)


def _may_change(error: BaseException) -> bool:
    """Say whether an annotation names what may still come to be."""
    cause = error.__cause__
    while isinstance(cause, DefinitionError):
        cause = cause.__cause__
    return cause is not None


def _are_immutable(values: Any) -> bool:
    for value in values:  # noqa: SIM110  a loop is quicker than a generator
        if type(value) not in IMMUTABLE:
            return False
    return True


def _keep(value: Any, parameters: Parameters, place: int | str) -> Any:
    """Return a `Copy`, or the value itself."""
    if type(value) in IMMUTABLE:
        return value
    known = parameters.of(place)
    for each in (known,) if known is ANY else (known, ANY):
        try:
            tree = each.encode(value)
            data = dumps(tree)
            copy = each.decode(tree)
        except ValueRefused:
            continue
        if type(copy) is type(value) and copy == value:
            return Copy(each, data, copy)
    return value


def _use(kept: Any) -> Any:
    return kept.take() if type(kept) is Copy else kept
