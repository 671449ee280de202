"""Reading what there is: the file, or what stands in its place, and the variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from edgeflow.config.files import SHARED, find, load
from edgeflow.config.sources import FILE, NOTHING, PLATFORM, Sources
from edgeflow.config.tables import PREFIX, Table, of_file
from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def sources(
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str],
    directory: str | os.PathLike[str],
) -> Sources:
    """Read what there is.

    Args:
        config: a file, or what would be in an edgeflow.toml; default: the file that
            EDGEFLOW_CONFIG names, else that of the nearest directory with one.
        environ: the environment variables. An empty one is as if it were not there.
        directory: an absolute path: where the search begins, upwards, and what the
            name of a file is relative to.

    Raises:
        ConfigError: if a file is missing, cannot be read or is no TOML, or if one
            directory has two; names it, and the line if there is one.
    """
    variables = {k: v for k, v in environ.items() if k.startswith(PREFIX) and v.strip()}
    if isinstance(config, Mapping):
        return _sources(None, config, variables)
    named = config or variables.get(FILE)
    if named:
        file = _file(directory, named)
        content = load(file)
        if content is None:
            raise ConfigError(f"{file} has no table [tool.edgeflow]")
        return _sources(file, content, variables)
    home = environ.get("HOME") or environ.get("USERPROFILE")
    home = home and os.path.normcase(os.path.normpath(home))
    found = find(os.fspath(directory), home)
    return _sources(found, (found and load(found)) or NOTHING, variables)


def _file(directory: str | os.PathLike[str], named: str | os.PathLike[str]) -> Path:
    from pathlib import Path  # noqa: PLC0415  costly, and seldom needed

    return Path(directory) / named


def _sources(
    file: Path | None, content: Mapping[str, Any], variables: Mapping[str, str]
) -> Sources:
    place, name = (str(file), file.name) if file else ("argument config", "config")
    shared = name == SHARED
    general = dict(content)
    tables: Mapping[str, Table] = {}
    if isinstance(content.get(PLATFORM), Mapping):
        prefix = f"tool.edgeflow.{PLATFORM}" if shared else PLATFORM
        tables = {
            platform: _table(values, place, name, f"[{prefix}.{platform}]")
            for platform, values in general.pop(PLATFORM).items()
        }
    header = "[tool.edgeflow]" if shared else ""
    return Sources(file, of_file(general, place, name, header), tables, variables)


def _table(values: object, place: str, name: str, header: str) -> Table:
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{place}: {header[1:-1]} has to be a table with settings for a platform"
        )
    return of_file(cast("Mapping[str, Any]", values), place, name, header)
