"""What join and race have in common: branches that have names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from edgeflow.engine.ops.block import BlockOp, Branch, as_work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from edgeflow.engine.run import Run

T = TypeVar("T")


class NamedBlock(BlockOp[T]):
    """A block whose branches the body names."""

    __slots__ = ("errors", "names", "works")

    def __init__(self, run: Run, works: Mapping[str, Awaitable[Any]]) -> None:
        """Run these branches."""
        super().__init__(run, self.kind)
        self.works = {name: as_work(run, work) for name, work in works.items()}
        self.names: dict[Branch, str] = {}
        self.errors: dict[str, Exception] = {}

    def shape(self) -> list[str]:
        return list(self.works)

    def enter(self, run: Run) -> None:
        super().enter(run)
        for name, work in self.works.items():
            inner = self.inner.at(("branch", name, 0))
            self.names[self.start(inner, work)] = name

    def ordered(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Put what there is of each branch into the order of the branches."""
        return {name: found[name] for name in self.works if name in found}
