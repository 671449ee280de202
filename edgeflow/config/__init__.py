"""Configuration: what may be set, where, and what is in force.

    argument             App(grace=5)
    variable             EDGEFLOW_GRACE=5
    table of a platform  [tool.edgeflow.platform.aws-lambda]
    general table        [tool.edgeflow] in pyproject.toml, or edgeflow.toml
    platform's default
    default

The upper one wins. Nothing here reads the environment or the current directory by
itself: who asks gives both.

Arrows: this package knows `edgeflow.errors` and the standard library.
"""

from __future__ import annotations

from edgeflow.config.keys import KEYS, Key
from edgeflow.config.kinds import (
    BYTES,
    COUNT,
    FLAG,
    NUMBER,
    PATH,
    POSITIVE_SECONDS,
    SECONDS,
    TEXT,
    Kind,
    choice,
)
from edgeflow.config.reading import sources
from edgeflow.config.settings import Config, Setting
from edgeflow.config.sources import Sources

__all__ = [
    "BYTES",
    "COUNT",
    "FLAG",
    "KEYS",
    "NUMBER",
    "PATH",
    "POSITIVE_SECONDS",
    "SECONDS",
    "TEXT",
    "Config",
    "Key",
    "Kind",
    "Setting",
    "Sources",
    "choice",
    "sources",
]
