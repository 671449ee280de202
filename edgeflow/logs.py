"""Loggers for users; structlog is imported when the first one is asked for."""

from __future__ import annotations

from typing import Any


def logger(**bound: object) -> Any:
    """Give a logger with these values bound."""
    import structlog  # noqa: PLC0415  costly, and not needed by everyone

    return structlog.get_logger("edgeflow", **bound)


class Silence:
    """A logger that says nothing: what a body gets while it is replayed."""

    def __getattr__(self, _name: str) -> Any:
        return self._nothing

    def _nothing(self, *_args: object, **_kwargs: object) -> Silence:
        return self
