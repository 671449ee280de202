"""Finding a store by its URL: the scheme names an entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from edgeflow.store import Store

GROUP = "edgeflow.stores"
DEFAULT_URL = "sqlite:///edgeflow.db"


def store_from_url(url: str) -> Store:
    """Make the store that a URL names; nothing is opened yet.

    Raises:
        ConfigError: if the URL is no URL, or no installed package knows its scheme.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415  costs 10 ms

    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigError(
            f"{url!r} is no store URL: write sqlite:///path/to/file.db or memory:"
        )
    found = entry_points(group=GROUP, name=scheme)
    for point in found:
        store: Store = point.load().from_url(url)
        return store
    known = ", ".join(sorted({point.name for point in entry_points(group=GROUP)}))
    raise ConfigError(f"no installed store is called {scheme!r} (in {url!r}): {known}")
