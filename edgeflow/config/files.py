"""Finding the file, and reading it."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

OWN = "edgeflow.toml"
SHARED = "pyproject.toml"
TABLE = "[tool.edgeflow]"
"""Where our settings are in a pyproject.toml."""


def find(directory: str, home: str | None) -> Path | None:
    """Give the file of the nearest directory, from `directory` upwards.

    `directory` is an absolute path. The last directory to be looked into is one that
    holds `.git`, the `home` of the user (of normal case), or the root. A
    pyproject.toml without our table is passed by.

    Raises:
        ConfigError: if a directory has two files for us, or one cannot be read.
    """
    for here in _upwards(directory):
        own, shared = os.path.join(here, OWN), os.path.join(here, SHARED)  # noqa: PTH118  pathlib is slow, and slow to import
        has_own = _stamp(own) is not None
        has_shared = _mentions_us(shared) and load(_path(shared)) is not None
        if has_own and has_shared:
            raise ConfigError(
                f"{own} and {TABLE} in {shared} are both there: keep one of them"
            )
        if has_own or has_shared:
            return _path(own if has_own else shared)
        git = os.path.join(here, ".git")  # noqa: PTH118  likewise
        if os.path.normcase(here) == home or os.path.lexists(git):
            break
    return None


def _upwards(directory: str) -> Iterator[str]:
    while True:
        yield directory
        above = os.path.dirname(directory)  # noqa: PTH120  likewise
        if above == directory:
            return
        directory = above


def _mentions_us(shared: str) -> bool:
    """Tell whether there is such a file, and it is worth 5 ms of parsing."""
    stamp = _stamp(shared)
    return stamp is not None and _holds_our_name(shared, *stamp)


@lru_cache(maxsize=32)
def _holds_our_name(path: str, _modified: int, _size: int) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  likewise
            return b"edgeflow" in file.read()
    except OSError:
        return True  # who loads it says what is wrong with it


def _path(text: str) -> Path:
    from pathlib import Path  # noqa: PLC0415  only where there is a file

    return Path(text)


def load(path: Path) -> Mapping[str, Any] | None:
    """Read our settings from a file; None: it is a pyproject.toml without them.

    A file that has not changed (its time and size) is not read again.

    Raises:
        ConfigError: if it is missing or cannot be read, or is no TOML.
    """
    stamp = _stamp(str(path))
    if stamp is None:
        raise ConfigError(f"there is no file {path} to read the configuration from")
    content = _parsed(path, *stamp)
    tool = content.get("tool")
    if path.name != SHARED:
        if _is_table(tool):
            raise ConfigError(
                f"{path}: in this file leave tool.edgeflow out of the names of tables: "
                "[platform.aws-lambda]"
            )
        return content
    ours = cast("dict[str, Any]", tool).get("edgeflow") if _is_table(tool) else None
    if ours is not None and not _is_table(ours):
        raise ConfigError(f"{path}: {TABLE} has to be a table")
    return cast("Mapping[str, Any] | None", ours)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  likewise
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else None


@lru_cache(maxsize=32)
def _parsed(path: Path, _modified: int, _size: int) -> Mapping[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if path.name == SHARED and b"edgeflow" not in raw:
        return {}
    import tomllib  # noqa: PLC0415  only where there is a file

    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8, as TOML has to be: {error}") from error
    except tomllib.TOMLDecodeError as error:
        hint = ""
        if "overwrite" in str(error) and b"platform" in raw:
            hint = (
                '. If it has both platform = "…" and tables [platform.…]: say the '
                "former by EDGEFLOW_PLATFORM, or App(platform=…)"
            )
        raise ConfigError(f"{path} is no TOML: {error}{hint}") from error
