"""What annotations mean: names resolved, type variables put in."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from edgeflow.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Scope:
    """Where the names in an annotation are looked up."""

    __slots__ = ("globals", "locals", "place")

    def __init__(
        self,
        place: str,
        globals: dict[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
    ) -> None:
        self.place = place
        """As an error says it: "Order.items", "parameter order of charge"."""
        self.globals = globals or {}
        self.locals = locals or {}


def resolve(raw: object, scope: Scope) -> object:
    """Return the annotation with every name in it resolved.

    Raises:
        DefinitionError: if a name is not there at run time.
    """
    holder = type("holder", (), {"__annotations__": {"it": raw}})
    try:
        hints = get_type_hints(
            holder, scope.globals, dict(scope.locals), include_extras=True
        )
    except RecursionError:
        raise
    except Exception as error:  # evaluating an annotation may raise anything
        text = raw if isinstance(raw, str) else name_of(raw)
        raise DefinitionError(
            f"{scope.place}: the annotation {text!r} cannot be resolved at run time "
            f"({error}); import its names at run time, not only under "
            "`if TYPE_CHECKING:`, and define its classes at module level"
        ) from error
    return hints["it"]


def name_of(annotation: object) -> str:
    """Return the annotation as a user would write it."""
    return inspect.formatannotation(annotation)


def parameters_of(generic: object) -> tuple[Any, ...]:
    """Return the type variables of a generic class or alias."""
    found: tuple[Any, ...] = getattr(generic, "__parameters__", ())
    own: tuple[Any, ...] = getattr(generic, "__type_params__", ())
    return found or own


def substitute(annotation: Any, solved: Mapping[Any, object]) -> object:
    """Return the annotation with type variables replaced where they are solved."""
    if isinstance(annotation, type):
        return annotation
    try:
        if annotation in solved:
            return solved[annotation]
    except TypeError:  # an unhashable Literal has no variables
        return annotation
    variables: Any = getattr(annotation, "__parameters__", ())
    if not variables or solved.keys().isdisjoint(variables):
        return annotation
    return annotation[tuple(solved.get(each, each) for each in variables)]


def alias_value(alias: Any) -> object:
    """Return what the alias stands for.

    Raises:
        DefinitionError: if it cannot be resolved.
    """
    name: str = alias.__name__
    module = sys.modules.get(alias.__module__)
    try:
        value: object = alias.__value__
    except NameError as error:
        value = error.name or name  # so that `resolve` says what is not there
    names = dict(vars(module)) if module else {}
    return resolve(value, Scope(f"type {name}", names, {name: alias}))


def class_hints(
    cls: type, args: tuple[object, ...], names: Iterable[str]
) -> dict[str, object]:
    """Return the annotations of some names of a class, or of a generic alias of it.

    Raises:
        DefinitionError: if one cannot be resolved.
    """
    solved = _solutions(cls, args)
    wanted = set(names)
    hints: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        for name, raw in inspect.get_annotations(base).items():
            if name in wanted:
                annotation = resolve(raw, _class_scope(base, name))
                hints[name] = substitute(annotation, solved.get(base, {}))
    return hints


def _class_scope(cls: type, name: str) -> Scope:
    module = sys.modules.get(cls.__module__)
    variables = {each.__name__: each for each in parameters_of(cls)}
    return Scope(
        place=f"{cls.__qualname__}.{name}",
        globals=dict(vars(cls)),
        # A field may be called like a type: names of the module come first.
        locals={**(vars(module) if module else {}), **variables, cls.__name__: cls},
    )


def _solutions(cls: type, args: tuple[object, ...]) -> dict[type, dict[object, object]]:
    """Return, for a class and each of its bases, what its type variables stand for."""
    own = dict(zip(parameters_of(cls), args, strict=False))
    solved: dict[type, dict[object, object]] = {cls: own}
    pending = [cls]
    for each in pending:
        for base in each.__dict__.get("__orig_bases__", each.__bases__):
            origin: object = get_origin(base) or base
            if isinstance(origin, type) and origin not in solved:
                values = [substitute(arg, solved[each]) for arg in get_args(base)]
                solved[origin] = dict(zip(parameters_of(origin), values, strict=False))
                pending.append(origin)
    return solved
