"""A named block of a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.engine.scope import Scope, scope

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

    from edgeflow.engine.run import Run


class ScopeBlock:
    """`async with ctx.scope(name)`: names within it are its own."""

    __slots__ = ("_name", "_run", "_token")

    def __init__(self, run: Run, name: str) -> None:
        """Stand for a block that is entered once."""
        self._run = run
        self._name = name
        self._token: Token[Scope] | None = None

    async def __aenter__(self) -> None:
        self._run.check_open()
        outer = scope.get(self._run.root)
        self._token = scope.set(outer.inner("scope", self._name))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            scope.reset(self._token)
