"""URLs of backends on a network, as all bindings read them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD = re.compile(r"(//[^/?#@:]*:).*@", re.DOTALL)
"""Up to the last @: signs such as / may be in it that should have been quoted."""
QUOTE = "signs such as / or @ in a user or password are written as %2F or %40"


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URL, unquoted; what is not there is empty."""

    shown: str
    """The URL without its password."""
    scheme: str
    user: str = field(repr=False)
    """In some backends it is a token."""
    password: str = field(repr=False)
    host: str
    port: int | None
    path: str
    options: Mapping[str, str]

    def refused(self, why: str) -> ConfigError:
        """Make the error that says what is wrong with the URL."""
        return ConfigError(f"store {self.shown!r}: {why}")

    def seconds(self, name: str, default: float) -> float:
        """Read an option that is a number of seconds above 0.

        Raises:
            ConfigError: if it is none.
        """
        text = self.options.get(name)
        try:
            value = default if text is None else float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise self.refused(f"{name}={text} is no number of seconds above 0")
        return value


def parse(url: str, form: str, *names: str) -> Address:
    """Split a URL that may have the named options.

    Raises:
        ConfigError: if it cannot be read, or has another option; shows the right form.
    """
    shown = PASSWORD.sub(r"\1***@", url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # it may have a part of the password in it
        why = f"its host or port cannot be read; write {form} ({QUOTE})"
        raise ConfigError(f"store {shown!r}: {why}") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    address = Address(
        shown=shown,
        scheme=parts.scheme,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=parts.hostname or "",
        port=port,
        path=unquote(parts.path.strip("/")),
        options=options,
    )
    unknown = sorted(options.keys() - {*names})
    if parts.fragment or any("@" in name for name in unknown):
        raise address.refused(f"write {form} ({QUOTE})")
    if unknown:
        raise address.refused(f"no option {unknown[0]!r}; there are {', '.join(names)}")
    return address
