"""Arguments of a step: what it does to them stays its own (S14)."""

from __future__ import annotations

from functools import lru_cache
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DefinitionError, ValueRefused
from edgeflow.values import Converter, converter, dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.values import Signature

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
IMMUTABLE = (str, int, float, bool, bytes, type(None))


class Arguments:
    """One call's arguments, kept as they were when the operation started.

    Each attempt gets fresh copies, made by the codec along the annotations. An
    argument that cannot be encoded, or would not come back equal, is passed as it is.
    """

    __slots__ = ("_args", "_kwargs")

    def __init__(
        self, known: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Copy what can be copied, by the converters of the function's parameters."""
        self._args = [
            _source(value, _positional(known, index))
            for index, value in enumerate(args)
        ]
        self._kwargs = {
            name: _source(value, _named(known, name)) for name, value in kwargs.items()
        }

    def fresh(self) -> tuple[list[Any], dict[str, Any]]:
        """Give the arguments of one attempt."""
        return (
            [make() for make in self._args],
            {name: make() for name, make in self._kwargs.items()},
        )


ANY: Converter[Any] = converter(Any)


@lru_cache(maxsize=1024)
def _positional_names(known: Signature) -> list[str]:
    found = known.parameters.items()
    return [name for name, parameter in found if parameter.kind in POSITIONAL]


def _positional(known: Signature, index: int) -> Converter[Any]:
    names = _positional_names(known)
    if index < len(names):
        return _parameter(known, names[index])
    return _of_kind(known, Parameter.VAR_POSITIONAL)


def _named(known: Signature, name: str) -> Converter[Any]:
    if name in known.parameters:
        return _parameter(known, name)
    return _of_kind(known, Parameter.VAR_KEYWORD)


def _of_kind(known: Signature, kind: object) -> Converter[Any]:
    for name, parameter in known.parameters.items():
        if parameter.kind is kind:
            return _parameter(known, name)
    return ANY  # too many arguments: the function itself will say so


def _parameter(known: Signature, name: str) -> Converter[Any]:
    try:
        return known.parameter(name)
    except DefinitionError:  # a client, say: it is passed as it is
        return ANY


def _source(value: Any, known: Converter[Any]) -> Callable[[], Any]:
    if type(value) in IMMUTABLE:
        return lambda: value
    for kind in (known, ANY):
        try:
            data = dumps(kind.encode(value))
            copy = kind.decode(loads(data))
        except ValueRefused:
            continue
        if type(copy) is type(value) and copy == value:
            return lambda kind=kind: kind.decode(loads(data))  # type: ignore[misc]  # bound now
    return lambda: value
