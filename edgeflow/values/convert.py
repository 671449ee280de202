"""The two directions for one annotation."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from edgeflow.errors import Undecodable, Unencodable
from edgeflow.values.build import Builder
from edgeflow.values.fault import Fault, too_deep

if TYPE_CHECKING:
    from edgeflow.values.codec import Codec
    from edgeflow.values.wire import Json

T = TypeVar("T")


class Converter(Generic[T]):
    """Both directions for one annotation; made by `converter`."""

    __slots__ = ("_decode", "_encode", "name")

    def __init__(self, codec: Codec) -> None:
        """Wrap what the annotation came to."""
        self.name = codec.name
        """The annotation, as an error names it."""
        self._encode = codec.encode
        self._decode = codec.decode

    def __repr__(self) -> str:
        """Name the annotation."""
        return f"<Converter of {self.name}>"

    def encode(self, value: T) -> Json:
        """Return a fresh plain value that shares nothing mutable with this one.

        Raises:
            Unencodable: if it does not fit the annotation, or has no JSON form.
        """
        try:
            return self._encode(value, 0)
        except Fault as fault:
            raise Unencodable(fault.path, fault.why) from fault.__cause__
        except RecursionError:
            raise Unencodable("$", too_deep().why) from None

    def decode(self, value: Json) -> T:
        """Return what a plain value stands for; without annotation, that value itself.

        Raises:
            Undecodable: if it does not fit the annotation.
        """
        try:
            result: T = self._decode(value)
        except Fault as fault:
            raise Undecodable(fault.path, fault.why) from fault.__cause__
        except RecursionError:
            raise Undecodable("$", too_deep().why) from None
        return result


def converter(annotation: object) -> Converter[Any]:
    """Return the converter for an annotation, the same one every time.

    Raises:
        DefinitionError: if the annotation is not supported, or is a union of which
            two members cannot be told apart.
    """
    try:
        hash(annotation)
    except TypeError:  # such as Annotated[int, []]
        return _make(annotation)
    return _cached(annotation)


def _make(annotation: object) -> Converter[Any]:
    return Converter(Builder().finish(annotation))


_cached = lru_cache(maxsize=4096)(_make)
