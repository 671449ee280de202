"""The words of a body for what runs at once or again and again: its blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from edgeflow import words
from edgeflow.engine.operation import Operation
from edgeflow.engine.scope import checked_name
from edgeflow.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from edgeflow.engine.ops.loop import Stop
    from edgeflow.engine.ops.race import Winner
    from edgeflow.engine.ops.scope import ScopeBlock
    from edgeflow.engine.run import Run

In = TypeVar("In")
S = TypeVar("S")
T = TypeVar("T")


class Blocks:
    """Operations that hold others; what is recorded in one lies under its path."""

    def __init__(self, run: Run) -> None:
        """Belong to a run."""
        self._run = run

    def join(
        self, **branches: Awaitable[Any]
    ) -> Coroutine[object, object, dict[str, Any]]:
        """Run named branches at once, wait for all; give their results by name.

        Raises:
            JoinError: when it is awaited, if branches failed; all of them have ended.
        """
        run = self._run
        _check_names(branches)
        if not branches:
            return _at_once({})
        return Operation(
            run,
            "join",
            lambda: words.JoinOp(run, branches),
            _closing(branches.values()),
        )

    def race(self, **branches: Awaitable[Any]) -> Coroutine[object, object, Winner]:
        """Run named branches at once until one succeeds; cancel the others at once.

        Raises:
            RaceError: when it is awaited, if all branches failed.
            ValueError: if there is no branch.
        """
        run = self._run
        _check_names(branches)
        if not branches:
            raise ValueError("race() needs a branch: race(answer=…, late=…)")
        return Operation(
            run,
            "race",
            lambda: words.RaceOp(run, branches),
            _closing(branches.values()),
        )

    @overload
    def map(
        self,
        fn: Callable[[In], Awaitable[T]],
        items: Iterable[In],
        *,
        limit: int | None = None,
        key: Callable[[In], str | int] | None = None,
    ) -> Coroutine[object, object, list[T]]: ...
    @overload
    def map(
        self,
        fn: Callable[[In], Awaitable[T]],
        items: Iterable[In],
        *,
        limit: int | None = None,
        key: Callable[[In], str | int] | None = None,
        min_ok: int | None = None,
        max_failed: int | None = None,
    ) -> Coroutine[object, object, list[T | None]]: ...
    def map(
        self,
        fn: Callable[[In], Awaitable[T]],
        items: Iterable[In],
        *,
        limit: int | None = None,
        key: Callable[[In], str | int] | None = None,
        min_ok: int | None = None,
        max_failed: int | None = None,
    ) -> Coroutine[object, object, Any]:
        """Call `fn` for each item, in branches; give the results in their order.

        Args:
            fn: async; a step, or a function that uses several.
            items: walked at once.
            limit: of branches at a time; default: all.
            key: names an item in the journal; default: its place.
            min_ok: successes that are enough: the rest is cancelled.
            max_failed: failures that are borne; default: none, and with `min_ok` as
                many as leave it within reach. In their place stands None.

        Raises:
            JoinError: when it is awaited, at the failure that is one too many.
            ValueError: if two keys are equal, or a number makes no sense.
        """
        run, found = self._run, list(items)
        keys = words.map_keys(found, key)
        borne = words.map_limits(len(found), limit, min_ok, max_failed)
        if not found:
            return _at_once([])
        return Operation(
            run,
            "map",
            lambda: words.MapOp(
                run, fn, found, keys=keys, limit=limit, min_ok=min_ok, max_failed=borne
            ),
        )

    def loop(
        self,
        name: str,
        turn: Callable[[S], Coroutine[Any, Any, S | Stop[T]]],
        *,
        state: S,
        keep: int = 1,
        prune_every: int = 20,
    ) -> Coroutine[object, object, T]:
        """Call `turn` with the state that it returned last, until it returns a `Stop`.

        A state is durable; a turn that is over is not run again, and what it has
        recorded is pruned.

        Args:
            name: of the loop in the journal.
            turn: `async def turn(state) -> state | Stop(value)`.
            state: what the first turn gets; give an empty one its type: `list[str]()`.
            keep: how many turns a pruning leaves.
            prune_every: after how many turns there is one.
        """
        run = self._run
        checked_name(name, "a loop")
        if keep < 0 or prune_every < 1:
            raise ValueError(
                f"loop({name!r}, keep={keep}, prune_every={prune_every}): keep must "
                "be 0 or more, prune_every 1 or more"
            )
        return Operation(
            run, name, lambda: words.LoopOp(run, name, turn, state, keep, prune_every)
        )

    def scope(self, name: str) -> ScopeBlock:
        """Open a named block: `async with ctx.scope("pay"):`."""
        return words.ScopeBlock(self._run, checked_name(name, "a scope"))


async def _at_once(value: T) -> T:
    return value


def _check_names(branches: dict[str, Awaitable[Any]]) -> None:
    try:
        for name in branches:
            checked_name(name, "a branch")
    except DefinitionError:
        words.put_away(branches.values())
        raise


def _closing(branches: Iterable[Awaitable[Any]]) -> Callable[[], None]:
    close = words.put_away  # now: at the end of the process there are no imports
    return lambda: close(branches)
