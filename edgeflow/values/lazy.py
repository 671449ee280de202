"""Keeps `import edgeflow` from loading datetime, decimal, uuid and binascii."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.values.codec import Codec

_HOMES = frozenset({"datetime", "decimal", "uuid"})


def text_kind(cls: type) -> Codec | None:
    """Return the codec of a class that JSON holds as text, or of its base class."""
    if not any(base is bytes or base.__module__ in _HOMES for base in cls.__mro__):
        return None
    from edgeflow.values.texts import TEXTS  # noqa: PLC0415  costly, and not needed by everyone

    return next((TEXTS[base] for base in cls.__mro__ if base in TEXTS), None)
