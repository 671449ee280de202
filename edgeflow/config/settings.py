"""What is in force, and where each value comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeflow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgeflow.config.keys import Key
    from edgeflow.config.sources import Sources

PASSWORDS = (
    r"(?<=://)([^:/@\s]*:).*(?=@)",
    r"(?i)(?<=[?&])(\w*(?:password|secret|token)\w*=)[^&]*",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, and where it comes from."""

    value: Any
    origin: str
    """Such as "default", "default of aws-lambda", "pyproject.toml [tool.edgeflow]",
    "edgeflow.toml [platform.aws-lambda]", "EDGEFLOW_GRACE" or "argument"."""


class Config(Mapping[str, Any]):
    """The values of all settings on a platform, by key."""

    def __init__(
        self,
        sources: Sources,
        known: Mapping[str, Key],
        settings: Mapping[str, Setting],
        strangers: tuple[str, ...] = (),
    ) -> None:
        """Hold what is in force; `settings` has each key of `known`."""
        self.sources = sources
        """What it was made of, besides arguments."""
        self.known = known
        self.settings = settings
        self.strangers = strangers
        """Variables called EDGEFLOW_… that no key explains."""

    @property
    def file(self) -> Path | None:
        """The file that was read; None: there is none."""
        return self.sources.file

    @property
    def arguments(self) -> dict[str, Any]:
        """What was given as arguments, but for the platform."""
        return {
            key: setting.value
            for key, setting in self.settings.items()
            if setting.origin == "argument" and key != "platform"
        }

    def __getitem__(self, key: str) -> Any:
        return self.settings[key].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.settings)

    def __len__(self) -> int:
        return len(self.settings)

    def shown(self, key: str) -> object:
        """Give a value that may be printed, as plain JSON.

        A secret is "(set)", a password in a URL is "***", and a store that was given
        as an object is the name of its class.
        """
        value = self[key]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if self.known[key].secret:
            return "(set)"
        if not isinstance(value, str):
            return f"({type(value).__name__})"
        for password in PASSWORDS:
            value = re.sub(password, r"\1***", value)
        return value

    def text(self, key: str) -> str:
        """Give a value as a person would write it into a file; "none" if there is none.

        What `shown` hides is hidden here too.
        """
        value = self.shown(key)
        if value is None or isinstance(value, str):
            return value or "none"
        return self.known[key].kind.show(value)
