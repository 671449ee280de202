"""Adapters, found by the entry points that installed packages announce.

Those that come along are listed here too, as pyproject.toml announces them, and
strangers are looked for in the files of the installed packages: importlib.metadata
costs 15 ms, and is asked only if that finds some, or cannot know.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PREFIX = "edgeflow."
"""Of the names of our groups."""
OWN = "edgeflow_durable-"
"""How the folder begins that says what this package announces."""
OURS: Mapping[str, Mapping[str, str]] = {
    "edgeflow.platforms": {
        "asgi": "edgeflow_asgi:AsgiPlatform",
        "aws-lambda": "edgeflow_lambda:LambdaPlatform",
        "azure-functions": "edgeflow_azure:AzurePlatform",
        "google": "edgeflow_google:GooglePlatform",
        "process": "edgeflow_process:ProcessPlatform",
        "vercel": "edgeflow_vercel:VercelPlatform",
    },
    "edgeflow.stores": {
        "dynamodb": "edgeflow_kv.dynamodb:DynamoKV",
        "files": "edgeflow_kv:FilesKV",
        "memory": "edgeflow_memory:MemoryStore",
        "nats": "edgeflow_kv.nats:NatsKV",
        "postgres": "edgeflow_postgres:PostgresStore",
        "postgresql": "edgeflow_postgres:PostgresStore",
        "redis": "edgeflow_kv.redis:RedisKV",
        "rediss": "edgeflow_kv.redis:RedisKV",
        "sqlite": "edgeflow_sqlite:SqliteStore",
    },
}
SIGNS: Mapping[str, tuple[str, ...]] = {
    "asgi": (),
    "aws-lambda": ("AWS_LAMBDA_RUNTIME_API",),
    "azure-functions": ("FUNCTIONS_WORKER_RUNTIME",),
    "google": ("K_SERVICE", "FUNCTION_TARGET"),
    "process": (),
    "vercel": ("VERCEL",),
}
"""Variables by which platforms of ours are recognized: without one, none need ask."""


class Own:
    """What we announce, as an entry point says it of others."""

    def __init__(self, value: str) -> None:
        """Be at `value`, "module:attribute"."""
        self.module, _, self.attr = value.partition(":")

    def load(self) -> Any:
        """Import it."""
        return getattr(import_module(self.module), self.attr)


Point: TypeAlias = "Own | EntryPoint"


class Installed(Mapping[str, Point]):
    """What is announced in a group, by name; strangers are looked for when needed."""

    def __init__(self, group: str) -> None:
        """Look for nothing yet."""
        self._group = group
        self._ours = OURS.get(group, {})

    def __getitem__(self, name: str) -> Point:
        ours = self._ours.get(name)
        return strangers(self._group)[name] if ours is None else Own(ours)

    def __iter__(self) -> Iterator[str]:
        yield from self._ours
        yield from (n for n in strangers(self._group) if n not in self._ours)

    def __len__(self) -> int:
        return len(self._ours.keys() | strangers(self._group).keys())


def package_of(point: Point) -> str:
    """Give the name of the package that announces something, as pip knows it."""
    if isinstance(point, Own):
        return "edgeflow-durable"
    return point.dist.name if point.dist else point.module


@cache
def installed(group: str) -> Mapping[str, Point]:
    """Give what is announced in a group, by name; nothing is imported yet."""
    return Installed(group)


@cache
def strangers(group: str) -> Mapping[str, EntryPoint]:
    """Give the entry points of a group by name, if others than we announce some."""
    if not may_be_there():
        return {}
    points = reversed(list(everything().select(group=group)))
    return {point.name: point for point in points}


@cache
def everything() -> Any:
    """Look through all packages, once for all groups."""
    from importlib.metadata import entry_points  # noqa: PLC0415  costly

    return entry_points()


@cache
def may_be_there() -> bool:
    """Tell whether a package but ours may announce something, by a look at its files.

    Yes also if there may be packages where importlib.metadata alone can look: in a
    zip file or an egg, or by a finder of its own.
    """
    finders = [finder for finder in sys.meta_path if finder is not PathFinder]
    if any(hasattr(finder, "find_distributions") for finder in finders):
        return True
    return any(map(_announces, sys.path))


def _announces(place: str) -> bool:
    place = os.fspath(place or ".")
    try:
        names = os.listdir(place)  # noqa: PTH208  pathlib is costly
    except NotADirectoryError:
        return True
    except OSError:  # it is not there, or not for us
        return False
    return place.endswith(".egg") or any(
        _says(f"{place}/{name}/entry_points.txt")
        for name in names
        if name.lower().endswith((".dist-info", ".egg-info"))
        and not name.startswith(OWN)
    )


def _says(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  likewise
            return f"[{PREFIX}" in file.read()
    except OSError:
        return False
