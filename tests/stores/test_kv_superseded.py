"""A frame that a new owner has read was written, though a snapshot lies above it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from edgeflow.store import Committed
from edgeflow.testing.stores.parts import FIRST, NEXT, OPEN, frames, put, read
from edgeflow_kv import KVStore, MemoryKV
from edgeflow_kv._frames import is_below_a_cut
from edgeflow_kv._keys import Keys
from edgeflow_kv._reading import State
from edgeflow_kv._records import Record
from tests.stores.kv_faults import Through

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class Held(Through):
    """Lets a test do something just before frames are scanned after a put of one."""

    def __init__(self, inner: MemoryKV, then: Callable[[], Awaitable[object]]) -> None:
        super().__init__(inner)
        self._then = then
        self._has_put = False

    async def call(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        if self._has_put and name.startswith("scan f/"):
            self._has_put = False
            await self._then()
        self._has_put = self._has_put or name.startswith("put if absent f/")
        return await work()


@pytest.mark.parametrize("trims", [False, True])
async def test_what_a_new_owner_has_read_is_not_called_a_conflict(
    *, trims: bool
) -> None:
    # N-04 N-06
    kv = MemoryKV()
    other = KVStore(kv)
    await other.open()
    await put(other, "i", FIRST)

    async def take_over() -> None:
        seen = (await read(other, "i")).head.seq
        assert seen == 2
        await put(other, "i", replace(OPEN, seq=3, snapshot=trims))

    store = KVStore(Held(kv, take_over))
    assert await store.commit("i", NEXT) == Committed()

    whole = [(1, b"first"), (2, b"next"), (3, b"open")]
    assert await frames(other, "i") == (whole[2:] if trims else whole)


async def test_another_frame_of_the_same_stamp_does_not_speak_for_a_void_one() -> None:
    # N-04: a clock that is coarse gives two processes one stamp
    kv, keys = MemoryKV(), Keys("i")
    void = Record(
        position=2,
        stamp=7,
        life=0,
        snap=1,
        clean=0,
        fence=False,
        released=True,
    )
    cut = replace(void, position=5, snap=5)
    above = replace(cut, position=6, stamp=8, after=7)
    for record in (void, cut, above):
        await kv.put(keys.frame(record.position), record.encode())

    state = State("i", keys)
    assert await is_below_a_cut(kv, state, void)
    assert not await is_below_a_cut(kv, state, cut)
