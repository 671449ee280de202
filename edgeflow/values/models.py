"""The codecs of pydantic models and msgspec structs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from edgeflow.errors import DefinitionError
from edgeflow.values import scalars
from edgeflow.values.codec import Codec
from edgeflow.values.fault import Fault, mismatch
from edgeflow.values.foreign import check_version, library_of
from edgeflow.values.forms import Anything, Array, Record, Table, Values, Whole
from edgeflow.values.plain import encode_any

if TYPE_CHECKING:
    from edgeflow.values.forms import Form
    from edgeflow.values.wire import Json

_ANYTHING = Anything()
_OBJECT = Table(_ANYTHING, _ANYTHING)
_ARRAY = Array(object, (_ANYTHING,))
_ROOTS: dict[object, Form] = {
    **dict.fromkeys((list, tuple, set, frozenset), _ARRAY),
    **{each: Whole(each) for each in (bool, int, float, str)},
    dict: _OBJECT,
}


def model(annotation: object, cls: type) -> Codec:
    """Return the codec of a model, or of a generic alias of it.

    Raises:
        DefinitionError: if its library is too old.
    """
    library = library_of(cls)
    assert library  # noqa: S101  tells the type checker
    name = cls.__qualname__
    target = annotation if get_origin(annotation) else cls

    def encode(value: object, depth: int) -> Json:
        if type(value) is not cls:
            raise mismatch(name, value)
        tree = encode_any(library.dump(value), depth)
        try:
            library.load(target, tree)
        except Fault as fault:
            fault.why += "; it would not come back from its own JSON"
            raise
        return tree

    def decode(value: Json) -> object:
        return library.load(target, value)

    form = _struct_form(cls) if hasattr(cls, "__struct_config__") else None
    return Codec(name, encode, decode, form or _model_form(cls), types=(cls,))


def _struct_form(cls: Any) -> Form:
    config = cls.__struct_config__
    names = frozenset(cls.__struct_encode_fields__)
    if config.array_like:
        return Array(cls, (_ANYTHING,))
    required = frozenset[str]() if config.omit_defaults else names
    tags: dict[str, Form] = {}
    if config.tag_field:
        required |= {config.tag_field}
        tags[config.tag_field] = _tag(config.tag)
    return Record(required, names | required, tags)


def _tag(tag: Any) -> Form:
    return Values({tag if isinstance(tag, str) else (int, tag): tag})


def _model_form(cls: Any) -> Form:
    check_version(cls)
    fields: dict[str, Any] = cls.model_fields
    if getattr(cls, "__pydantic_root_model__", False):
        return _root_form(fields["root"].annotation)
    if _is_open(cls):
        return _OBJECT
    carried = {name: field for name, field in fields.items() if not field.exclude}
    names = frozenset(carried)
    tags = {name: _tag_form(field.annotation) for name, field in carried.items()}
    return Record(names, names, {name: form for name, form in tags.items() if form})


def _root_form(annotation: object) -> Form:
    """Return the usual forms; what only pydantic understands may be anything."""
    return _ROOTS.get(get_origin(annotation) or annotation, _ANYTHING)


def _is_open(cls: Any) -> bool:
    if cls.model_config.get("extra") == "allow":
        return True
    return bool(cls.__pydantic_decorators__.model_serializers)


def _tag_form(annotation: object) -> Form | None:
    try:
        if get_origin(annotation) is Literal:
            return scalars.literal("a tag", get_args(annotation)).form
        if isinstance(annotation, type) and scalars.is_enum(annotation):
            return scalars.enum(annotation).form
    except DefinitionError:  # pydantic may still know what to do
        pass
    return None
