"""What one annotation comes to: two functions, and what unions must know of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.values.forms import Anything

if TYPE_CHECKING:
    from edgeflow.values.forms import Form
    from edgeflow.values.wire import Json
else:
    Json = Any

Encode: TypeAlias = Callable[[Any, int], Json]
"""Takes the value and how many containers are around it. Raises: Fault."""
Decode: TypeAlias = Callable[[Json], Any]
"""Takes a plain value. Raises: Fault."""

Unchanged: TypeAlias = Callable[[Collection[Any]], bool]
"""Says of several values, quickly, that `encode` gives each as it is."""


class Codec:
    """Both directions for one annotation."""

    __slots__ = (
        "also",
        "decode",
        "encode",
        "form",
        "members",
        "name",
        "plain",
        "same",
        "types",
        "unchanged",
    )

    def __init__(
        self,
        name: str,
        encode: Encode,
        decode: Decode,
        form: Form,
        *,
        types: tuple[type, ...] = (),
        also: tuple[type, ...] = (),
        plain: bool = False,
        same: frozenset[type] = frozenset(),
        unchanged: Unchanged | None = None,
    ) -> None:
        self.name = name
        """The annotation, as an error names it."""
        self.encode: Encode = encode
        self.decode: Decode = decode
        self.form = form
        """The JSON that `encode` can give."""
        self.types = types
        """The run-time types of the values that it is made for."""
        self.also = also
        """Kinds of JSON that `decode` takes although `encode` never gives them."""
        self.plain = plain
        """True if `decode` gives back the JSON as it is."""
        self.same = same
        """Kinds of JSON of which `decode` gives back the very value."""
        self.unchanged = unchanged
        """None, or False of some values, leaves it to `encode`."""
        self.members: tuple[Codec, ...] = ()
        """Of a union."""

    @property
    def is_any(self) -> bool:
        """True without an annotation; some models may be any JSON, but as models."""
        return self.plain and isinstance(self.form, Anything)

    def become(self, other: Codec) -> None:
        """Be the same as the other one."""
        for name in Codec.__slots__:
            setattr(self, name, getattr(other, name))
