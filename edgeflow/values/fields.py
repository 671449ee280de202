"""The fields of a class: dataclass, attrs class or NamedTuple."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import MISSING, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Field:
    """One field that is carried."""

    name: str
    argument: str | None
    """What the constructor calls it; None if it does not take it."""
    required: bool
    """False if the constructor can do without."""
    type: object = None
    """What attrs was told in place of an annotation."""


def has_fields(cls: type) -> bool:
    """Say whether instances are written as objects, by field, without annotation.

    A NamedTuple is none of these: it is a tuple first.
    """
    return hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__")


def is_namedtuple(cls: type) -> bool:
    """Say whether the class is made by NamedTuple or namedtuple."""
    return tuple in cls.__mro__ and hasattr(cls, "_fields")


def fields_of(cls: type) -> tuple[Field, ...]:
    """Return the fields, in their order."""
    if is_namedtuple(cls):
        return tuple(_of_namedtuple(cls))
    if hasattr(cls, "__dataclass_fields__"):
        return tuple(_of_dataclass(cls))
    return tuple(_of_attrs(cls))


def _of_dataclass(cls: Any) -> Iterator[Field]:
    for field in dataclasses.fields(cls):
        required = field.default is MISSING and field.default_factory is MISSING
        if field.init:
            yield Field(field.name, field.name, required)
        elif field.compare:
            yield Field(field.name, None, required=False)


def _of_namedtuple(cls: Any) -> Iterator[Field]:
    for name in cls._fields:
        yield Field(name, name, name not in cls._field_defaults)


def _of_attrs(cls: Any) -> Iterator[Field]:
    nothing = sys.modules["attr"].NOTHING
    for field in cls.__attrs_attrs__:
        if field.init:
            yield Field(field.name, field.alias, field.default is nothing, field.type)
        elif field.eq:
            yield Field(field.name, None, required=False, type=field.type)
