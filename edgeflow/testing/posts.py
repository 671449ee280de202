"""Messages that a test sends when they are waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, repr=False)
class Post:
    """A message to an instance: it is sent once the instance waits for its name."""

    name: str
    body: Any = None
    """Plain JSON."""
    to: str | None = None
    """The receiver's id; None: the instance under test."""
    asks: bool = False
    """Whether an answer is expected: what the body replies is part of the result."""

    def __repr__(self) -> str:
        body = [] if self.body is None else [repr(self.body)]
        to = [] if self.to is None else [f"to={self.to!r}"]
        asks = ["asks=True"] if self.asks else []
        return f"Post({', '.join([repr(self.name), *body, *to, *asks])})"


Mail: TypeAlias = "Post | tuple[str, object]"
"""A `Post`, or just name and body."""


def posts(mail: Iterable[Mail]) -> tuple[Post, ...]:
    """Make each piece of mail a `Post`.

    Raises:
        TypeError: if it is neither that, nor a pair of name and body.
    """
    return tuple(map(_post, mail))


def _post(mail: Mail) -> Post:
    if isinstance(mail, Post):
        return mail
    given: Any = mail  # whatever its type is said to be
    if isinstance(given, str) or len(given) != 2:  # noqa: PLR2004  name and body
        raise TypeError(f"{mail!r} is neither a Post nor a pair of name and body")
    return Post(*given)
