"""Settings as they were found in one place, before they are put together."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgeflow.config.settings import Setting
from edgeflow.errors import ConfigError
from edgeflow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgeflow.config.keys import Key

PREFIX = "EDGEFLOW_"
NO_HINTS: Mapping[str, str] = MappingProxyType({})
LONGEST = 60
"""Characters of a bad value that an error repeats."""


@dataclass(frozen=True, slots=True)
class Table:
    """Some settings, by key; their values are not read yet."""

    values: Mapping[str, Any]
    called: Callable[[str], str]
    """What an error calls a key of it: its place, and the key."""
    origin: Callable[[str], str]
    """What `Setting.origin` says of a key of it."""

    def check_names(
        self, allowed: Iterable[str], hints: Mapping[str, str] = NO_HINTS
    ) -> None:
        """Refuse keys that are not allowed here; `hints` knows where some belong.

        Raises:
            ConfigError: if there is one; names it, its place, and all that are allowed.
        """
        names = list(allowed)
        for key in self.values:
            if key not in names:
                hint = hints.get(key) or _nearest(key, names)
                raise ConfigError(
                    f"{self.called(key)} is no setting{hint}; allowed here: "
                    f"{', '.join(names)}"
                )

    def read(self, key: str, meaning: Key) -> Setting:
        """Read the value of a key that is there.

        Raises:
            ConfigError: if it is not allowed; names its place, and what is.
        """
        value = self.values[key]
        try:
            return Setting(meaning.kind.read(value), self.origin(key))
        except ValueError:
            is_given = "" if meaning.secret else f" = {_cut(repr(value))}"
            raise ConfigError(
                f"{self.called(key)}{is_given} is not allowed: "
                f"it has to be {meaning.kind.allowed}"
            ) from None  # the cause would show a secret


def of_file(values: Mapping[str, Any], place: str, name: str, header: str) -> Table:
    """Make a table of a file, or of a mapping in its place.

    `place` is the file for an error, `name` in short, `header` the line of the table.
    """
    where, origin = f"{place} {header}".rstrip(), f"{name} {header}".rstrip()
    return Table(values, lambda key: f"{where}: {key}", lambda _: origin)


def of_variables(variables: Mapping[str, str], known: Iterable[str]) -> Table:
    """Make a table of the variables for the keys that are known."""
    names = {key: variable(key) for key in known}
    found = {k: variables[name] for k, name in names.items() if name in variables}
    return Table(found, variable, variable)


def of_arguments(given: Mapping[str, Any]) -> Table:
    """Make a table of arguments, without those that are None."""
    found = {key: value for key, value in given.items() if value is not None}
    return Table(found, lambda key: f"argument {key}", lambda _: "argument")


def variable(key: str) -> str:
    """Give the name of the variable that sets a key."""
    return f"{PREFIX}{key.upper()}"


def _nearest(key: str, names: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  only in trouble

    near = get_close_matches(key, names)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
