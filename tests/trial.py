"""One body, run to its end and then again from each commit: a crash at every write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, EntryInfo, Retry, StepError, current_step, step
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from tests.conftest import STORES, make_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edgeflow.store import Commit, Store

Body = Callable[[Context], Coroutine[Any, Any, Any]]

calls: Counter[Any] = Counter()
"""How often the function of `work` was entered, for each tag."""

cancelled: list[Any] = []
"""Tags of the calls of `work` that were cancelled, in order."""


@step(retry=Retry(attempts=1))
async def work(tag: Any, seconds: float = 0) -> Any:
    """Take some time; give the tag back, or fail if it begins with a dash."""
    calls[tag] += 1
    try:
        await current_step().resources.sleep(seconds)
    except BaseException:
        cancelled.append(tag)
        raise
    if str(tag).startswith("-"):
        raise ValueError(f"no {tag}")
    return tag


class Trial:
    """Stores of one kind, each of which stands for a database at some moment."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.stores: list[Store] = []

    async def store(self, commits: Sequence[Commit] = ()) -> Store:
        """Give a store in which exactly these commits were written."""
        folder = self.folder / str(len(self.stores))
        folder.mkdir()
        store = make_store(self.kind, folder)
        self.stores.append(store)
        await store.open()
        for commit in commits:
            await store.commit("i", commit)
        return store

    async def close(self) -> None:
        for store in self.stores:
            await store.close()

    async def run(
        self, body: Body, commits: Sequence[Commit] = (), **settings: Any
    ) -> tuple[Any, list[Commit]]:
        """Go on after some commits, in another process, at once; to the end."""
        calls.clear()
        cancelled.clear()
        store, clock = RecordingStore(await self.store(commits)), VirtualClock()
        if commits:
            clock.advance(commits[-1].now - clock.now())
        app = App(store, clock=clock, lifespan=lambda: nullcontext(clock), **settings)
        app.workflow(name="w")(body)
        output = await app.run("w", id="i")
        return output, [*commits, *store.commits]

    async def history(self, commits: Sequence[Commit]) -> list[EntryInfo]:
        return await App(await self.store(commits)).handle("i").history()

    async def everywhere(
        self, body: Body, expected: object, **settings: Any
    ) -> list[Commit]:
        """Run a body; crash after each of its commits, go on, and find all the same."""
        output, commits = await self.run(body, **settings)
        assert output == expected
        assert set(calls.values()) <= {1}
        every = set(calls)
        for length in range(1, len(commits)):
            prefix = commits[:length]
            known = durable(await self.history(prefix))
            output, longer = await self.run(body, prefix, **settings)
            assert output == expected, f"after {length} commits"
            assert set(calls.values()) <= {1}
            assert set(calls) <= every - known, f"after {length} commits"

            again, _ = await self.run(body, longer[:-1], **settings)
            assert again == expected
            assert not calls
        return commits


def durable(entries: list[EntryInfo]) -> set[Any]:
    """Give the tags of work that is recorded as done."""
    found = {e.value for e in entries if e.kind == "step" and e.status == "completed"}
    failed = [e for e in entries if e.kind == "step" and e.status == "failed"]
    return found | {e.error.message.removeprefix("no ") for e in failed if e.error}


def said(error: BaseException) -> Any:
    """Say all of an error that a body can see."""
    inner = getattr(error, "errors", None)
    if inner is not None:
        described = {str(name): said(each) for name, each in inner.items()}
        return [type(error).__name__, str(error), described]
    if isinstance(error, StepError):
        found = error.error
        shown = [error.kind, error.step, found.type, found.message, found.data]
        return [type(error).__name__, str(error), *shown]
    return [type(error).__name__, str(error)]


def paths(entries: list[EntryInfo], *kinds: str) -> list[list[Any]]:
    """Give the paths of entries, as names and ordinals."""
    chosen = [e for e in entries if not kinds or e.kind in kinds]
    return [[part for _, name, at in e.path for part in (name, at)] for e in chosen]


@pytest.fixture(params=STORES)
async def trial(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Trial]:
    made = Trial(request.param, tmp_path)
    yield made
    await made.close()
