"""Random operations give equal answers and equal contents on both stores."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgeflow.errors import InstanceFinished, StoreError
from edgeflow.store import Commit, Envelope, Limits, Query, Status, Store
from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMITS = Limits(max_frame=8, max_group=12)
IDS = ("a", "b", "é")
MESSAGES = tuple("12345")
STATUSES: tuple[Status, ...] = (
    *("pending", "running", "suspended", "suspended", "suspended"),
    *("blocked", "undoing", "completed", "failed", "cancelled"),
)

ids = st.sampled_from(IDS)
names = st.sampled_from(["n", "o"])
times = st.integers(0, 20).map(float)
bodies = st.binary(max_size=9)
tokens = st.sampled_from([b"mine", b"mine", b"mine", b"theirs"])
some_messages = st.lists(st.sampled_from(MESSAGES), max_size=3, unique=True)
envelopes = st.builds(
    Envelope,
    to=st.sampled_from([*IDS, "nobody"]),
    id=st.sampled_from(MESSAGES),
    name=names,
    body=bodies,
    at=st.one_of(st.just(0.0), times),
)
commits = st.builds(
    Commit,
    seq=st.just(1),
    frames=st.lists(bodies, min_size=1, max_size=3).map(tuple),
    token=tokens,
    opens=st.sampled_from([False, False, True]),
    snapshot=st.booleans(),
    workflow=st.sampled_from(["v", "w"]),
    status=st.sampled_from(STATUSES),
    wake_at=st.none() | times,
    awaiting=st.lists(names, max_size=2, unique=True).map(tuple),
    due=st.none() | times,
    now=times,
    lease=st.sampled_from([0.0, 0.0, 5.0]),
    acks=some_messages.map(tuple),
    sends=st.lists(envelopes, max_size=3).map(tuple),
)


@dataclass
class Answer:
    value: object


async def ask(call: Awaitable[object]) -> object:
    try:
        return Answer(await call)
    except (StoreError, InstanceFinished) as error:
        return (type(error), str(error))


async def contents(store: Store) -> list[object]:
    shown: list[object] = [head async for head in store.find(Query())]
    for instance in (*IDS, "nobody"):
        shown += await store.unread(instance)
        loaded = await store.load(instance)
        if loaded is not None:
            shown += [loaded.head, *loaded.frames, *loaded.messages]
    return shown


class BothStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.memory = MemoryStore(LIMITS)
        file = Path(self.directory.name) / "test.db"
        self.sqlite = SqliteStore(file, synchronous="normal")
        self.sqlite.limits = LIMITS
        self.runner.run(self.sqlite.open())
        self.seqs: dict[str, int] = {}

    def teardown(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.close()
        self.directory.cleanup()

    def both(self, call: Callable[[Store], Awaitable[object]]) -> None:
        async def compare() -> None:
            assert await ask(call(self.sqlite)) == await ask(call(self.memory))

        self.runner.run(compare())

    @rule(
        instance=ids,
        commit=commits,
        offset=st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1]),
        restored=some_messages,
    )
    def commit(
        self, instance: str, commit: Commit, offset: int, restored: list[str]
    ) -> None:
        loaded = self.runner.run(self.memory.load(instance))
        seq = (0 if loaded is None else loaded.head.seq) + 1 + offset
        commit = replace(
            commit,
            seq=max(1, seq),
            restored=tuple(restored),
            restored_bodies=tuple(m.encode() for m in restored),
        )
        self.both(lambda store: store.commit(instance, commit))

    @rule(message=envelopes)
    def send(self, message: Envelope) -> None:
        self.both(lambda store: store.send(message))

    @rule(now=times, limit=st.integers(-1, 3), lease=st.sampled_from([0.0, 5.0]))
    def claim(self, now: float, limit: int, lease: float) -> None:
        async def taken(store: Store) -> list[str]:
            return list(await store.claim(now, limit, lease, "w"))

        self.both(taken)

    @rule(instance=ids, token=tokens, now=times)
    def renew(self, instance: str, token: bytes, now: float) -> None:
        self.both(lambda store: store.renew(instance, token, now, 5))

    @rule(instance=ids)
    def delete(self, instance: str) -> None:
        self.both(lambda store: store.delete(instance))

    @rule(
        workflow=st.none() | st.sampled_from(["v", "w"]),
        status=st.none() | st.sampled_from(STATUSES),
    )
    def find(self, workflow: str | None, status: Status | None) -> None:
        async def found(store: Store) -> list[object]:
            query = Query(workflow=workflow, status=status)
            return [head async for head in store.find(query)]

        self.both(found)

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.sqlite.close())
        self.runner.run(self.sqlite.open())

    @invariant()
    def hold_the_same(self) -> None:
        self.both(contents)


# N-19: 1,000 operations, the same ones each time
BothStores.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestBothStores = BothStores.TestCase
