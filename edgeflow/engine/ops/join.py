"""`ctx.join`: named branches at once, and all of their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgeflow.engine.ops.named import NamedBlock
from edgeflow.errors import JoinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from edgeflow.engine.ops.block import Branch
    from edgeflow.engine.run import Run


class JoinOp(NamedBlock[dict[str, Any]]):
    """Waits for all of its branches, whatever becomes of each."""

    kind: ClassVar[str] = "join"

    __slots__ = ("results",)

    def __init__(self, run: Run, works: Mapping[str, Awaitable[Any]]) -> None:
        """Run these branches."""
        super().__init__(run, works)
        self.results: dict[str, Any] = {}

    def ended(self, branch: Branch, error: Exception | None) -> None:
        name = self.names[branch]
        if error is None:
            self.results[name] = branch.task.result()
        else:
            self.errors[name] = error
        if len(self.results) + len(self.errors) < len(self.works):
            return
        if self.errors:
            self.fail(JoinError(self.ordered(self.errors)))
        else:
            self.finish(self.ordered(self.results))

    def outcome(self, data: dict[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = data["value"]
        return value
