"""Messages that a test sends when they are waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Post:
    """A message to an instance: it is sent once the instance waits for its name."""

    name: str
    body: Any = None
    """Plain JSON."""
    to: str | None = None
    """The receiver's id; None: the instance under test."""
    asks: bool = False
    """Whether an answer is expected: what the body replies is part of the result."""


Mail: TypeAlias = "Post | tuple[str, object]"
"""A `Post`, or just name and body."""


def posts(mail: Iterable[Mail]) -> tuple[Post, ...]:
    """Make each piece of mail a `Post`."""
    return tuple(each if isinstance(each, Post) else Post(*each) for each in mail)
