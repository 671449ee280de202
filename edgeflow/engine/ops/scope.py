"""A named block of a body."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from edgeflow.engine.operation import Operation
from edgeflow.engine.ops.instant import InstantOp
from edgeflow.engine.scope import Scope, scope

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

    from edgeflow.engine.run import Run


class ScopeOp(InstantOp):
    """The end of a named block: it vouches for what is recorded in it."""

    kind: ClassVar[str] = "scope"

    __slots__ = ()

    def act(self, run: Run) -> None:
        pass


class ScopeBlock:
    """`async with ctx.scope(name)`: names within it are its own."""

    __slots__ = ("_inner", "_name", "_run", "_token")

    def __init__(self, run: Run, name: str) -> None:
        """Stand for a block that is entered once."""
        self._run = run
        self._name = name
        self._inner: Scope | None = None
        self._token: Token[Scope] | None = None

    async def __aenter__(self) -> None:
        self._run.check_open()
        self._inner = scope.get(self._run.root).inner("scope", self._name)
        self._token = scope.set(self._inner)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is None or self._inner is None:
            return
        scope.reset(self._token)
        if error is None or isinstance(error, Exception):
            run, name, path = self._run, self._name, self._inner.path
            await Operation(run, name, lambda: ScopeOp(run, name, path))
