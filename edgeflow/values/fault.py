"""Why a value is refused, in words that a user can act on."""

from __future__ import annotations

from inspect import isawaitable

MAX_DEPTH = 128
"""Containers within containers, of one value; it also bounds our own recursion."""

_SHOWN = 6
"""Parts of a path that are shown at either end."""


class Fault(Exception):
    """Raised inside a conversion; each container adds its part of the path."""

    def __init__(self, why: str) -> None:
        """Start with an empty path."""
        super().__init__(why)
        self.why = why
        self.parts: list[str] = []

    def at(self, part: str | int) -> None:
        """Say which item or field of the enclosing container this happened in."""
        self.parts.append(step(part))

    def inside(self, text: str) -> None:
        """Add a part that is already written as a path: `.items[3]`, `[*]`."""
        self.parts.append(text)

    @property
    def path(self) -> str:
        """The place in the value, from its root: `$.items[3].price`."""
        parts = self.parts[::-1]
        if len(parts) > 2 * _SHOWN:
            parts[_SHOWN:-_SHOWN] = ["…"]
        return "".join(["$", *parts])


def step(part: str | int) -> str:
    """Return one step of a path."""
    if isinstance(part, str) and part.isidentifier():
        return f".{part}"
    return f"[{part!r}]"


def kind(value: object) -> str:
    """Name the type of a value; never show the value, which may be a secret."""
    if value is None:
        return "None"
    cls = type(value)
    if cls.__module__ == "builtins":
        name = getattr(value, "__qualname__", None)
        return f"{cls.__name__} {name}" if name else cls.__name__
    return f"{cls.__module__}.{cls.__qualname__}"


def mismatch(expected: str, value: object) -> Fault:
    """Say that the value does not fit its annotation, or its JSON."""
    return Fault(f"expected {expected}, found {kind(value)}")


def formless(value: object) -> Fault:
    """Say that nothing of this type has a JSON form."""
    return Fault(f"found {kind(value)}, which has no JSON form; {_advice(value)}")


def too_deep() -> Fault:
    """Say that the value is cyclic, or as good as that."""
    return Fault(
        f"nested deeper than {MAX_DEPTH} levels, or it contains itself; "
        "flatten it, or refer to the parts by an id"
    )


def _advice(value: object) -> str:
    if isawaitable(value):
        return "await it first"
    if hasattr(value, "fileno"):
        return "give its path or its content"
    if hasattr(value, "__next__"):
        return "make it a list"
    if callable(value):
        return "give its name or its result"
    return "give plain data, or a dataclass of plain data"
