from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import ConfigError, TooLarge
from edgeflow.store import Commit, Envelope, Limits, Store
from edgeflow.testing import StoreSuite
from edgeflow_memory import MemoryStore
from edgeflow_memory._agenda import Agenda

if TYPE_CHECKING:
    from pathlib import Path

START = Commit(
    seq=1, frames=(b"f",), token=b"t", workflow="w", status="running", due=1.0, now=1.0
)


class TestMemoryStore(StoreSuite):
    async def open_store(self, where: Path) -> Store:
        del where
        store = MemoryStore()
        await store.open()
        return store

    async def reopen(self, store: Store, where: Path) -> Store:
        del where
        return store  # the data are in the object: every App on it is a process


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
