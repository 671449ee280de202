"""What a KV store refuses, bears and leaves behind."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeflow.errors import (
    ConfigError,
    Conflict,
    JournalDamaged,
    OutcomeUnknown,
    StoreUnavailable,
    TooLarge,
)
from edgeflow.store import Commit, Envelope, Query
from edgeflow.stores import DEFAULT_URL
from edgeflow_kv import KV, FilesKV, KVStore, MemoryKV, value_limits
from edgeflow_kv._effects import settle
from edgeflow_kv._keys import Keys, Note, escape, milliseconds
from edgeflow_kv._reading import read
from edgeflow_kv._records import decode_message
from edgeflow_kv._stamps import Stamps
from tests.stores.kv_faults import Through

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")

NOW = 1000.0
FIRST = Commit(
    seq=1,
    frames=(b"frame",),
    token=b"owner",
    workflow="flow",
    status="running",
    due=NOW,
    now=NOW,
    lease=30.0,
)
NEXT = replace(FIRST, seq=2)


class Careless(MemoryKV):
    """Knows `if_absent`, and does not heed it, as look-alikes of object stores."""

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        return await super().put(key, value)


class Plain(MemoryKV):
    """Has no conditional put, and says so."""

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        if if_absent:
            raise NotImplementedError("its writes are eventually consistent")
        return await super().put(key, value)


class Faulty(Through):
    """Fails the next put of a kind of key, before or after it is done."""

    def __init__(self, inner: MemoryKV) -> None:
        super().__init__(inner)
        self.fails = ""
        self.error: Exception = OSError("the network is down")
        self.after = False

    async def call(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        if not self.fails or not name.startswith(self.fails):
            return await work()
        self.fails = ""
        if self.after:
            await work()
        raise self.error


@pytest.mark.parametrize(
    ("kv", "why"), [(Careless(), "wrote over"), (Plain(), "eventually consistent")]
)
async def test_a_backend_without_a_conditional_put_is_refused_with_the_reason(
    kv: MemoryKV, why: str
) -> None:
    # N-17
    with pytest.raises(StoreUnavailable, match=why) as refused:
        await KVStore(kv).open()

    assert "single_writer=True" in str(refused.value)


@pytest.mark.parametrize("kv", [Careless(), Plain()])
async def test_one_process_alone_needs_no_conditional_put(kv: MemoryKV) -> None:
    # N-02 N-17
    store = KVStore(kv, single_writer=True)
    await store.open()
    rivals = [replace(FIRST, frames=(bytes([n]),)) for n in range(8)]

    answers = await asyncio.gather(
        *(store.commit("i", rival) for rival in rivals), return_exceptions=True
    )

    assert sum(isinstance(answer, Conflict) for answer in answers) == 7
    await store.commit("i", NEXT)
    again = KVStore(kv, single_writer=True)
    await again.open()
    loaded = await again.load("i")
    assert loaded is not None
    assert loaded.head.seq == 2
    await again.close()


async def test_data_of_a_later_edgeflow_are_refused() -> None:
    kv = MemoryKV()
    await kv.put("format", b"edgeflow 2")

    with pytest.raises(StoreUnavailable, match="edgeflow 2"):
        await KVStore(kv).open()


async def test_a_lost_answer_is_settled_by_reading_back() -> None:
    # N-06, G5
    kv = Faulty(MemoryKV())
    store = KVStore(kv)
    await store.commit("i", FIRST)

    kv.fails, kv.after = "put if absent f/", True
    await store.commit("i", NEXT)
    kv.fails, kv.after = "put if absent f/", False
    with pytest.raises(OutcomeUnknown, match="the network is down"):
        await store.commit("i", replace(NEXT, seq=3))
    await store.commit("i", replace(NEXT, seq=3))

    loaded = await store.load("i")
    assert loaded is not None
    assert [frame.seq for frame in loaded.frames] == [1, 2, 3]


async def test_what_is_certainly_not_written_is_told_as_that() -> None:
    # N-06 G12
    kv = Faulty(MemoryKV())
    kv.error = StoreUnavailable("no route to the backend")
    store = KVStore(kv)
    for fails in ("put w/", "put if absent f/"):
        kv.fails = fails
        with pytest.raises(StoreUnavailable, match="no route"):
            await store.commit("i", FIRST)
        assert await store.load("i") is None

    await store.commit("i", FIRST)


async def test_a_commit_that_cannot_be_proven_is_unknown() -> None:
    # N-06
    kv = Faulty(MemoryKV())
    kv.error = StoreUnavailable("no route to the backend")
    kv.fails = "scan f/"
    store = KVStore(kv)

    with pytest.raises(OutcomeUnknown, match="no route"):
        await store.commit("i", FIRST)

    loaded = await store.load("i")
    assert loaded is not None
    assert loaded.head.token == FIRST.token


@pytest.mark.parametrize("fails", ["put w/", "put m/", "put if absent h/", "delete"])
async def test_effects_that_fail_do_not_fail_the_commit_and_come_later(
    fails: str,
) -> None:
    # N-18 G10 G11
    kv = Faulty(MemoryKV())
    store = KVStore(kv)
    await store.commit("i", FIRST)
    await store.send(Envelope("i", "m", "a", b"body"))
    kv.fails = fails
    rests = replace(NEXT, status="suspended", lease=0.0, due=NOW + 60, acks=("m",))

    await store.commit("i", rests)

    assert not kv.fails
    assert await store.unread("i") == []
    other = KVStore(kv)
    assert list(await other.claim(NOW + 59, 9, 0.0, "w")) == []
    assert list(await other.claim(NOW + 60, 9, 0.0, "w")) == ["i"]
    assert [head.status async for head in other.find(Query())] == ["suspended"]


async def test_a_flush_that_fits_no_value_is_refused_before_any_write() -> None:
    # N-11
    kv = MemoryKV(value_limits(70 * 1024))
    store = KVStore(kv)
    awaiting = tuple(f"a very long name {n}" for n in range(5000))

    with pytest.raises(TooLarge, match="a flush"):
        await store.commit("i", replace(FIRST, awaiting=awaiting))

    assert await kv.scan("") == []
    with pytest.raises(ValueError, match="too small"):
        value_limits(1024)


@pytest.mark.parametrize("kind", ["f/", "h/", "m/", "u/"])
@pytest.mark.parametrize("damage", [b"nonsense", b'{"a": 1}\n', b"{}\nxx"])
async def test_a_damaged_value_is_told_by_its_key(kind: str, damage: bytes) -> None:
    kv = MemoryKV()
    store = KVStore(kv)
    await store.commit("i", FIRST)
    await store.send(Envelope("i", "m", "a", b"body"))
    [(key, _)] = await kv.scan(kind)
    await kv.put(key, damage)

    with pytest.raises(JournalDamaged, match=key):
        await store.load("i")


async def test_a_damaged_instance_hides_no_other() -> None:
    # N-09
    kv = MemoryKV()
    store = KVStore(kv)
    for instance in ("a", "b"):
        await store.commit(instance, replace(FIRST, lease=0.0))
    await kv.put(Keys("a").head(1), b"nonsense")

    assert list(await store.claim(NOW, 9, 30.0, "w")) == ["b"]


async def test_a_frame_that_is_cut_short_is_told_by_its_key() -> None:
    kv = MemoryKV()
    store = KVStore(kv)
    await store.commit("i", FIRST)
    [(key, value)] = await kv.scan("f/")
    await kv.put(key, value[:-1])

    with pytest.raises(JournalDamaged, match=f"{key}.*cut short"):
        await store.load("i")


async def test_only_fences_are_left_below_a_snapshot() -> None:
    # N-03 N-13 G15
    kv = MemoryKV()
    store = KVStore(kv)
    await store.commit("i", FIRST)
    takes_over = replace(NEXT, opens=True, token=b"second")
    await store.commit("i", takes_over)
    rests = replace(FIRST, seq=3, token=b"second", lease=0.0)
    await store.commit("i", rests)
    opens = replace(takes_over, seq=4, token=b"third")
    await store.commit("i", opens)
    await store.commit("i", replace(opens, seq=5, opens=False, snapshot=True))

    keys = Keys("i")
    kept = dict(await kv.scan("f/"))
    assert list(kept) == [keys.frame(2), keys.frame(5)]
    assert kept[keys.frame(2)] == b""


async def test_a_deleted_instance_leaves_two_keys_and_nothing_of_its_inbox() -> None:
    # N-14
    kv = MemoryKV()
    store = KVStore(kv)
    await store.send(Envelope("i", "m", "a", b"body"))
    await store.commit("i", FIRST)
    await store.claim(NOW + 40, 1, 30.0, "w")
    await store.send(Envelope("i", "n", "a", b"body"))
    await store.commit("i", replace(NEXT, acks=("m",)))
    await store.send(Envelope("never born", "m", "a", b"body"))

    await store.delete("i")
    await store.delete("never born")

    await store.claim(NOW + 1000, 9, 0.0, "w")
    assert [key[0] for key, _ in await kv.scan("")] == ["f", "h"]


async def test_an_opener_that_read_the_life_before_is_refused() -> None:
    # N-14, G3
    kv = MemoryKV()
    store, other = KVStore(kv), KVStore(kv)
    await store.commit("i", FIRST)
    assert await store.load("i") is not None
    await other.delete("i")
    await other.commit("i", replace(FIRST, frames=(b"second life",)))

    with pytest.raises(Conflict):
        await store.commit("i", replace(NEXT, opens=True, token=b"late"))

    loaded = await other.load("i")
    assert loaded is not None
    assert [frame.body for frame in loaded.frames] == [b"second life"]


async def test_wakes_of_those_that_rest_for_good_are_not_looked_at_for_ever() -> None:
    # G15
    kv = MemoryKV()
    store = KVStore(kv)
    for n in range(5):
        await store.send(Envelope(f"i{n}", "m", "a", b"body"))
        await store.commit(f"i{n}", replace(FIRST, status="completed"))

    assert list(await store.claim(NOW + 100, 9, 0.0, "w")) == []

    assert await kv.scan("w/") == []
    back = replace(NEXT, opens=True, status="suspended", due=None, awaiting=("a",))
    await store.commit("i3", replace(back, lease=0.0))
    assert list(await store.claim(NOW + 100, 9, 0.0, "w")) == ["i3"]


async def test_a_lease_that_is_given_back_leaves_a_wake_where_it_was() -> None:
    # N-09 G10
    kv = MemoryKV()
    store = KVStore(kv)
    rests = replace(FIRST, status="suspended", lease=0.0)
    await store.commit("i", rests)
    assert await store.renew("i", rests.token, NOW, 60.0)
    assert list(await store.claim(NOW + 1, 9, 0.0, "w")) == []

    assert await KVStore(kv).renew("i", rests.token, NOW, 0.0)

    assert list(await store.claim(NOW + 1, 9, 0.0, "w")) == ["i"]


async def test_effects_that_come_late_bring_nothing_back() -> None:
    # N-18 G11
    kv = MemoryKV()
    store = KVStore(kv)
    await store.send(Envelope("i", "m", "a", b"body"))
    await store.commit("i", replace(FIRST, acks=("m",)))
    frozen = (await read(kv, "i")).state
    frozen.acks = [Note("m", "a", 0.0, (await _stamp(kv)), 0)]
    back = replace(NEXT, opens=True, restored=("m",), restored_bodies=(b"again",))
    await store.commit("i", replace(back, lease=0.0))
    restores, chain, *_ = await read(kv, "i", whole=True)
    restores.backs = chain[-1].returned()

    await settle(kv, frozen)
    assert [m.body for m in await store.unread("i")] == [b"again"]
    opens = replace(NEXT, seq=3, opens=True, token=b"second", acks=("m",))
    await KVStore(kv).commit("i", opens)
    await settle(kv, restores)

    assert list(await store.unread("i")) == []
    loaded = await store.load("i")
    assert loaded is not None
    assert (loaded.head.seq, list(loaded.messages)) == (3, [])


async def _stamp(kv: MemoryKV) -> int:
    [(key, value)] = await kv.scan("m/")
    return decode_message(key, value).note.stamp


async def test_more_than_a_page_of_wakes_that_lead_to_nothing_hide_nobody() -> None:
    # N-09
    store = KVStore(MemoryKV())
    for n in range(150):
        await store.send(Envelope(f"unborn{n}", "m", "a", b"body"))
    await store.commit("i", replace(FIRST, lease=0.0))

    assert list(await store.claim(NOW, 1, 30.0, "w")) == ["i"]


async def test_a_store_forgets_instances_that_it_has_not_met_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    #
    monkeypatch.setattr("edgeflow_kv._store.KNOWN", 2)
    store = KVStore(MemoryKV())
    for n in range(4):
        await store.commit(f"i{n}", replace(FIRST, lease=0.0))
    assert len(await store.claim(NOW, 9, 30.0, "w")) == 4
    for n in range(4):
        await store.commit(f"i{n}", NEXT)

    for n in range(4):
        loaded = await store.load(f"i{n}")
        assert loaded is not None
        assert loaded.head.seq == 2


def test_a_url_names_a_directory(tmp_path: Path) -> None:
    store = FilesKV.from_url(f"files:///{tmp_path}/data")
    assert isinstance(store.kv, FilesKV)
    assert store.limits.persistent
    assert not store.limits.joins_sends
    for url in ("files:", "files:///", "files:data", DEFAULT_URL):
        with pytest.raises(ConfigError, match="files:///relative"):
            FilesKV.from_url(url)


async def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="cannot be used"):
        await KVStore(FilesKV(tmp_path / "file" / "kv")).open()


async def test_a_backend_that_is_refused_is_closed() -> None:
    class Closing(MemoryKV):
        closed = 0

        async def close(self) -> None:
            self.closed += 1
            await super().close()

    kv = Closing()
    await kv.put("format", b"edgeflow 0")

    with pytest.raises(StoreUnavailable, match="laid out"):
        await KVStore(kv).open()

    assert kv.closed == 1


async def test_no_half_of_a_file_is_ever_read_or_left(tmp_path: Path) -> None:
    # N-05
    kv = FilesKV(tmp_path)
    await kv.open()
    values = [bytes([n]) * 100_000 for n in range(4)]

    async def write(value: bytes) -> None:
        for _ in range(5):
            await kv.put("d/k", value)

    writing = asyncio.gather(*map(write, values))
    seen: set[bytes | None] = set()
    while not writing.done():
        seen.add(await kv.get("d/k"))
    await writing

    assert seen <= {None, *values}
    assert [name for *_, names in os.walk(tmp_path) for name in names] == ["k,"]


def test_bindings_are_what_they_claim(tmp_path: Path) -> None:
    for kv in (MemoryKV(), FilesKV(tmp_path)):
        assert isinstance(kv, KV)
    assert FilesKV(tmp_path, sync=False).limits.durable is False


texts = st.text(max_size=12)


@given(texts, texts)
def test_keys_sort_as_their_ids_do(one: str, two: str) -> None:
    # N-12 N-14
    first, second = sorted([one, two])
    assert escape(first) <= escape(second)
    assert (escape(one) == escape(two)) == (one == two)
    assert set(escape(one)) <= set("-=_") | {
        c for c in map(chr, range(128)) if c.isalnum()
    }


# Not `text(min_size=300)`: the oldest Hypothesis we test with cannot draw so much.
longs = st.text(min_size=1, max_size=20).map(lambda text: text * 300)


@given(longs, longs)
def test_long_ids_make_short_keys_of_their_own(one: str, two: str) -> None:
    # N-12
    assert len(escape(one)) <= 180
    assert (escape(one) == escape(two)) == (one == two)


def test_times_beyond_all_keys_are_kept_within_them() -> None:
    for odd, expected in ((-1.0, 0), (float("inf"), 10**13 - 1), (1.0019, 1001)):
        assert milliseconds(odd) == expected


def test_stamps_go_up_whatever_the_clock_says() -> None:
    stamps = Stamps()
    first = stamps.next()
    stamps.saw(first + 10**12)
    stamps.saw(first)

    assert stamps.next() > first + 10**12
    assert len({stamps.next() for _ in range(1000)}) == 1000
