"""From an annotation to its codec."""

from __future__ import annotations

import inspect
import types
import typing
from collections import abc
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

from edgeflow.errors import DefinitionError
from edgeflow.values import containers, records, scalars
from edgeflow.values.codec import Codec
from edgeflow.values.fault import MAX_DEPTH
from edgeflow.values.fields import fields_of, has_fields, is_namedtuple
from edgeflow.values.foreign import library_of
from edgeflow.values.forms import Later, NoneType
from edgeflow.values.hints import (
    Scope,
    alias_value,
    class_hints,
    name_of,
    parameters_of,
    resolve,
    substitute,
)
from edgeflow.values.lazy import text_kind
from edgeflow.values.tables import table
from edgeflow.values.unions import union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgeflow.values.wire import Json

    Args = tuple[object, ...]

_SIMPLE: dict[object, Codec] = {
    Any: scalars.ANY,
    object: scalars.ANY,
    Parameter.empty: scalars.ANY,
    None: scalars.NONE,
    NoneType: scalars.NONE,
    bool: scalars.BOOL,
    int: scalars.INT,
    float: scalars.FLOAT,
    str: scalars.STR,
    typing.LiteralString: scalars.STR,
    typing.Never: scalars.NEVER,
    typing.NoReturn: scalars.NEVER,
}

_SETS = (set, frozenset)
_ARRAYS: dict[object, tuple[tuple[type, ...], type]] = {
    list: ((list,), list),
    set: ((set,), set),
    frozenset: ((frozenset,), frozenset),
    abc.Sequence: ((list, tuple), list),
    abc.MutableSequence: ((list,), list),
    abc.Collection: ((list, tuple, *_SETS), list),
    abc.Iterable: ((list, tuple, *_SETS), list),
    abc.Set: (_SETS, set),
    abc.MutableSet: ((set,), set),
}
"""For each: the types that may be encoded, and the one that decoding gives."""

_TABLES: dict[object, type] = {
    dict: dict,
    abc.Mapping: abc.Mapping,
    abc.MutableMapping: abc.MutableMapping,
}

_WRAPPERS = frozenset(
    {"Annotated", "ClassVar", "Final", "NotRequired", "ReadOnly", "Required"}
)


class Builder:
    """Builds one annotation, with everything in it."""

    def __init__(self) -> None:
        """Start with nothing under construction."""
        self._open: dict[object, Codec] = {}
        self._owners: list[type] = []
        self._settle: list[Callable[[], None]] = []

    def finish(self, annotation: object) -> Codec:
        """Return the codec, checked.

        Raises:
            DefinitionError: if the annotation, or one in it, is not supported.
        """
        try:
            codec = self.build(annotation)
            for settle in self._settle:
                settle()
        except RecursionError:
            raise DefinitionError(
                f"{name_of(annotation)} refers to itself without an end"
            ) from None
        return codec

    def build(self, annotation: object) -> Codec:
        """Return the codec; unions in it are not settled yet."""
        try:
            simple = _SIMPLE.get(annotation)
        except TypeError:  # an unhashable one is Annotated or Literal
            simple = None
        if simple:
            return simple
        origin: object = get_origin(annotation)
        if origin is not None:
            return self._generic(annotation, origin, get_args(annotation))
        if isinstance(annotation, type):
            return self._class(annotation, annotation, ())
        return self._special(annotation)

    def _generic(self, annotation: object, origin: object, args: Args) -> Codec:
        name = name_of(annotation)
        if origin is Union or origin is types.UnionType:
            return union(name, [self.build(arg) for arg in args], self._settle.append)
        if origin is Literal:
            return scalars.literal(name, args)
        if getattr(origin, "__name__", "") in _WRAPPERS or origin is typing.Annotated:
            return self.build(args[0])
        if isinstance(origin, type):
            return self._class(annotation, origin, args)
        if hasattr(origin, "__value__"):
            return self._alias(annotation, origin, args)
        raise _unsupported(annotation)

    def _special(self, annotation: Any) -> Codec:
        if isinstance(annotation, TypeVar):
            return self._variable(annotation)
        if annotation is typing.Self and self._owners:
            return self.build(self._owners[-1])
        if hasattr(annotation, "__supertype__"):
            return self.build(annotation.__supertype__)
        if hasattr(annotation, "__value__"):
            return self._alias(annotation, annotation, ())
        if isinstance(annotation, str | typing.ForwardRef):
            return self.build(resolve(annotation, Scope(place="an annotation")))
        raise _unsupported(annotation)

    def _variable(self, variable: Any) -> Codec:
        """Build what an unsolved type variable may at most be."""
        if hasattr(variable, "has_default") and variable.has_default():
            return self.build(variable.__default__)
        if variable.__constraints__:
            return self.build(Union[variable.__constraints__])  # noqa: UP007  made from a tuple
        bound = variable.__bound__
        return self.build(Any if bound is None else bound)

    def _alias(self, annotation: object, alias: Any, args: Args) -> Codec:
        def build() -> Codec:
            solved = dict(zip(parameters_of(alias), args, strict=False))
            return self.build(substitute(alias_value(alias), solved))

        return self._recursive(annotation, build)

    def _class(self, annotation: object, cls: type, args: Args) -> Codec:
        codec = self._container(annotation, cls, args) or text_kind_exactly(cls)
        if codec:
            return codec
        if scalars.is_enum(cls):
            return scalars.enum(cls)
        if library_of(cls):
            from edgeflow.values.models import model  # noqa: PLC0415  not needed by everyone

            return model(annotation, cls)
        if is_namedtuple(cls) or has_fields(cls):
            return self._recursive(annotation, lambda: self._record(cls, args))
        if dict in cls.__mro__ and hasattr(cls, "__total__"):
            return self._recursive(annotation, lambda: self._typed_dict(cls, args))
        raise _unsupported(annotation)

    def _container(self, annotation: object, cls: type, args: Args) -> Codec | None:
        name = name_of(annotation)
        if cls is tuple:
            return self._tuple(name, args)
        if cls in _ARRAYS:
            (item,) = args or (Any,)
            return containers.array(name, self.build(item), *_ARRAYS[cls])
        if cls in _TABLES:
            key, value = args or (Any, Any)
            return table(name, self.build(key), self.build(value), _TABLES[cls])
        return None

    def _tuple(self, name: str, args: Args) -> Codec:
        if not args and name in {"tuple", "Tuple"}:
            args = (Any, ...)
        match args:
            case (item, types.EllipsisType()):
                return containers.array(name, self.build(item), (tuple,), tuple)
            case _:
                items = tuple(self.build(item) for item in args)
                return containers.fixed_tuple(name, items)

    def _recursive(self, annotation: object, build: Callable[[], Codec]) -> Codec:
        """Build a type that may refer to itself, and does so through `forward`."""
        try:
            key = hash(annotation), annotation
        except TypeError:  # such as Box[Annotated[int, []]]
            key = 0, repr(annotation)
        if key in self._open:
            return self._open[key]
        self._open[key] = forward = _forward(name_of(annotation))
        codec = build()
        forward.become(codec)
        return codec

    def _record(self, cls: type, args: Args) -> Codec:
        fields = {field.name: field for field in fields_of(cls)}
        _check_constructor(cls, {field.argument for field in fields.values()})
        hints = class_hints(cls, args, fields)
        known = {name: field.type or Any for name, field in fields.items()}
        codecs = self._fields(cls, known | hints)
        return records.record(cls, {fields[name]: codecs[name] for name in fields})

    def _typed_dict(self, cls: Any, args: Args) -> Codec:
        hints = class_hints(cls, args, cls.__annotations__)
        required = {
            name
            for name, hint in hints.items()
            if _is_required(hint, default=name in cls.__required_keys__)
        }
        return records.typed_dict(cls, self._fields(cls, hints), frozenset(required))

    def _fields(self, cls: type, hints: dict[str, object]) -> dict[str, Codec]:
        self._owners.append(cls)
        if len(self._owners) > MAX_DEPTH:  # class Grows[T]: more: Grows[list[T]]
            raise RecursionError
        codecs = dict(self._each_field(cls, hints))
        self._owners.pop()
        return codecs

    def _each_field(
        self, cls: type, hints: dict[str, object]
    ) -> Iterator[tuple[str, Codec]]:
        for name, hint in hints.items():
            try:
                yield name, self.build(hint)
            except DefinitionError as error:
                place = f"{cls.__qualname__}.{name}"
                raise DefinitionError(f"{place}: {error}") from error


def text_kind_exactly(cls: type) -> Codec | None:
    """Return the codec of bytes, datetime and so on, but of no subclass of them."""
    codec = text_kind(cls)
    return codec if codec and codec.types == (cls,) else None


def _check_constructor(cls: type, given: set[str | None]) -> None:
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
            continue
        if parameter.default is Parameter.empty and parameter.name not in given:
            raise DefinitionError(
                f"{cls.__qualname__}.{parameter.name} is wanted by the constructor, "
                "but is no field that can be carried; give it a default"
            )


def _is_required(hint: object, *, default: bool) -> bool:
    """Look for Required and NotRequired, which may be within ReadOnly or Annotated."""
    while (name := getattr(get_origin(hint), "__name__", "")) in _WRAPPERS or (
        get_origin(hint) is typing.Annotated
    ):
        if name in {"Required", "NotRequired"}:
            return name == "Required"
        hint = get_args(hint)[0]
    return default


def _forward(name: str) -> Codec:
    def encode(value: object, depth: int) -> Json:
        return codec.encode(value, depth)

    def decode(value: Json) -> object:
        return codec.decode(value)

    codec = Codec(name, encode, decode, Later(lambda: codec.form))
    return codec


def _unsupported(annotation: object) -> DefinitionError:
    return DefinitionError(
        f"{name_of(annotation)} is no type that JSON can carry; use a dataclass, or "
        "one of the types that edgeflow.values lists"
    )
