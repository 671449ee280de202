"""Finding a store by its URL: the scheme names an entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.errors import ConfigError
from edgeflow.plugins import installed

if TYPE_CHECKING:
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
    found = installed(GROUP)
    if scheme not in found:
        known = ", ".join(sorted(found))
        raise ConfigError(
            f"no installed store is called {scheme!r}, as the URL wants: {known}"
        )
    store: Store = found[scheme].load().from_url(url)
    return store


def placed(store: Store | str) -> Store:
    """Give a store, or make the one that a URL names.

    Raises:
        ConfigError: as `store_from_url`.
    """
    return store_from_url(store) if isinstance(store, str) else store
