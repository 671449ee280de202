"""URLs of backends on a network, as all bindings read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSWORD = re.compile(r"(//[^/?#@:]*:)[^/?#]*@")


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a URL, unquoted; what is not there is empty."""

    shown: str
    """The URL without its password."""
    scheme: str
    user: str
    password: str
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
    except ValueError as error:
        raise ConfigError(f"store {shown!r}: {error}; write {form}") from error
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
    if unknown := sorted(options.keys() - {*names}):
        raise address.refused(f"no option {unknown[0]!r}; there are {', '.join(names)}")
    return address
