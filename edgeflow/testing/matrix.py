"""A crash at every write, and everything else that can go wrong there."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from edgeflow.errors import UnknownWorkflow
from edgeflow.stores import store_from_url
from edgeflow.testing.faults import KINDS, Fault, draw_plan, simpler
from edgeflow.testing.lives import ID, End, Lives, Stuck
from edgeflow.testing.posts import posts
from edgeflow.testing.story import say
from edgeflow.workflows import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgeflow.app import App
    from edgeflow.store import Status, Store
    from edgeflow.testing.faults import FaultKind
    from edgeflow.testing.posts import Mail, Post


MORE = 3
"""Writes that a run has more after a fault: start and opening, and one again."""

TWICE = (
    "It was run a second time. If something outside remembers the first one, put it "
    "back with reset=…; if the end may differ, name what may not with same=…."
)


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


def _everything(end: End) -> object:
    return end


def _in_memory() -> Store:
    return store_from_url("memory:")


async def crash_matrix(
    app: App,
    workflow: Workflow[Any, Any] | str,
    input: object = None,
    *,
    messages: Iterable[Mail] = (),
    faults: Iterable[FaultKind] | FaultKind = KINDS,
    pairs: int = 0,
    sample: int | None = None,
    seed: int = 0,
    only: Sequence[Fault] | Fault | None = None,
    ends: Status | None = "completed",
    parked: bool = False,
    same: Callable[[End], object] = _everything,
    reset: Callable[[], object] | None = None,
    store: Callable[[], Store] = _in_memory,
) -> Report:
    """Crash a workflow at every write, restart it, and find that it makes no odds.

    A run without faults counts the writes. Then the workflow is run once for every
    write and every kind of fault, in virtual time, on a store of its own, and goes
    on in a new process after each. Found are: another end (status, output, error,
    state, messages, answers, other instances), a step or an undo that is entered
    though its outcome is durable, a failed attempt that is forgotten, an outcome
    that is not durable when control leaves the engine, a wake-up that is lost, and
    an instance that cannot be loaded.

    Time jumps while a step waits for something real, a server say, and what has a time
    limit then times out: give steps fakes. A plain function, in its thread, holds time.

    Args:
        app: has the workflow, and those that it calls; its own store is not touched.
        workflow: or its name.
        input: what the body gets.
        messages: each is sent once its receiver waits for it; `Post`s, or pairs of
            name and body.
        faults: the kinds of faults, or one of them; default: all.
        pairs: how many plans of two faults to draw besides.
        sample: how many cases to draw of all; default: each is tried.
        seed: of what is drawn.
        only: the faults of a single case, as the story of a failure gives them.
        ends: how it has to end without faults; None: in any way but blocked.
        parked: go on from memory after a wait, as a worker does; else by replay.
        same: gives what has to be the same; default: all of the end. Say so if the
            body uses times: a slow store takes some seconds. It is called right after
            each run, so it can look at the world outside too.
        reset: called before each run: puts the world outside back.
        store: makes a new, empty store for each run; default: in memory.

    Raises:
        MatrixFailed: if something is lost, or done twice; or if it goes wrong without
            any fault: it is blocked, waits for ever, never gets a message, or ends
            differently when it is run again.
        UnknownWorkflow: if it is not one of the app's.
        ValueError: if a kind of fault is not known, or `only` strikes no write.
        TypeError: if it is no workflow, or `store` no function.
    """
    kinds = _kinds(faults)
    if not callable(store):
        raise TypeError(f"store is what makes a new store for each run, not {store}")
    matrix = _Matrix(
        app,
        _known(app, workflow),
        input,
        posts(messages),
        ends,
        parked,
        same,
        reset,
        store,
    )
    clean = await matrix.clean()
    if only is None:
        plans = matrix.plans(kinds, pairs, seed, sample)
    else:
        plans = [[only] if isinstance(only, Fault) else only]
    for plan in plans:
        writes = await matrix.check(plan)
        for fault in plan if only is not None else ():
            if fault.at > writes:
                raise ValueError(f"{fault} strikes nothing: there are {writes} writes")
    return Report(
        matrix.workflow.name, clean, matrix.writes, len(plans), matrix.processes
    )


def _known(app: App, workflow: Workflow[Any, Any] | str) -> Workflow[Any, Any]:
    if not isinstance(workflow, (str, Workflow)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{workflow!r} is no workflow: decorate it with @app.workflow")
    name = workflow if isinstance(workflow, str) else workflow.name
    known = app.known(name)
    if known is None or workflow not in (name, known):
        raise UnknownWorkflow(name, sorted(each.name for each in app.workflows))
    return known


def _kinds(faults: Iterable[FaultKind] | FaultKind) -> tuple[FaultKind, ...]:
    kinds = (faults,) if isinstance(faults, str) else tuple(faults)
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"no fault is called {kind!r}; known: {', '.join(KINDS)}")
    return kinds


@dataclass(slots=True)
class _Matrix:
    app: App
    workflow: Workflow[Any, Any]
    input: object
    posts: tuple[Post, ...]
    ends: Status | None
    parked: bool
    same: Callable[[End], object]
    reset: Callable[[], object] | None
    store: Callable[[], Store]
    expected: object = None
    writes: int = 0
    processes: int = 0

    async def clean(self) -> End:
        """Run without faults, twice."""
        lives, end, wrong = await self._run(())
        if end is not None and not wrong:
            wrong = _unfit(lives, end, self.ends)
        if end is None or wrong:
            raise MatrixFailed(self._text(lives, (), wrong), ()) from lives.trouble
        self.expected, self.writes = self.same(end), lives.faulty.writes
        lives, wrong = await self._judged(())
        if wrong:
            raise MatrixFailed(self._text(lives, (), f"{wrong}\n{TWICE}"), ())
        return end

    def plans(
        self, kinds: Sequence[FaultKind], pairs: int, seed: int, sample: int | None
    ) -> list[Sequence[Fault]]:
        """Give the faults of each case."""
        writes = range(1, self.writes + 1)
        found = [(Fault(at, kind),) for at in writes for kind in kinds]
        if sample is not None and sample < len(found):
            random = Random(seed)  # noqa: S311  to be repeatable is the point
            found = random.sample(found, sample)
        most = self.writes + MORE
        drawn = (draw_plan((seed, at), most, 2, kinds) for at in range(pairs))
        return [*found, *drawn]

    async def check(self, plan: Sequence[Fault]) -> int:
        """Run with these faults, and compare; give the number of writes."""
        lives, wrong = await self._judged(plan)
        candidates = simpler(plan) if wrong else []
        while candidates and len(plan) > 1:
            fewer = candidates.pop(0)
            found, why = await self._judged(fewer)
            if why:
                plan, lives, wrong = fewer, found, why
                candidates = simpler(plan)
        if wrong:
            raise MatrixFailed(self._text(lives, plan, wrong), plan) from lives.trouble
        return lives.faulty.writes

    async def _judged(self, plan: Sequence[Fault]) -> tuple[Lives, str]:
        lives, end, wrong = await self._run(plan)
        if end is not None and not wrong:
            wrong = _difference(self.expected, self.same(end))
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
        except Exception as error:
            lives.trouble = error
            return lives, None, f"{type(error).__name__}: {error}"
        finally:
            self.processes += lives.story.process
        return lives, end, "; ".join(lives.ledger.complaints)

    def _text(self, lives: Lives, plan: Sequence[Fault], wrong: str) -> str:
        name = self.workflow.name
        if not plan:
            return f"{name} goes wrong without any fault: {wrong}\n\n{lives.story}"
        arguments = ["app", repr(name)]
        if self.input is not None:
            arguments.append(repr(self.input))
        if self.posts:
            arguments.append(f"messages={list(self.posts)}")
        if self.ends != "completed":
            arguments.append(f"ends={self.ends!r}")
        if self.parked:
            arguments.append("parked=True")
        if self.same is not _everything:
            arguments.append("same=same")
        if self.reset is not None:
            arguments.append("reset=reset")
        if self.store is not _in_memory:
            arguments.append("store=store")
        arguments.append(f"only={list(plan)}")
        happened = "\n".join(f"  {say(fault)}" for fault in plan)
        return (
            f"{name} does not bear this:\n{happened}\n\n{wrong}\n\n{lives.story}\n\n"
            f"To repeat it:\n"
            f"  await crash_matrix({', '.join(arguments)})"
        )


def _unfit(lives: Lives, end: End, ends: Status | None) -> str:
    """Say why a run without faults is no measure for others."""
    found = {ID: (end.status, end.output, end.error), **end.others}
    for id_, (status, _, error) in found.items():
        if status == "blocked":
            return f"{id_} is blocked: {error['message']}"
    if ends not in (None, end.status):
        why = f", {end.error['type']}: {end.error['message']}" if end.error else ""
        if "TimeoutError" in why:
            why += "\nTime is virtual: it does not wait for real I/O in a step"
        return f"it is {end.status}{why}\nIf it has to be: ends={end.status!r}"
    unsent = [f"{post.name!r} to {post.to or ID}" for post in lives.unsent.values()]
    return f"nobody waits for message {', '.join(unsent)}" if unsent else ""


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
