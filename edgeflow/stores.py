"""Finding a store by its URL: the scheme names an entry point."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from edgeflow.store import Store

GROUP = "edgeflow.stores"
DEFAULT_URL = "sqlite:///edgeflow.db"


def store_from_url(url: str) -> Store:
    """Make the store that a URL names; nothing is opened yet.

    Raises:
        ConfigError: if the URL is no URL, or no installed package knows its scheme.
    """
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigError(
            f"{url!r} is no store URL: write sqlite:///path/to/file.db or memory:"
        )
    found = _installed()
    if scheme not in found:
        known = ", ".join(sorted(found))
        raise ConfigError(
            f"no installed store is called {scheme!r} (in {url!r}): {known}"
        )
    store: Store = found[scheme].load().from_url(url)
    return store


@cache
def _installed() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415  costs 10 ms

    return {point.name: point for point in reversed(list(entry_points(group=GROUP)))}
