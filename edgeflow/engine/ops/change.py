"""Words for changed code: which version an instance follows, and what is no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from edgeflow.engine.operation import Op, Operation
from edgeflow.engine.scope import scope, show
from edgeflow.errors import HistoryDiverged

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from edgeflow.engine.run import Run
    from edgeflow.engine.scope import Key

FIRST = 1
"""The version of code that was there before its gate."""


class VersionOp(Op[int]):
    """A gate: it pins which code an instance follows from here on."""

    kind: ClassVar[str] = "version"

    __slots__ = ("latest",)

    def __init__(self, run: Run, name: str, latest: int) -> None:
        """Stand at the gate; older code that passed here is known at once."""
        super().__init__(run, name)
        self.latest = latest
        if self.key not in run.journal.entries and _was_passed(run):
            self.future.set_result(FIRST)

    def begin(self, run: Run) -> None:
        run.complete(self, value=self.latest)

    def abandon(self, run: Run) -> None:
        """Leave a trace, or a replay takes it for one that older code has passed."""
        if self.future.cancelled() and self.key not in run.journal.entries:
            run.journal.record(self.path, "cancelled", key=self.key, completion=False)

    def outcome(self, data: dict[str, Any]) -> int:
        """Give the version that was pinned.

        Raises:
            HistoryDiverged: if newer code pinned it, and this is an older one (S29).
        """
        pinned = int(data["value"])
        if pinned > self.latest:
            raise HistoryDiverged(
                show(self.path), f"version {pinned}", f"version {self.latest} at most"
            )
        return pinned


def _was_passed(run: Run) -> bool:
    """Tell whether the history goes on, in the current scope, where the body is now."""
    where = scope.get(run.root)
    if run.recorded_names is None:
        run.recorded_names = _names_by_scope(run.journal.entries)
    names = run.recorded_names.get(where.key, {})
    return any(
        last >= where.used(name)
        for name, last in names.items()
        if (*where.key, name) not in run.removed
    )


def _names_by_scope(keys: Iterable[Key]) -> dict[Key, dict[str, int]]:
    """Give the highest ordinal of each name that was recorded in, or below, a scope."""
    found: dict[Key, dict[str, int]] = {}
    for key in keys:
        for at in range(0, len(key), 2):
            name, ordinal = key[at], key[at + 1]
            if isinstance(ordinal, int):  # of a map's item, chosen by its key
                names = found.setdefault(key[:at], {})
                names[str(name)] = max(ordinal, names.get(str(name), 0))
    return found


class Removal(Operation[None]):
    """Says that operations of a name stood here; it records and waits for nothing."""

    __slots__ = ()

    def __init__(self, run: Run, name: str) -> None:
        """Speak of `name` in the scope that awaits this."""
        super().__init__(run, name, lambda: Op(run, name))

    def _run(self) -> Generator[Any, Any, None]:
        run = self.run
        run.unawaited.pop(self._number, None)
        if not run.check_open():
            yield from run.body.create_future()
        run.removed = run.removed or {}
        run.removed[(*scope.get(run.root).key, self.name)] = None
