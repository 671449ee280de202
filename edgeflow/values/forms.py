"""The JSON that a codec can give, as far as unions need it to tell members apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from edgeflow.values.wire import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeflow.values.wire import Json

NoneType = type(None)
KINDS = (NoneType, bool, int, float, str, list, dict)
"""The run-time types of plain JSON values."""

_APART = frozenset({"date", "datetime", "time", "timedelta", "Decimal", "UUID"})
"""Texts of which none can be another's: by their hyphens, colons and letters."""


class Anything:
    """Any plain value."""

    __slots__ = ()

    def kinds(self) -> tuple[type, ...]:
        """Return the types of JSON values among these."""
        return KINDS

    def matches(self, value: Json) -> bool:
        """Say whether the value is one of these exactly."""
        del value
        return True


class Whole:
    """All values of one kind; of no kind if None."""

    __slots__ = ("kind",)

    def __init__(self, kind: type | None) -> None:
        self.kind = kind

    def kinds(self) -> tuple[type, ...]:
        """As in Anything."""
        return () if self.kind is None else (self.kind,)

    def matches(self, value: Json) -> bool:
        """As in Anything."""
        return type(value) is self.kind


class Text:
    """Texts of one format; `canonical` says whether `encode` would write it so."""

    __slots__ = ("canonical", "format")

    def __init__(self, format: str, canonical: Callable[[str], bool]) -> None:
        self.format = format
        self.canonical = canonical

    def kinds(self) -> tuple[type, ...]:
        """As in Anything."""
        return (str,)

    def matches(self, value: Json) -> bool:
        """As in Anything."""
        return type(value) is str and self.canonical(value)


class Values:
    """Some values, by their keys."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[object, Json]) -> None:
        self.values = values

    def kinds(self) -> tuple[type, ...]:
        """As in Anything."""
        return tuple({type(value) for value in self.values.values()})

    def matches(self, value: Json) -> bool:
        """As in Anything."""
        return key_of(value) in self.values


class Array:
    """Arrays of any length with one form of item, or of fixed length."""

    __slots__ = ("container", "fixed", "items")

    def __init__(
        self, container: type, items: tuple[Form, ...], *, fixed: bool = False
    ) -> None:
        self.container = container
        self.items = items
        self.fixed = fixed

    def kinds(self) -> tuple[type, ...]:
        """As in Anything."""
        return (list,)

    def matches(self, value: Json) -> bool:
        """As in Anything."""
        if type(value) is not list:
            return False
        if self.fixed:
            return len(value) == len(self.items) and all(
                form.matches(item) for form, item in zip(self.items, value, strict=True)
            )
        return all(map(self.items[0].matches, value))


class Table:
    """Objects with any keys."""

    __slots__ = ("key", "value")

    def __init__(self, key: Form, value: Form) -> None:
        self.key = key
        self.value = value

    def kinds(self) -> tuple[type, ...]:
        """As in Anything."""
        return (dict,)

    def matches(self, value: Json) -> bool:
        """As in Anything."""
        return (
            type(value) is dict
            and all(map(self.key.matches, value))
            and all(map(self.value.matches, value.values()))
        )


class Record:
    """Objects with known keys; `tags` are those with few possible values."""

    __slots__ = ("known", "required", "tags")

    def __init__(
        self,
        required: frozenset[str],
        known: frozenset[str],
        tags: Mapping[str, Form],
    ) -> None:
        self.required = required
        self.known = known
        self.tags = tags

    def kinds(self) -> tuple[type, ...]:
        """As in Anything."""
        return (dict,)

    def matches(self, value: Json) -> bool:
        """As in Anything."""
        if type(value) is not dict:
            return False
        keys = value.keys()
        return (
            keys >= self.required
            and keys <= self.known
            and all(form.matches(value[name]) for name, form in self.tags.items())
        )


class Choice:
    """What any of several forms can be."""

    __slots__ = ("forms",)

    def __init__(self, forms: list[Form]) -> None:
        self.forms = forms

    def kinds(self) -> tuple[type, ...]:
        """As in Anything."""
        return tuple({kind for form in self.forms for kind in form.kinds()})

    def matches(self, value: Json) -> bool:
        """As in Anything."""
        return any(form.matches(value) for form in self.forms)


class Later:
    """The form of a type that is being built, and refers to itself."""

    __slots__ = ("get",)

    def __init__(self, get: Callable[[], Form]) -> None:
        self.get = get

    def kinds(self) -> tuple[type, ...]:
        """As in Anything."""
        return self.get().kinds()

    def matches(self, value: Json) -> bool:
        """As in Anything."""
        return self.get().matches(value)


Form: TypeAlias = (
    Anything | Whole | Text | Values | Array | Table | Record | Choice | Later
)


def key_of(value: Json) -> object:
    """Return something hashable that equal values of one kind share, and no others."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return dumps(value)
    return type(value), value


def overlap(one: Form, other: Form, seen: frozenset[int] = frozenset()) -> bool:
    """Say whether some JSON may be of both forms; True if that cannot be ruled out.

    Empty arrays and objects do not count if they come back as the same type.
    """
    if isinstance(one, Later):
        return id(one) in seen or overlap(one.get(), other, seen | {id(one)})
    if isinstance(one, Choice):
        return any(overlap(form, other, seen) for form in one.forms)
    if isinstance(one, Values):
        return any(map(other.matches, one.values.values()))
    if isinstance(other, Later | Choice | Values):
        return overlap(other, one, seen)
    if set(one.kinds()).isdisjoint(other.kinds()):
        return False
    return _same_kind(one, other, seen)


def _same_kind(one: Form, other: Form, seen: frozenset[int]) -> bool:
    match one, other:
        case Text(), Text():
            return not (
                one.format != other.format and {one.format, other.format} <= _APART
            )
        case Array(), Array():
            return _arrays(one, other, seen)
        case Table(), Table():
            return overlap(one.key, other.key, seen) and overlap(
                one.value, other.value, seen
            )
        case Record(), Record():
            return _records(one, other)
        case _:
            return True


def _arrays(one: Array, other: Array, seen: frozenset[int]) -> bool:
    if one.fixed and other.fixed:
        return len(one.items) == len(other.items) and all(
            overlap(a, b, seen) for a, b in zip(one.items, other.items, strict=True)
        )
    if one.fixed or other.fixed:
        return all(overlap(a, b, seen) for a in one.items for b in other.items)
    if one.container is not other.container:
        return True
    return overlap(one.items[0], other.items[0], seen)


def _records(one: Record, other: Record) -> bool:
    if not (one.required <= other.known and other.required <= one.known):
        return False
    shared = one.tags.keys() & other.tags.keys()
    return all(overlap(one.tags[name], other.tags[name]) for name in shared)
