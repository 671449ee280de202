"""Random operations and faults, compared with a model of what a store is.

    class MyMachine(StoreMachine):
        async def open_store(self, where: Path) -> Store:
            store = MyStore(where / "data", max_frame=8, max_group=12)
            await store.open()
            return store

    TestMyMachine = MyMachine.TestCase

Each operation is done to the store, by one of two handles, and to the model; the
answers must be equal, and after it everything that can be read. Small limits, if the
store can have such, let more operations meet them. It needs Hypothesis, which
prints the shortest story that it finds for a difference:

    state = MyMachine()
    state.commit(at=0, commit=Commit(seq=1, …), instance='a', …)
    state.claim(at=1, lease=0.0, limit=1, now=0.0)
    state.teardown()

20 runs of 50 operations are made, the same ones each time; assign
`MyMachine.TestCase.settings` for others.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgeflow.errors import Conflict, InstanceFinished, TooLarge
from edgeflow.store import Committed, Query
from edgeflow.testing.stores import draws as draw
from edgeflow.testing.stores.model import StoreModel
from edgeflow.testing.stores.parts import is_last, turns
from edgeflow.testing.stores.source import StoreSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from edgeflow.store import Commit, Envelope, Loaded, Status, Store

T = TypeVar("T")

SETTINGS = settings(
    max_examples=20,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)

handles = st.integers(0, 1)
places = st.integers(0, 4)


def owes(machine: StoreMachine) -> bool:
    return bool(machine.outbox)


def has_written(machine: StoreMachine) -> bool:
    return bool(machine.written)


class StoreMachine(StoreSource, RuleBasedStateMachine):
    """Subclass it, say how your store is opened, and let pytest see its `TestCase`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.TestCase.settings = SETTINGS

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self.where = Path(self._directory.name)
        self._runner = asyncio.Runner()
        first = self.run(self.open_store(self.where))
        self.stores = [first, self.run(self.reopen(first, self.where))]
        """Two handles on the same data, as of two processes."""
        self.model = StoreModel(first.limits)
        self.outbox: list[Envelope] = []
        """Messages that did not join their commits; some were delivered since."""
        self.written: list[tuple[str, Commit]] = []
        self._looks = 0

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.close())
        self._runner.close()
        self._directory.cleanup()

    # What everybody may do

    @rule(at=handles, instance=draw.instances, commit=draw.commits())
    def go_on(self, at: int, instance: str, commit: Commit) -> None:
        """Commit as the owner, or start the instance."""
        commit = self.fit(instance, commit, is_owner=True)
        self.write(at, instance, replace(commit, opens=False))

    @rule(at=handles, instance=draw.instances, commit=draw.commits())
    def suspend(self, at: int, instance: str, commit: Commit) -> None:
        """Commit as the owner, and wait for a message."""
        commit = self.fit(instance, commit, is_owner=True)
        waits = replace(commit, status="suspended", awaiting=("n",), lease=0.0)
        self.write(at, instance, waits)

    @rule(at=handles, instance=draw.instances, commit=draw.commits())
    def take_over(self, at: int, instance: str, commit: Commit) -> None:
        commit = self.fit(instance, commit, is_owner=False)
        self.write(at, instance, replace(commit, opens=True))

    @rule(
        at=handles,
        instance=draw.instances,
        commit=draw.commits(),
        offset=st.sampled_from([0, -1, 1]),
        is_owner=st.booleans(),
    )
    def commit(
        self, at: int, instance: str, commit: Commit, *, offset: int, is_owner: bool
    ) -> None:
        """Commit with any number and any token."""
        commit = self.fit(instance, commit, is_owner=is_owner)
        commit = replace(commit, seq=max(1, commit.seq + offset))
        self.write(at, instance, commit)

    @rule(at=handles, message=draw.envelopes)
    def send(self, at: int, message: Envelope) -> None:
        answer = self.run(ask(self.handle(at).send(message)))
        equal(answer, expect(lambda: self.model.send(message)))

    @rule(at=handles, now=draw.times, limit=st.integers(-1, 3), lease=draw.leases)
    def claim(self, at: int, now: float, limit: int, lease: float) -> None:
        self.run(self.take(self.handle(at), now, limit, lease))

    @rule(at=handles, instance=draw.instances, token=draw.tokens, now=draw.times)
    def renew(self, at: int, instance: str, token: bytes, now: float) -> None:
        answer = self.run(self.handle(at).renew(instance, token, now, 5))
        equal(answer, self.model.renew(instance, token, now, 5))

    @rule(at=handles, instance=draw.instances)
    def delete(self, at: int, instance: str) -> None:
        self.run(self.handle(at).delete(instance))
        self.model.delete(instance)

    @rule(
        at=handles,
        workflow=st.none() | draw.workflows,
        status=st.none() | draw.statuses,
    )
    def find(self, at: int, workflow: str | None, status: Status | None) -> None:
        query = Query(workflow=workflow, status=status)
        equal(self.run(heads(self.handle(at), query)), self.model.find(query))

    @precondition(owes)
    @rule(at=handles, place=places, again=st.booleans())
    def deliver(self, at: int, place: int, *, again: bool) -> None:
        """Deliver a message that did not join its commit; perhaps not only once."""
        message = self.outbox[place % len(self.outbox)]
        if not again:
            self.outbox.remove(message)
        self.send(at, message)

    # What goes wrong

    @precondition(has_written)
    @rule(at=handles, place=places)
    def repeat(self, at: int, place: int) -> None:
        """Commit once more what was written, as if its answer had been lost."""
        instance, commit = self.written[-1 - place % len(self.written)]
        self.write(at, instance, commit)

    @rule(
        at=handles,
        instance=draw.instances,
        commit=draw.commits(),
        after=st.integers(0, 12),
    )
    def cancel(self, at: int, instance: str, commit: Commit, after: int) -> None:
        """Cancel a commit on its way; then find out how it ended, and end it."""
        commit = self.fit(instance, commit, is_owner=True)
        answer = self.run(cancel(self.handle(at), instance, commit, after))
        self.compare(instance, commit, answer)

    @precondition(has_written)
    @rule(at=handles, place=places, commit=draw.commits())
    def wake_zombie(self, at: int, place: int, commit: Commit) -> None:
        """Let an owner go on that may not know of its successors, or of a delete."""
        instance, old = self.written[-1 - place % len(self.written)]
        commit = self.fit(instance, commit, is_owner=False)
        self.write(at, instance, replace(commit, token=old.token, opens=False))

    @rule(
        instance=draw.instances,
        commits=st.tuples(draw.commits(), draw.commits()),
        is_owner=st.booleans(),
    )
    def race(
        self, instance: str, commits: tuple[Commit, Commit], *, is_owner: bool
    ) -> None:
        """Commit through both handles at once: who is first is left open."""
        now = commits[0].now  # which a server with a clock of its own takes for both
        rivals = [
            self.fit(instance, replace(each, now=now), is_owner=is_owner)
            for each in commits
        ]

        async def meet() -> list[object]:
            calls = [
                ask(self.handle(at).commit(instance, commit))
                for at, commit in enumerate(rivals)
            ]
            return await asyncio.gather(*calls)

        answers = self.run(meet())
        first = int(isinstance(answers[1], Committed))
        for at in (first, 1 - first):
            self.compare(instance, rivals[at], answers[at])

    @rule(at=handles, anew=st.booleans())
    def restart(self, at: int, *, anew: bool) -> None:
        """Close a handle and open it again, or another one on the same data."""
        limits = self.model.limits
        old = self.stores[at]
        if not (anew and limits.persistent):
            self.run(old.close())
            self.run(old.open())
        elif limits.shared:
            self.stores[at] = self.run(self.open_store(self.where))
            self.run(old.close())
        else:
            self.run(old.close())
            first = self.run(self.open_store(self.where))
            self.stores = [first, self.run(self.reopen(first, self.where))]

    # What must hold, and how it is compared

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        self._looks += 1
        store = self.handle(self._looks % 2)

        async def look() -> None:
            equal(await heads(store, Query()), self.model.find(Query()))
            for instance in (*draw.INSTANCES, draw.NOBODY):
                equal(list(await store.unread(instance)), self.model.unread(instance))
                loaded, expected = await store.load(instance), self.model.load(instance)
                equal(parts(loaded), parts(expected))
            limit = (9, 1, -1)[self._looks % 3]
            lease = (0.0, 0.0, 0.0, 2.0)[self._looks % 4]
            await self.take(store, self._looks * 7 % 20, limit, lease)

        self.run(look())

    async def take(self, store: Store, now: float, limit: int, lease: float) -> None:
        """Claim the earliest; who is first of those due at once is left open."""
        dues = self.model.claimable(now)

        taken = await store.claim(now, limit, lease, "w")

        earliest = sorted(dues.values())[: max(0, limit)]
        equal(len(taken), len(set(taken)))
        equal([dues.get(instance) for instance in taken], earliest)
        for instance in taken:
            self.model.instances[instance].lease = now + lease

    def run(self, call: Coroutine[object, object, T]) -> T:
        return self._runner.run(call)

    def handle(self, at: int) -> Store:
        return self.timed(self.stores[at])

    def fit(self, instance: str, commit: Commit, *, is_owner: bool) -> Commit:
        """Give a commit the next number, and perhaps the token of the owner."""
        found = self.model.instances.get(instance)
        if found is None:
            return commit
        token = found.head.token if is_owner else commit.token
        return replace(commit, seq=found.head.seq + 1, token=token)

    def write(self, at: int, instance: str, commit: Commit) -> None:
        answer = self.run(ask(self.handle(at).commit(instance, commit)))
        self.compare(instance, commit, answer)

    def compare(self, instance: str, commit: Commit, answer: object) -> None:
        """Commit to the model, and demand the same answer of it."""
        apart = tuple(answer.undelivered) if isinstance(answer, Committed) else ()
        given = Committed(apart) if isinstance(answer, Committed) else answer
        equal(apart, tuple(m for m in commit.sends if m in apart))
        if self.model.limits.joins_sends:
            equal(apart, ())
        expected = expect(lambda: self.model.commit(instance, commit, apart))
        equal(given, Committed(apart) if expected is None else expected)
        if expected is None:
            self.outbox += apart
            self.written.append((instance, commit))


def equal(given: object, expected: object) -> None:
    """Demand what the model gives, without pytest's (slow) account of differences."""
    if given != expected:
        raise AssertionError(f"the store gives {given!r}, and the model {expected!r}")


def kind(error: Exception) -> type[Exception]:
    """The contract's name for a refusal; a store may raise a subclass of it."""
    refusals = (Conflict, TooLarge, InstanceFinished)
    return next(each for each in refusals if isinstance(error, each))


async def ask(call: Awaitable[object]) -> object:
    """Give the answer of a store, or the kind of its refusal."""
    try:
        return await call
    except (Conflict, TooLarge, InstanceFinished) as error:
        return kind(error)


def expect(call: Callable[[], object]) -> object:
    """Give the answer of the model, or the kind of its refusal."""
    try:
        return call()
    except (Conflict, TooLarge, InstanceFinished) as error:
        return kind(error)


async def heads(store: Store, query: Query) -> list[object]:
    """List what `find` yields, but for leases, which it may leave out."""
    return [replace(head, lease=0.0) async for head in store.find(query)]


def parts(loaded: Loaded | None) -> list[object]:
    return [] if loaded is None else [loaded.head, *loaded.frames, *loaded.messages]


async def cancel(store: Store, instance: str, commit: Commit, after: int) -> object:
    """Cancel a commit after so many turns of the loop, and give its answer even so.

    That is what an owner does whose answer was lost: it looks whether the last frame
    is its own, and if not commits the same once more.
    """
    task = asyncio.ensure_future(store.commit(instance, commit))
    await turns(after)
    task.cancel()
    try:
        return await ask(task)
    except asyncio.CancelledError:
        pass
    if not await is_last(store, instance, commit):
        answer = await ask(store.commit(instance, commit))
        if answer is not Conflict or not await is_last(store, instance, commit):
            return answer
    if store.limits.joins_sends:
        return Committed()
    apart = [m for m in commit.sends if m not in await store.unread(m.to)]
    return Committed(tuple(apart))
