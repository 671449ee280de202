"""`ctx.map`: one branch per item, some at a time, results in the order of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from edgeflow.engine.ops.block import BlockOp, Branch
from edgeflow.errors import JoinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from edgeflow.engine.run import Run

T = TypeVar("T")


class MapOp(BlockOp[list[Any]]):
    """Calls a function for each item, in branches."""

    kind: ClassVar[str] = "map"

    __slots__ = (
        "errors",
        "function",
        "items",
        "keys",
        "limit",
        "max_failed",
        "min_ok",
        "next",
        "places",
        "results",
        "succeeded",
    )

    def __init__(
        self,
        run: Run,
        function: Callable[[Any], Awaitable[Any]],
        items: Sequence[Any],
        *,
        keys: Sequence[str | int] | None,
        limit: int | None,
        min_ok: int | None,
        max_failed: int,
    ) -> None:
        """Have at most `limit` branches at a time; `keys` name them in the journal."""
        super().__init__(run, "map")
        self.function = function
        self.items = items
        self.keys = keys
        self.limit = limit
        self.min_ok = min_ok
        self.max_failed = max_failed
        self.next = 0
        self.places: dict[Branch, int] = {}
        self.results: list[Any] = [None] * len(items)
        self.succeeded = 0
        self.errors: dict[int, Exception] = {}

    def shape(self) -> list[str] | int:
        return len(self.items) if self.keys is None else [str(key) for key in self.keys]

    def enter(self, run: Run) -> None:
        super().enter(run)
        for _ in range(self.limit or len(self.items)):
            self._start_next()

    def _start_next(self) -> None:
        place = self.next
        if place == len(self.items):
            return
        self.next += 1
        inner = self.inner.at(("item", "item", self._key(place)))
        self.places[self.start(inner, self._call(self.items[place]))] = place

    def _key(self, place: int) -> str | int:
        return place if self.keys is None else self.keys[place]

    async def _call(self, item: Any) -> Any:
        return await self.function(item)

    def ended(self, branch: Branch, error: Exception | None) -> None:
        place = self.places.pop(branch)
        del self.branches[branch]
        if error is None:
            self.results[place] = branch.task.result()
            self.succeeded += 1
        else:
            self.errors[place] = error
        if len(self.errors) > self.max_failed:
            self._fail()
        elif self.min_ok is not None and self.succeeded >= self.min_ok:
            self.finish(self.results)
        elif self.places or self.next < len(self.items):
            self._start_next()
        else:
            self.finish(self.results)

    def _fail(self) -> None:
        errors = {str(self._key(at)): self.errors[at] for at in sorted(self.errors)}
        self.fail(JoinError(errors, "items"))

    def outcome(self, data: dict[str, Any]) -> list[Any]:
        value: list[Any] = data["value"]
        return value


def map_keys(
    items: Sequence[Any], key: Callable[[Any], str | int] | None
) -> list[str | int] | None:
    """Name the items of a map.

    Raises:
        TypeError: if one is neither a string nor an int.
        ValueError: if two are equal.
    """
    if key is None:
        return None
    keys = [key(item) for item in items]
    seen: set[str | int] = set()
    for name in keys:
        if not isinstance(name, (str, int)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"map: a key must be a string or an int, not {name!r}")
        if name in seen or str(name) in seen:  # True is 1, and 1 is shown as "1"
            raise ValueError(f"map: two items have the key {name!r}")
        seen.update((name, str(name)))
    return keys


def map_limits(
    count: int, limit: int | None, min_ok: int | None, max_failed: int | None
) -> int:
    """Check the numbers of a map; give how many failures it bears.

    Raises:
        ValueError: if one makes no sense.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"map(limit={limit}): must be 1 or more")
    if max_failed is not None and max_failed < 0:
        raise ValueError(f"map(max_failed={max_failed}): must be 0 or more")
    if min_ok is None:
        return max_failed or 0
    if not 0 < min_ok <= max(count, 1):
        raise ValueError(f"map(min_ok={min_ok}): must be 1 to {count}, the items")
    return count - min_ok if max_failed is None else max_failed
