"""The fields of a class: dataclass, attrs class or NamedTuple."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Field:
    """One field that is carried."""

    __slots__ = ("argument", "name", "required", "type")

    def __init__(
        self, name: str, argument: str | None, *, required: bool, type: object = None
    ) -> None:
        self.name = name
        self.argument = argument
        """What the constructor calls it; None if it does not take it."""
        self.required = required
        """False if the constructor can do without."""
        self.type = type
        """What attrs was told in place of an annotation."""


def has_fields(cls: type) -> bool:
    """Say whether instances are written as objects, by field, without annotation.

    A NamedTuple is none of these: it is a tuple first.
    """
    return hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__")


def is_namedtuple(cls: type) -> bool:
    """Say whether the class is made by NamedTuple or namedtuple."""
    return tuple in cls.__mro__ and hasattr(cls, "_fields")


def takes_in_order(cls: type, arguments: list[str]) -> bool:
    """Say whether the constructor takes these, and in this order, without names."""
    if type(cls).__call__ is not type.__call__:
        return False
    makers = [
        method
        for name in ("__new__", "__init__")
        if (method := getattr(cls, name)) is not getattr(object, name)
    ]
    if len(makers) != 1:
        return False
    code = getattr(makers[0], "__code__", None)  # what it is, not what it says it is
    return code is not None and code.co_varnames[1 : code.co_argcount] == (*arguments,)


def fields_of(cls: type) -> tuple[Field, ...]:
    """Return the fields, in their order."""
    if is_namedtuple(cls):
        return tuple(_of_namedtuple(cls))
    if hasattr(cls, "__dataclass_fields__"):
        return tuple(_of_dataclass(cls))
    return tuple(_of_attrs(cls))


def _of_dataclass(cls: Any) -> Iterator[Field]:
    from dataclasses import MISSING, fields  # noqa: PLC0415  costly, if nobody has any

    for field in fields(cls):
        required = field.default is MISSING and field.default_factory is MISSING
        if field.init:
            yield Field(field.name, field.name, required=required)
        elif field.compare:
            yield Field(field.name, None, required=False)


def _of_namedtuple(cls: Any) -> Iterator[Field]:
    for name in cls._fields:
        yield Field(name, name, required=name not in cls._field_defaults)


def _of_attrs(cls: Any) -> Iterator[Field]:
    nothing = sys.modules["attr"].NOTHING
    for field in cls.__attrs_attrs__:
        if field.init:
            required = field.default is nothing
            yield Field(field.name, field.alias, required=required, type=field.type)
        elif field.eq:
            yield Field(field.name, None, required=False, type=field.type)
