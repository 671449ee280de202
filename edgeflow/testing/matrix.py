"""A crash at every write, and everything else that can go wrong there."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from edgeflow.stores import store_from_url
from edgeflow.testing.faults import KINDS, Fault, draw_plan, simpler
from edgeflow.testing.lives import End, Lives, Stuck
from edgeflow.testing.posts import posts
from edgeflow.testing.story import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgeflow.app import App
    from edgeflow.store import Store
    from edgeflow.testing.faults import FaultKind
    from edgeflow.testing.posts import Mail, Post
    from edgeflow.workflows import Workflow


@dataclass(frozen=True, slots=True)
class Report:
    """What a matrix has tried; all of it ended alike."""

    workflow: str
    end: End
    """How the run without faults ended."""
    writes: int
    """How many writes that run had."""
    cases: int
    processes: int
    """How many processes there were in all cases."""

    def __str__(self) -> str:
        return (
            f"{self.workflow}: {self.writes} writes, {self.cases} cases with "
            f"{self.processes} processes, all {self.end.status} alike"
        )


class MatrixFailed(AssertionError):
    """A case went wrong; its text tells the story."""

    def __init__(self, text: str, plan: Sequence[Fault]) -> None:
        """Say what went wrong, and by which faults."""
        super().__init__(text)
        self.plan = tuple(plan)


async def crash_matrix(
    app: App,
    workflow: Workflow[Any, Any] | str,
    input: object = None,
    *,
    messages: Iterable[Mail] = (),
    faults: Iterable[FaultKind] = KINDS,
    pairs: int = 0,
    sample: int | None = None,
    seed: int = 0,
    only: Sequence[Fault] | None = None,
    parked: bool = False,
    same: Callable[[End], object] = lambda end: end,
    reset: Callable[[], object] | None = None,
    store: Callable[[], Store] = lambda: store_from_url("memory:"),
) -> Report:
    """Crash a workflow at every write, restart it, and find that it makes no odds.

    A run without faults counts the writes. Then the workflow is run once for every
    write and every kind of fault, in virtual time, on a store of its own, and goes
    on in a new process after each. Found are: another end (status, output, error,
    state, messages, answers, other instances), a step or an undo that is entered
    though its outcome is durable, a failed attempt that is forgotten, an outcome
    that is not durable when control leaves the engine, a wake-up that is lost, and
    an instance that cannot be loaded.

    Args:
        app: has the workflow, and those that it calls; its own store is not touched.
        workflow: or its name.
        input: what the body gets.
        messages: each is sent once its receiver waits for it; `Post`s, or pairs of
            name and body.
        faults: the kinds of faults; default: all.
        pairs: how many plans of two faults to draw besides.
        sample: how many cases to draw of all; default: each is tried.
        seed: of what is drawn.
        only: the faults of a single case, as the story of a failure gives them.
        parked: go on from memory after a wait, as a worker does; else by replay.
        same: what of the end has to be the same; default: all of it. Say so if the
            body uses times: a slow store takes some seconds.
        reset: called before each run: puts the world outside back.
        store: makes a new, empty store for each run; default: in memory.

    Raises:
        MatrixFailed: if something is lost, or done twice.
    """
    matrix = _Matrix(
        app,
        workflow if not isinstance(workflow, str) else _named(app, workflow),
        input,
        posts(messages),
        parked,
        same,
        reset,
        store,
    )
    clean = await matrix.clean()
    plans = [only] if only is not None else matrix.plans(faults, pairs, seed, sample)
    for plan in plans:
        await matrix.check(plan)
    return Report(
        matrix.workflow.name, clean, matrix.writes, len(plans), matrix.processes
    )


def _named(app: App, name: str) -> Workflow[Any, Any]:
    found = app.known(name)
    if found is None:
        raise ValueError(f"crash_matrix: the app has no workflow {name!r}")
    return found


@dataclass(slots=True)
class _Matrix:
    app: App
    workflow: Workflow[Any, Any]
    input: object
    posts: tuple[Post, ...]
    parked: bool
    same: Callable[[End], object]
    reset: Callable[[], object] | None
    store: Callable[[], Store]
    expected: End | None = None
    writes: int = 0
    processes: int = 0

    async def clean(self) -> End:
        """Run without faults."""
        lives, end, wrong = await self._run(())
        if end is None or wrong:
            raise MatrixFailed(self._text(lives, (), wrong), ())
        self.expected, self.writes = end, lives.faulty.writes
        return end

    def plans(
        self, kinds: Iterable[FaultKind], pairs: int, seed: int, sample: int | None
    ) -> list[Sequence[Fault]]:
        """Give the faults of each case."""
        kinds = tuple(kinds)
        writes = range(1, self.writes + 1)
        found = [(Fault(at, kind),) for at in writes for kind in kinds]
        if sample is not None and sample < len(found):
            random = Random(seed)  # noqa: S311  to be repeatable is the point
            found = random.sample(found, sample)
        drawn = (draw_plan((seed, at), self.writes, 2, kinds) for at in range(pairs))
        return [*found, *drawn]

    async def check(self, plan: Sequence[Fault]) -> None:
        """Run with these faults, and compare."""
        lives, wrong = await self._judged(plan)
        candidates = simpler(plan) if wrong else []
        while candidates and len(plan) > 1:
            fewer = candidates.pop(0)
            found, why = await self._judged(fewer)
            if why:
                plan, lives, wrong = fewer, found, why
                candidates = simpler(plan)
        if wrong:
            raise MatrixFailed(self._text(lives, plan, wrong), plan)

    async def _judged(self, plan: Sequence[Fault]) -> tuple[Lives, str]:
        lives, end, wrong = await self._run(plan)
        if end is not None and self.expected is not None and not wrong:
            wrong = _difference(self.same(self.expected), self.same(end))
        return lives, wrong

    async def _run(self, plan: Sequence[Fault]) -> tuple[Lives, End | None, str]:
        if self.reset is not None:
            self.reset()
        lives = Lives(
            self.app,
            self.workflow,
            self.input,
            posts=self.posts,
            plan=plan,
            parked=self.parked,
            store=self.store(),
        )
        try:
            end = await lives.run()
        except Stuck as error:
            return lives, None, str(error)
        finally:
            self.processes += lives.story.process
        return lives, end, "; ".join(lives.ledger.complaints)

    def _text(self, lives: Lives, plan: Sequence[Fault], wrong: str) -> str:
        name = self.workflow.name
        if not plan:
            return f"{name} goes wrong without any fault: {wrong}\n\n{lives.story}"
        arguments = [repr(self.input)] if self.input is not None else []
        if self.posts:
            arguments.append(f"messages={list(self.posts)}")
        if self.parked:
            arguments.append("parked=True")
        arguments.append(f"only={list(plan)}")
        happened = "\n".join(f"  {say(fault)}" for fault in plan)
        return (
            f"{name} does not bear this:\n{happened}\n\n{wrong}\n\n{lives.story}\n\n"
            f"To repeat it:\n"
            f"  await crash_matrix(app, {name}, {', '.join(arguments)})"
        )


def _difference(expected: object, found: object) -> str:
    if expected == found:
        return ""
    if isinstance(expected, End) and isinstance(found, End):
        pairs = [
            (name, getattr(expected, name), getattr(found, name))
            for name in End.__slots__
        ]
        lines = [
            f"{name}: {is_!r}, without faults {was!r}"
            for name, was, is_ in pairs
            if was != is_
        ]
        return "it ends differently: " + "\n  ".join(lines)
    return f"it ends differently: {found!r}, without faults {expected!r}"
