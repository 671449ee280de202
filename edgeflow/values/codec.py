"""What one annotation comes to: two functions, and what unions must know of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(slots=True)
class Codec:
    """Both directions for one annotation."""

    name: str
    """The annotation, as an error names it."""
    encode: Encode
    decode: Decode
    form: Form
    """The JSON that `encode` can give."""
    types: tuple[type, ...] = ()
    """The run-time types of the values that it is made for."""
    also: tuple[type, ...] = ()
    """Kinds of JSON that `decode` takes although `encode` never gives them."""
    plain: bool = False
    """True if `decode` gives back the JSON as it is."""
    members: tuple[Codec, ...] = ()
    """Of a union."""

    @property
    def is_any(self) -> bool:
        """True without an annotation; some models may be any JSON, but as models."""
        return self.plain and isinstance(self.form, Anything)
