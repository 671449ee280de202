"""Where in a body an operation stands: scopes, names and ordinals.

The identity of an entry is (scope, name, ordinal). As a key it is one flat
tuple (name, ordinal, name, ordinal, …), outermost first; as a path, a list of
[kind, name, ordinal] that the journal keeps and people read.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

from edgeflow.errors import DefinitionError

if TYPE_CHECKING:
    from random import Random

Key: TypeAlias = tuple[str | int, ...]
Segment: TypeAlias = tuple[str, str, int | str]
Path: TypeAlias = tuple[Segment, ...]


class Scope:
    """A block of a body; counts the names used in it."""

    __slots__ = (
        "_closed",
        "_counts",
        "_outer",
        "_random",
        "key",
        "path",
        "seed",
        "since",
    )

    def __init__(self, path: Path, seed: str, outer: Scope | None = None) -> None:
        """Make a scope at `path`; `seed` is the instance's own."""
        self._outer = outer
        self._closed = False
        self.since: float = 0.0 if outer is None else outer.since
        """When it began, in s since the epoch, if that is not the time of the body."""
        self.path = path
        self.key = key_of(path)
        self.seed = seed
        self._counts: dict[str, int] = {}
        self._random: Random | None = None

    def take(self, name: str) -> int:
        """Give the ordinal of this use of a name, from 0 on."""
        ordinal = self._counts.get(name, 0)
        self._counts[name] = ordinal + 1
        return ordinal

    def used(self, name: str) -> int:
        """Tell how often a name was used."""
        return self._counts.get(name, 0)

    def inner(self, kind: str, name: str) -> Scope:
        """Open a scope within this one."""
        return self.at((kind, name, self.take(name)))

    def at(self, segment: Segment) -> Scope:
        """Open the scope within this one that this segment names."""
        return Scope((*self.path, segment), self.seed, self)

    def close(self) -> None:
        """Refuse what is still done in it: it was cancelled."""
        self._closed = True

    @property
    def is_closed(self) -> bool:
        """Whether it, or one around it, was cancelled."""
        return self._closed or (self._outer is not None and self._outer.is_closed)

    @property
    def random(self) -> Random:
        """Give a generator that is the same on every replay of this scope."""
        if self._random is None:
            from random import Random  # noqa: PLC0415  costly

            self._random = Random(f"{self.seed}{self.key}")  # noqa: S311  to be repeatable is the point
        return self._random


scope: ContextVar[Scope] = ContextVar("edgeflow.scope")
"""The scope that the current task of a body is in."""


def key_of(path: Path) -> Key:
    """Give the identity of a path: without the kinds."""
    return tuple(part for _, name, ordinal in path for part in (name, ordinal))


def show(path: Path) -> str:
    """Write a path for people: `pay[0] > charge[1]`."""
    return " > ".join(f"{name}[{ordinal}]" for _, name, ordinal in path) or "the root"


def stable_id(*parts: object) -> str:
    """Give an id that is the same in every process and differs for other parts."""
    from hashlib import sha256  # noqa: PLC0415  costly

    return sha256(repr(parts).encode()).hexdigest()[:32]


def checked_name(name: object, what: str) -> str:
    """Refuse a name that cannot be stored.

    Raises:
        DefinitionError: if it is no string, empty, or holds NUL or a lone surrogate.
    """
    if not isinstance(name, str) or not name:
        raise DefinitionError(f"the name of {what} must be a string, not {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DefinitionError(f"the name of {what} is no valid text: {error}") from None
    if "\0" in name:
        raise DefinitionError(f"the name of {what} holds NUL: {name!r}")
    return name


MAX_ID = 255


def checked_message(name: object, what: str = "a message") -> str:
    """Refuse the name, or id, of a message that users cannot send.

    Raises:
        DefinitionError: if it cannot be stored, or is edgeflow's own.
    """
    found = checked_name(name, what)
    if found.startswith("~"):
        raise DefinitionError(f"{what} must not start with '~': {found!r}")
    return found


def checked_id(instance: object) -> str:
    """Refuse an id that a store cannot hold.

    Raises:
        DefinitionError: if it is no string, empty, too long, or edgeflow's own.
    """
    found = checked_name(instance, "an instance")
    if len(found) > MAX_ID:
        raise DefinitionError(
            f"an id has {MAX_ID} characters at most, not {len(found)}"
        )
    if found.startswith("~"):
        raise DefinitionError(f"ids that start with '~' are edgeflow's own: {found!r}")
    return found
