"""`sqlite:///relative.db`, `sqlite:////absolute.db`, `?synchronous=normal`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = "sqlite:///"
_ALLOWED = "synchronous=full|normal and busy_timeout=<seconds>"


class Options(TypedDict, total=False):
    """What the query of a URL may set."""

    synchronous: str
    busy_timeout: float


def parse(url: str) -> tuple[str, Options]:
    """Split a URL into path and options.

    Raises:
        ConfigError: if it has no path, or an option is unknown or bad.
    """
    path, _, query = url.removeprefix(_PREFIX).partition("?")
    if not url.startswith(_PREFIX) or not path:
        raise ConfigError(
            f"store {url!r}: write sqlite:///relative.db or sqlite:////absolute.db"
        )
    options: Options = {}
    path, pairs = _unquoted(path, query)
    for key, value in pairs:
        if key == "synchronous":
            options["synchronous"] = value
        elif key == "busy_timeout":
            options["busy_timeout"] = _seconds(url, value)
        else:
            raise ConfigError(f"store {url!r}: no option {key!r}; there are {_ALLOWED}")
    return path, options


def _unquoted(path: str, query: str) -> tuple[str, Sequence[Sequence[str]]]:
    """Give the path, and the names and values of the query."""
    if "%" not in path + query and "+" not in query:
        items = [item.partition("=") for item in query.split("&") if item]
        return path, [(name, value) for name, _, value in items]
    # A cold start has better things to do, so not for a plain URL.
    from urllib.parse import parse_qsl, unquote  # noqa: PLC0415  as above

    return unquote(path), parse_qsl(query, keep_blank_values=True)


def _seconds(url: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(
            f"store {url!r}: busy_timeout is {value!r}; there are {_ALLOWED}"
        ) from None
