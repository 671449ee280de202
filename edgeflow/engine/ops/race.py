"""`ctx.race`: named branches at once; the first success wins, the others end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgeflow.engine.ops.named import NamedBlock
from edgeflow.errors import RaceError
from edgeflow.late import dataclass

if TYPE_CHECKING:
    from edgeflow.engine.ops.block import Branch


@dataclass(frozen=True, slots=True)
class Winner:
    """The branch of a race that succeeded first."""

    name: str
    value: Any


class RaceOp(NamedBlock[Winner]):
    """Waits for the first success, or for the failure of all."""

    kind: ClassVar[str] = "race"

    __slots__ = ()

    def ended(self, branch: Branch, error: Exception | None) -> None:
        name = self.names[branch]
        if error is None:
            self.finish(Winner(name, branch.task.result()))
            return
        self.errors[name] = error
        if len(self.errors) == len(self.works):
            self.fail(RaceError(self.ordered(self.errors)))

    def plain(self, value: Winner) -> dict[str, Any]:
        return {"name": value.name, "value": value.value}

    def outcome(self, data: dict[str, Any]) -> Winner:
        return Winner(**data["value"])
