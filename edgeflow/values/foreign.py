"""pydantic models and msgspec structs: their library does the work.

They are known by the attributes of their class, so neither library is imported.
A class of theirs exists only where its library is loaded already.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from edgeflow.errors import DefinitionError
from edgeflow.values.fault import Fault
from edgeflow.values.wire import dumps, sort_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.values.wire import Json


class Library:
    """Both directions for one class; they raise Fault."""

    __slots__ = ("dump", "load")

    def __init__(
        self, dump: Callable[[Any], object], load: Callable[[Any, Json], object]
    ) -> None:
        self.dump = dump
        """Gives builtin types, in a form that `load` accepts."""
        self.load = load
        """Takes the class, or a generic alias of it, and the plain value."""


def library_of(cls: type) -> Library | None:
    """Return the library that the class is of, or None."""
    if hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_validate_json"):
        return _PYDANTIC
    if hasattr(cls, "__struct_config__") and hasattr(cls, "__struct_fields__"):
        return _MSGSPEC
    return None


def check_version(cls: type) -> None:
    """Refuse a pydantic that cannot validate by field name.

    Raises:
        DefinitionError: if it is older than 2.11.
    """
    validate: Any = getattr(cls, "model_validate_json", None)
    if validate and "by_name" not in inspect.signature(validate).parameters:
        raise DefinitionError(
            f"{cls.__qualname__}: edgeflow needs pydantic 2.11 or newer"
        )


def _dump_pydantic(value: Any) -> object:
    # Names instead of aliases: those of the two directions may differ.
    # `round_trip` leaves out what cannot be read back, such as computed fields.
    try:
        tree: Json = value.model_dump(
            mode="json", by_alias=False, round_trip=True, warnings="error"
        )
    except Exception as error:  # also what the user's own serializers raise
        raise Fault(f"pydantic cannot dump it: {_first_line(error)}") from error
    return _sort_sets(value, tree)


def _load_pydantic(cls: Any, value: Json) -> object:
    # In JSON mode strict fields take text, and bytes are read as they are written.
    try:
        return cls.model_validate_json(dumps(value), by_alias=False, by_name=True)
    except Exception as error:  # also what the user's own validators raise
        raise _pydantic_fault(cls, error) from error


def _pydantic_fault(cls: type, error: Exception) -> Fault:
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return Fault(f"{cls.__qualname__} refuses it: {_first_line(error)}")
    details: Any = errors(include_url=False, include_input=False)
    fault = Fault(f"{cls.__qualname__} refuses it: {details[0]['msg']}")
    for part in reversed(details[0]["loc"]):
        fault.at(part)
    return fault


def _sort_sets(value: Any, tree: Json) -> Json:
    """Sort what the library dumped in the order of a set, which no process shares."""
    cls: type = value.__class__
    if hasattr(value, "root"):  # a RootModel is dumped as what it holds
        return _sort_sets(value.root, tree)
    if isinstance(tree, list) and issubclass(cls, list | tuple | set | frozenset):
        items = [_sort_sets(*pair) for pair in zip(value, tree, strict=False)]
        return sort_set(items) if issubclass(cls, set | frozenset) else items
    if isinstance(tree, dict):
        if issubclass(cls, dict):
            parts = list(value.values())
        else:
            parts = [getattr(value, name, None) for name in tree]
        pairs = zip(tree.items(), parts, strict=False)
        return {name: _sort_sets(part, item) for (name, item), part in pairs}
    return tree


def _dump_msgspec(value: object) -> object:
    try:
        return sys.modules["msgspec"].to_builtins(
            value, str_keys=True, order="deterministic"
        )
    except Exception as error:  # also what the user's own hooks raise
        raise Fault(f"msgspec cannot dump it: {_first_line(error)}") from error


def _load_msgspec(cls: Any, value: Json) -> object:
    try:
        return sys.modules["msgspec"].convert(value, cls, str_keys=True)
    except Exception as error:  # also what the user's own `__post_init__` raises
        why, _, path = str(error).partition(" - at `$")
        fault = Fault(f"{cls} refuses it: {why}")
        fault.inside(path.rstrip("`"))
        raise fault from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


_PYDANTIC = Library(_dump_pydantic, _load_pydantic)
_MSGSPEC = Library(_dump_msgspec, _load_msgspec)
