"""Choosing the platform: as configured, else as the environment shows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError
from edgeflow.late import dataclass
from edgeflow.plugins import SIGNS, installed, package_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow.config import Config, Sources
    from edgeflow.platform import Platform

GROUP = "edgeflow.platforms"
FALLBACK = "process"


@dataclass(frozen=True, slots=True)
class Choice:
    """A platform, and what it was chosen by."""

    platform: Platform
    why: str
    """Such as "argument", "EDGEFLOW_PLATFORM" or "AWS_LAMBDA_RUNTIME_API is set"."""


@cache
def platform_named(name: str) -> Platform:
    """Give the platform of this name.

    Raises:
        ConfigError: if no installed package announces it, or that cannot be loaded.
    """
    found = installed(GROUP)
    if name not in found:
        known = ", ".join(sorted(found))
        raise ConfigError(f"no installed platform is called {name!r}: {known}")
    point = found[name]
    try:
        platform: Platform = point.load()()
    except Exception as error:  # a package of others, perhaps half installed
        raise ConfigError(
            f"platform {name!r} of the package {package_of(point)} cannot be loaded: "
            f"{type(error).__name__}: {error}. Mend or remove that package, or say "
            "which platform this is, by EDGEFLOW_PLATFORM or App(platform=...)"
        ) from error
    return platform


def choose(
    sources: Sources,
    environ: Mapping[str, str],
    argument: str | Platform | None = None,
) -> Choice:
    """Choose the platform: by argument, variable or file; else by what is detected.

    Raises:
        ConfigError: if the one asked for is not installed, or two are detected, or
            one that might be detected cannot be loaded.
    """
    if argument is not None and not isinstance(argument, str):
        return Choice(argument, "argument")
    asked = sources.platform(argument)
    if asked is not None:
        return Choice(platform_named(asked.value), asked.origin)
    names = [n for n in sorted(installed(GROUP)) if _may_be(n, environ)]
    found = [
        Choice(platform, reason)
        for platform in map(platform_named, names)
        if (reason := platform.detect(environ)) is not None
    ]
    if len(found) > 1:
        reasons = " and ".join(f"{c.platform.name} ({c.why})" for c in found)
        raise ConfigError(
            f"the environment looks like {reasons}: say which, by EDGEFLOW_PLATFORM or "
            "App(platform=...)"
        )
    if found:
        return found[0]
    return Choice(platform_named(FALLBACK), "nothing else was detected")


def _may_be(name: str, environ: Mapping[str, str]) -> bool:
    """Tell whether a platform has to be asked, for which it has to be loaded."""
    signs = SIGNS.get(name)
    return name != FALLBACK and (signs is None or any(s in environ for s in signs))


def configure(
    sources: Sources, choice: Choice, arguments: Mapping[str, Any] | None = None
) -> Config:
    """Put the settings together that are in force on the platform chosen.

    Raises:
        ConfigError: if a setting is unknown or bad, or two contradict each other.
    """
    platform = choice.platform
    defaults = {"grace": platform.grace, "margin": platform.margin}
    config = sources.config(platform.name, platform.keys, defaults, arguments or {})
    longest, margin = config["max_run"], config["margin"]
    if longest is not None and longest <= margin:
        raise ConfigError(
            f"max_run = {config.text('max_run')} ({config.settings['max_run'].origin}) "
            f"is not above margin = {config.text('margin')}: each run would be "
            "suspended at once"
        )
    return config
