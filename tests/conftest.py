"""What all tests share: a store of each kind, a world of processes, Hypothesis."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, settings

from edgeflow import App, StoreUnavailable
from edgeflow.store import Resumes
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import FaultyStore
from edgeflow.testing.recorder import RecordingStore
from edgeflow_kv import KVStore, MemoryKV
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore
from tests.servers.dynamodb import Dynamodb
from tests.servers.nats import Nats
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.server import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from edgeflow import EntryInfo, Handle, Info, Outcome, Workflow
    from edgeflow.store import Commit, Committed, Envelope, Store
    from tests.servers.server import Server
RUNS = os.environ.get("EDGEFLOW_STORES", "memory,sqlite,kv,platforms,servers").split(
    ","
)
APART = {"platforms": {"platforms"}, "servers": {"servers", "fleet"}}
"""Runs that are no store, and the directories of tests that are theirs alone."""
STORES = [kind for kind in RUNS if kind not in APART]

PATIENT = [HealthCheck.too_slow]  # a machine that is busy is no reason to fail
settings.register_profile("dev", deadline=None, suppress_health_check=PATIENT)
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev")
)

ON_DISK = (
    "cli/",
    "crash/",
    "proof/test_processes",
    "shutdown/",
    "stores/test_sqlite",
    "test_examples",
    "test_readme",
    "testing/test_histories",
    "testing/test_page",
    "testing/test_plugin",
)
"""Tests that have files in them: whatever EDGEFLOW_STORES says, they go with SQLite."""


def pytest_ignore_collect(
    collection_path: Path, config: pytest.Config
) -> Literal[True] | None:
    """Leave runtimes and servers alone where they are not wanted, nor installed."""
    if collection_path.parent != config.rootpath / "tests":
        return None
    is_theirs = any(collection_path.name in APART[run] for run in APART.keys() - RUNS)
    return True if is_theirs else None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Run each test that takes no store once, where the matrix has a run per store."""
    if len(RUNS) > 1:
        return
    home = config.rootpath / "tests"
    here: list[pytest.Item] = []
    elsewhere: list[pytest.Item] = []
    for item in items:
        place = item.path.relative_to(home).as_posix()
        case = getattr(item, "callspec", None)
        takes_store = case is not None and RUNS[0] in map(str, case.params.values())
        kind = "sqlite" if place.startswith(ON_DISK) else "memory"
        kind = "kv" if place.startswith("stores/test_kv") else kind
        top = place.partition("/")[0]
        kind = next((run for run in APART if top in APART[run]), kind)
        (here if takes_store or kind in RUNS else elsewhere).append(item)
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = here


def make_store(kind: str, folder: Path) -> Store:
    match kind:
        case "memory":
            return MemoryStore()
        case "sqlite":
            return SqliteStore(folder / "edgeflow.db")
        case "kv":
            return KVStore(MemoryKV())
        case _:
            pytest.fail(f"EDGEFLOW_STORES names {kind!r}, which no fixture makes.")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """PostgreSQL, for all tests of this process: each takes a namespace of its own."""
    with serving(Postgres()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """Redis, for all tests of this process: each takes a namespace of its own."""
    with serving(Redis()) as server:
        yield server


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Server]:
    """NATS, for all tests of this process: each takes a bucket of its own."""
    with serving(Nats()) as server:
        yield server


@pytest.fixture(scope="session")
def dynamodb_server() -> Iterator[Server]:
    """What stands in for DynamoDB: each test takes a table of its own."""
    with serving(Dynamodb()) as server:
        yield server


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """One store of each kind, not yet open: the App opens it."""
    made = make_store(request.param, tmp_path)
    yield made
    await made.close()


class Shared(RecordingStore):
    """One database for several Apps, each of which stands for a process."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self.inner.open())
        await asyncio.shield(self._opening)

    async def close(self) -> None:
        pass


class Killed(StoreUnavailable):
    """The process is gone: it writes nothing any more."""


class Mortal(Shared):
    """The store as seen by a process that can be killed."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.dead = False

    async def commit(self, instance: str, commit: Commit) -> Committed:
        if self.dead:
            raise Killed
        return await super().commit(instance, commit)

    async def _resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        if self.dead:
            raise Killed
        return await super()._resume(instance, token, now, lease, worker)


class AtCommits(FaultyStore):
    """Has its faults at commits only: not at messages, nor when anything is resumed."""

    async def send(self, message: Envelope) -> bool:
        self._check()
        return await self.inner.send(message)

    async def _resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        self._check()
        assert isinstance(self.inner, Resumes)
        return await self.inner.resume(instance, token, now, lease, worker)


class World:
    """A database and a clock that outlive every process."""

    START = 1_700_000_000.0

    def __init__(self, store: Store) -> None:
        self.store = Shared(store)
        self.clock = VirtualClock(self.START)
        self.mortals: list[Mortal] = []

    def process(
        self,
        *workflows: Workflow[Any, Any],
        store: Store | None = None,
        **settings: Any,
    ) -> App:
        """A fresh process: it knows nothing but what is in the store."""
        return App(
            store or self.store, clock=self.clock, workflows=workflows, **settings
        )

    def mortal(self, *workflows: Workflow[Any, Any], **settings: Any) -> App:
        """A process that `kill` ends."""
        self.mortals.append(Mortal(self.store))
        return self.process(*workflows, store=self.mortals[-1], **settings)

    def kill(self) -> None:
        """Let the last mortal process write nothing any more."""
        self.mortals[-1].dead = True

    def handle(self, instance: str = "i") -> Handle[Any]:
        """A handle in a process that runs nothing."""
        return self.process().handle(instance)

    async def start(
        self, workflow: Workflow[Any, Any], input: object = None, instance: str = "i"
    ) -> None:
        await self.process(workflow).start(workflow, input, id=instance)

    async def drive(
        self, workflow: Workflow[Any, Any], instance: str = "i"
    ) -> Outcome[Any]:
        return await self.process(workflow).drive(instance)

    async def run_due(self, *workflows: Workflow[Any, Any]) -> list[Outcome[Any]]:
        return await self.process(*workflows).run_due()

    async def later(
        self, workflow: Workflow[Any, Any], seconds: float = 60
    ) -> Outcome[Any]:
        """Drive it in a new process, after some time."""
        self.clock.advance(seconds)
        return await self.drive(workflow)

    async def frames(self, instance: str = "i") -> list[bytes]:
        await self.store.open()
        loaded = await self.store.inner.load(instance)
        assert loaded is not None
        return [frame.body for frame in loaded.frames]

    async def info(self, instance: str = "i") -> Info:
        return await self.handle(instance).info()

    async def history(self, instance: str = "i") -> list[EntryInfo]:
        return await self.handle(instance).history()

    async def names(self, instance: str = "i") -> list[str]:
        """The names of the entries, in journal order."""
        return [entry.name for entry in await self.history(instance)]

    async def path(self, *names: str | tuple[str, int], instance: str = "i") -> Any:
        """The path of the entry with these names, outermost first."""
        wanted = [(n, 0) if isinstance(n, str) else n for n in names]
        for entry in await self.history(instance):
            if [(name, at) for _, name, at in entry.path] == wanted:
                return entry.path
        pytest.fail(f"there is no entry {wanted}")

    @property
    def commits(self) -> int:
        """How many commits there were."""
        return len(self.store.commits)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)
