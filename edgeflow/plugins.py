"""Adapters, found by the entry points that installed packages announce."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint


@cache
def installed(group: str) -> Mapping[str, EntryPoint]:
    """Give the entry points of a group by name; nothing is imported yet."""
    return {point.name: point for point in reversed(list(_all().select(group=group)))}


@cache
def _all() -> Any:
    """Look through all packages, once for all groups."""
    from importlib.metadata import entry_points  # noqa: PLC0415  costs 10 ms

    return entry_points()
