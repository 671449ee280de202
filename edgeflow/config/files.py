"""Finding the file, and reading it."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN = "edgeflow.toml"
SHARED = "pyproject.toml"
TABLE = "[tool.edgeflow]"
"""Where our settings are in a pyproject.toml."""


def find(directory: Path, home: Path | None) -> Path | None:
    """Give the file of the nearest directory, from `directory` upwards.

    The last directory to be looked into is one that holds `.git`, the `home` of the
    user, or the root. A pyproject.toml without our table is passed by.

    Raises:
        ConfigError: if a directory has two files for us, or one cannot be read.
    """
    for place in (directory, *directory.parents):
        here = str(place)
        own, shared = os.path.join(here, OWN), os.path.join(here, SHARED)  # noqa: PTH118  each App made looks, and a Path takes five times as long
        has_own = _stamp(own) is not None
        has_shared = _stamp(shared) is not None and load(Path(shared)) is not None
        if has_own and has_shared:
            raise ConfigError(
                f"{own} and {TABLE} in {shared} are both there: keep one of them"
            )
        if has_own or has_shared:
            return Path(own if has_own else shared)
        if place == home or os.path.lexists(os.path.join(here, ".git")):  # noqa: PTH118  likewise
            break
    return None


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
        return {}  # not worth 5 ms of parsing, at each start of most processes
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
