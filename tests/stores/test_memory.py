from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import ConfigError, Conflict, TooLarge
from edgeflow.store import Commit, Committed, Envelope, Limits, Store
from edgeflow.testing import RecordingStore, StoreSuite
from edgeflow.testing.stores import emergency
from edgeflow_memory import MemoryStore
from edgeflow_memory._agenda import Agenda

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START = Commit(
    seq=1, frames=(b"f",), token=b"t", workflow="w", status="running", due=1.0, now=1.0
)


class TestMemoryStore(StoreSuite):
    async def open_store(self, where: Path) -> Store:
        return MemoryStore()


class TestMemoryStoreWhoseSendsComeLater(StoreSuite):
    async def open_store(self, where: Path) -> Store:
        return MemoryStore(Limits(joins_sends=False))


class Ticking(MemoryStore):
    """A store with a clock of its own, as a server has it."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = replace(self.limits, server_clock=True)
        self.now = 0.0

    async def commit(self, instance: str, commit: Commit) -> Committed:
        now = self.now if commit.lease else commit.now
        return await super().commit(instance, replace(commit, now=now))

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        return await super().renew(instance, token, self.now, lease)

    async def resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        return await super().resume(instance, token, self.now, lease, worker)

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        return await super().claim(self.now, limit, lease, worker)


class TestMemoryStoreWithAClock(StoreSuite):
    async def open_store(self, where: Path) -> Store:
        return Ticking()

    async def set_clock(self, store: Store, now: float) -> None:
        assert isinstance(store, Ticking)
        store.now = now


async def test_without_set_clock_a_case_says_why_it_is_skipped() -> None:
    timed = TestMemoryStore().timed(Ticking())
    with pytest.raises(pytest.skip.Exception, match=r"^Ticking declares server_clock"):
        await timed.claim(1.0, 1, 0.0, "w")


class Threaded(MemoryStore):
    """A store that commits without a loop, because it waits for nothing."""

    def commit_sync(self, instance: str, commit: Commit) -> None:
        try:
            self.commit(instance, commit).send(None)
        except StopIteration:
            return
        except Conflict:
            head = None if (r := self._records.get(instance)) is None else r.head
            if head is None or (head.seq, head.token) != (commit.last, commit.token):
                raise


class TestMemoryStoreThatCommitsByThread(StoreSuite):
    async def open_store(self, where: Path) -> Store:
        return Threaded(Limits(joins_sends=False))


class Stuck(MemoryStore):
    """A store whose threads wait for the loop."""

    async def open(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()

    def commit_sync(self, instance: str, commit: Commit) -> None:
        call = self.commit(instance, commit)
        asyncio.run_coroutine_threadsafe(call, self.loop).result()
        self.loop.call_soon_threadsafe(self.ended.set)


async def test_a_thread_that_waits_for_the_loop_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(emergency, "PATIENCE", 0.05)
    store = Stuck()
    await store.open()
    with pytest.raises(AssertionError, match="waits for the event loop"):
        await Opened(store).test_a_thread_writes_a_commit_as_a_whole(store, store)
    await store.ended.wait()


class Opened(StoreSuite):
    """The suite of a store that is there already."""

    def __init__(self, store: Store) -> None:
        self.store_again = store

    async def open_store(self, where: Path) -> Store:
        return self.store_again


def lying(store: Store, **lie: bool) -> Store:
    liar = RecordingStore(store)
    liar.limits = replace(store.limits, **lie)
    return liar


@pytest.mark.parametrize("joins", [True, False])
async def test_a_lie_about_sends_is_found(*, joins: bool) -> None:
    liar = lying(MemoryStore(Limits(joins_sends=not joins)), joins_sends=joins)
    with pytest.raises(AssertionError, match="joins_sends"):
        await Opened(liar).test_sends_join_their_commit_or_are_handed_back(liar, liar)


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_lie_about_what_outlives_the_process_is_found(
    tmp_path: Path, *, persistent: bool
) -> None:
    liar = lying(MemoryStore(), persistent=persistent)
    again: Store = MemoryStore() if persistent else liar
    suite = Opened(again)
    with pytest.raises(AssertionError, match="persistent"):
        await suite.test_data_outlive_the_store_object_or_not(liar, tmp_path)


@pytest.mark.parametrize("shared", [True, False])
async def test_a_lie_about_several_processes_is_found(
    tmp_path: Path, *, shared: bool
) -> None:
    liar = lying(MemoryStore(), shared=shared)
    suite = Opened(liar)
    with pytest.raises(AssertionError, match="shared"):
        await suite.test_several_processes_share_the_data_or_are_kept_apart(
            liar, liar, tmp_path
        )


@pytest.mark.parametrize("server_clock", [True, False])
async def test_a_lie_about_the_clock_is_found(*, server_clock: bool) -> None:
    honest = MemoryStore() if server_clock else Ticking()
    liar = lying(honest, server_clock=server_clock)
    with pytest.raises(AssertionError, match="server_clock"):
        await Opened(liar).test_claims_and_leases_go_by_the_declared_clock(liar)


def test_a_promise_that_cannot_be_true_is_found() -> None:
    liar = lying(MemoryStore(), durable=True)
    with pytest.raises(AssertionError, match="durable"):
        Opened(liar).test_promises_and_sizes_fit_together(liar)


def test_it_declares_that_its_data_end_with_it() -> None:
    limits = MemoryStore(Limits()).limits

    assert (limits.durable, limits.persistent, limits.shared) == (False,) * 3


def test_a_url_makes_an_empty_store() -> None:
    assert isinstance(MemoryStore.from_url("memory:"), Store)
    with pytest.raises(ConfigError, match="memory:"):
        MemoryStore.from_url("memory:name")


async def test_limits_can_be_adjusted() -> None:
    store = MemoryStore(Limits(max_frame=1, max_group=2))
    await store.commit("i", replace(START, frames=(b"1", b"2")))
    with pytest.raises(TooLarge, match="a frame of 2 bytes"):
        await store.commit("j", replace(START, frames=(b"12",)))
    with pytest.raises(TooLarge, match="a group of frames of 3 bytes"):
        await store.commit("j", replace(START, frames=(b"1", b"2", b"3")))


async def test_it_keeps_bytes_and_not_the_callers_buffer() -> None:
    store = MemoryStore()
    buffer = bytearray(b"before")
    view = memoryview(buffer)
    await store.commit("i", replace(START, frames=(view,)))  # type: ignore[arg-type] # a buffer, to change it
    await store.send(Envelope("i", "m", "n", view))  # type: ignore[arg-type] # likewise
    buffer[:] = b"after!"

    loaded = await store.load("i")

    assert loaded is not None
    assert loaded.frames[0].body == b"before"
    assert loaded.messages[0].body == b"before"


def test_outdated_wake_times_do_not_pile_up() -> None:
    agenda = Agenda()
    for seconds in range(5000):
        agenda.put("i", float(seconds))

    assert len(agenda) < 100
    assert agenda.take(4999.0, 5, lambda _: True) == ["i"]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_texts_that_sqlite_could_not_keep_are_refused_here_too(text: str) -> None:
    store = MemoryStore()
    for commit in (replace(START, acks=(text,)), replace(START, awaiting=(text,))):
        with pytest.raises(ValueError):  # noqa: PT011 - the text differs
            await store.commit("i", commit)
    with pytest.raises(ValueError):  # noqa: PT011 - the text differs
        await store.send(Envelope("i", text, "n", b""))


@pytest.mark.parametrize(
    "senseless",
    [{"seq": 0}, {"frames": ()}, {"restored": ("m",)}],
)
async def test_a_senseless_commit_is_refused(senseless: dict[str, object]) -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match=r"numbers start at 1|needs its body"):
        await store.commit("i", replace(START, **senseless))  # type: ignore[arg-type] # on purpose
