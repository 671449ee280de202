"""What was read, once: a file and variables; then it is put together for a platform."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgeflow.config.keys import KEYS, Key
from edgeflow.config.settings import Config, Setting
from edgeflow.config.tables import (
    PREFIX,
    Table,
    of_arguments,
    of_variables,
    variable,
)
from edgeflow.late import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FILE = f"{PREFIX}CONFIG"
"""The variable that names the file."""
PLATFORM = "platform"
"""A key; in a file it may be the table of the platforms' tables instead."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read, once: a file and variables, not yet for a platform."""

    file: Path | None
    """None: there is none."""
    general: Table
    """What the file says for every platform."""
    platforms: Mapping[str, Table]
    """What it says for some platforms, by name."""
    variables: Mapping[str, str]
    """Those called EDGEFLOW_…, without those that are empty."""

    def platform(self, argument: str | None = None) -> Setting | None:
        """Give the name of the platform that was asked for; None: detect it.

        Raises:
            ConfigError: if it is no text.
        """
        given = of_arguments({PLATFORM: argument})
        for table in (given, of_variables(self.variables, [PLATFORM]), self.general):
            if PLATFORM in table.values:
                return table.read(PLATFORM, KEYS[PLATFORM])
        return None

    def config(
        self,
        platform: str,
        keys: Mapping[str, Key] = NOTHING,
        defaults: Mapping[str, Any] = NOTHING,
        arguments: Mapping[str, Any] = NOTHING,
    ) -> Config:
        """Put together what is in force on a platform.

        Args:
            platform: its name.
            keys: its own settings.
            defaults: what it changes of the general defaults.
            arguments: those of the App; one that is None is not given.

        Raises:
            ConfigError: if a key is unknown or a value is not allowed; names its
                place, the key, and what is allowed.
        """
        known = {**KEYS, **keys}
        settings = {k: Setting(key.default, "default") for k, key in known.items()}
        for key, default in defaults.items():
            known[key] = replace(known[key], default=default)
            settings[key] = Setting(default, f"default of {platform}")
        if arguments.get(PLATFORM) is not None:
            arguments = {**arguments, PLATFORM: platform}
        self._check_names(platform, keys)
        for table in self._tables(platform, known, arguments):
            settings |= {key: table.read(key, known[key]) for key in table.values}
        if settings[PLATFORM].value != platform:
            settings[PLATFORM] = Setting(platform, "detected")
        return Config(self, known, settings, self._strangers(known))

    def _check_names(self, platform: str, keys: Mapping[str, Key]) -> None:
        """Refuse unknown keys; what other platforms have of their own is not known."""
        belongs = f", but one of this platform: it belongs in its table {PLATFORM}."
        self.general.check_names(KEYS, dict.fromkeys(keys, f"{belongs}{platform}"))
        if platform in self.platforms:
            allowed = [key for key in (*KEYS, *keys) if key != PLATFORM]
            self.platforms[platform].check_names(allowed)

    def _tables(
        self, platform: str, known: Mapping[str, Key], arguments: Mapping[str, Any]
    ) -> Iterator[Table]:
        """Yield what is given, each of more weight than those before."""
        given = of_arguments(arguments)
        given.check_names(known)
        yield self.general
        if platform in self.platforms:
            yield self.platforms[platform]
        yield of_variables(self.variables, known)
        yield given

    def _strangers(self, known: Mapping[str, Key]) -> tuple[str, ...]:
        explained = {variable(key) for key in known} | {FILE}
        return tuple(sorted(self.variables.keys() - explained))
