"""Each call to the backend may be the last one of its process (CONFORMANCE N-18)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import pytest

from edgeflow.errors import Conflict
from edgeflow.store import Commit, Envelope, Query
from edgeflow.testing.faults import Crashed
from edgeflow.testing.stores.model import StoreModel
from edgeflow_kv import KVStore, MemoryKV
from tests.stores.kv_faults import MortalKV, copy_of

if TYPE_CHECKING:
    from edgeflow.store import Frame, Head, Store

    Shown: TypeAlias = tuple[Head, list[Frame]] | list[Envelope] | None

NOW = 1000.0
LEASE = 30.0
LATER = (NOW, NOW + 5, NOW + LEASE, NOW + 60, NOW + 3600)
IDS = ("i", "peer", "unborn")
ONE, TWO, THREE = (bytes([n]) * 16 for n in (1, 2, 3))


@dataclass(frozen=True)
class Put:
    """A commit, and the delivery of what could not join it."""

    instance: str
    commit: Commit

    async def do(self, store: Store) -> None:
        await store.commit(self.instance, self.commit)
        await self.deliver(store)

    async def repeat(self, store: Store) -> None:
        """Go on as an owner does that does not know whether it was written."""
        loaded = await store.load(self.instance)
        last = self.commit.seq + len(self.commit.frames) - 1
        mine = (last, self.commit.token)
        if loaded is None or (loaded.head.seq, loaded.head.token) != mine:
            await store.commit(self.instance, self.commit)
        else:
            with pytest.raises(Conflict):
                await store.commit(self.instance, self.commit)
        await self.deliver(store)

    async def deliver(self, store: Store) -> None:
        for message in self.commit.sends:
            await store.send(message)

    def tell(self, model: StoreModel) -> None:
        model.commit(self.instance, self.commit)


@dataclass(frozen=True)
class Send:
    message: Envelope

    async def do(self, store: Store) -> None:
        await store.send(self.message)

    async def repeat(self, store: Store) -> None:
        await store.send(self.message)
        assert not await store.send(self.message)

    def tell(self, model: StoreModel) -> None:
        model.send(self.message)


@dataclass(frozen=True)
class Delete:
    instance: str

    async def do(self, store: Store) -> None:
        await store.delete(self.instance)

    async def repeat(self, store: Store) -> None:
        await store.delete(self.instance)

    def tell(self, model: StoreModel) -> None:
        model.delete(self.instance)


@dataclass(frozen=True)
class Renew:
    instance: str
    token: bytes
    lease: float

    async def do(self, store: Store) -> None:
        assert await store.renew(self.instance, self.token, NOW, self.lease)

    async def repeat(self, store: Store) -> None:
        await self.do(store)

    def tell(self, model: StoreModel) -> None:
        assert model.renew(self.instance, self.token, NOW, self.lease)


RUNS = Commit(
    seq=1,
    frames=(b"frame",),
    token=ONE,
    workflow="flow",
    status="running",
    due=NOW,
    now=NOW,
    lease=LEASE,
)
RESTS = replace(RUNS, status="suspended", lease=0.0, due=None, awaiting=("a",))


def to(instance: str, name: str, id_: str, at: float = 0.0) -> Send:
    return Send(Envelope(instance, id_, name, f"body of {id_}".encode(), at))


def opened(seq: int, token: bytes, base: Commit = RUNS, **changes: object) -> Commit:
    return replace(base, seq=seq, token=token, opens=True, **changes)  # type: ignore[arg-type] # fields of a commit


OPERATIONS: tuple[Put | Send | Delete | Renew, ...] = (
    to("i", "a", "early"),
    Put("peer", replace(RESTS, token=TWO)),
    Put("i", replace(RUNS, frames=(b"1", b"2"))),
    to("i", "a", "second"),
    to("i", "b", "late", NOW + 60),
    Put("i", replace(RUNS, seq=3, acks=("early", "unknown"))),
    Put("i", replace(RUNS, seq=4, sends=(to("peer", "a", "sent").message,))),
    Renew("i", ONE, 40.0),
    Put("i", replace(RUNS, seq=5, snapshot=True, now=NOW + 20)),
    Put("i", replace(RESTS, seq=6, due=NOW + 5, awaiting=("b",))),
    Renew("i", ONE, LEASE),
    Renew("i", ONE, 0.0),
    Put("i", opened(7, TWO)),
    Put("i", opened(8, THREE)),  # a takeover: a fence
    Put("i", replace(RUNS, seq=9, token=THREE, acks=("second",))),
    Put("i", opened(10, TWO, snapshot=True)),
    Put(
        "i",
        opened(
            11,
            ONE,
            RESTS,
            status="pending",
            due=NOW,
            restored=("second", "early"),
            restored_bodies=(b"", b"again"),
        ),
    ),
    Put("i", opened(12, TWO)),
    Put("i", replace(RUNS, seq=13, token=TWO, acks=("early",), snapshot=True)),
    Put("i", replace(RESTS, seq=14, token=TWO, awaiting=("a", "b"))),
    Put("peer", opened(2, ONE, acks=("sent",))),
    Put("peer", replace(RESTS, seq=3, status="failed", due=None)),
    Put("i", opened(15, THREE)),
    Put("i", replace(RESTS, seq=16, token=THREE, status="blocked", acks=("second",))),
    Put("i", opened(17, ONE, RESTS, status="suspended", awaiting=("b",))),
    Delete("peer"),
    to("peer", "a", "sent"),
    Put("peer", replace(RESTS, token=THREE)),
    Put("peer", opened(2, TWO, acks=("sent",))),
    to("unborn", "a", "m"),
    Delete("unborn"),
    Delete("i"),
    Delete("peer"),
)


async def reopened(kv: MemoryKV) -> KVStore:
    store = KVStore(kv)
    await store.open()
    return store


async def picture(store: Store) -> list[Shown]:
    """What is known of all instances by themselves."""
    shown: list[Shown] = []
    for instance in IDS:
        loaded = await store.load(instance)
        shown.append(None if loaded is None else (loaded.head, [*loaded.frames]))
        unread = list(await store.unread(instance))
        assert loaded is None or list(loaded.messages) == unread
        shown.append(unread)
    return shown


def pictured(model: StoreModel) -> list[Shown]:
    shown: list[Shown] = []
    for instance in IDS:
        loaded = model.load(instance)
        shown.append(None if loaded is None else (loaded.head, [*loaded.frames]))
        shown.append(list(model.unread(instance)))
    return shown


def unclaimed(shown: list[Shown]) -> list[Shown]:
    """The same without leases: who looked after an instance has moved them."""
    return [
        (replace(each[0], lease=0.0), each[1]) if isinstance(each, tuple) else each
        for each in shown
    ]


async def listed(store: Store) -> list[object]:
    return [head async for head in store.find(Query())]


async def dues(kv: MemoryKV) -> list[set[str]]:
    """What is due at some times, in an untouched copy for each."""
    found: list[set[str]] = []
    for time in LATER:
        store = await reopened(await copy_of(kv))
        found.append(set(await store.claim(time, 9, LEASE, "w")))
    return found


async def look_after(kv: MemoryKV) -> None:
    """Let somebody look at whatever has a wake: the list is late until then."""
    for time in LATER:
        await (await reopened(kv)).claim(time, 9, 0.0, "w")


def expected_dues(model: StoreModel) -> list[set[str]]:
    return [set(model.claimable(time)) for time in LATER]


async def at(place: int) -> tuple[MemoryKV, StoreModel]:
    """The data before one of the operations, each done by a process of its own."""
    kv = MemoryKV()
    model = StoreModel(kv.limits)
    await reopened(kv)
    for operation in OPERATIONS[:place]:
        await operation.do(KVStore(kv))
        operation.tell(model)
    return kv, model


@pytest.mark.parametrize("place", range(len(OPERATIONS)))
async def test_a_crash_after_any_call_leaves_a_legal_state_and_repeats_are_harmless(
    place: int,
) -> None:
    # N-18, G3 G10 G11
    operation = OPERATIONS[place]
    base, model = await at(place)
    done = deepcopy(model)
    operation.tell(done)
    before_and_after = [pictured(model), pictured(done)]
    calls = MortalKV(await copy_of(base))
    await operation.do(KVStore(calls))
    assert await picture(KVStore(calls.inner)) == before_and_after[1]
    assert await dues(calls.inner) == expected_dues(done)
    assert calls.calls

    for call in range(1, len(calls.calls) + 1):
        kv = await copy_of(base)
        with pytest.raises(Crashed):
            await operation.do(KVStore(MortalKV(kv, call)))
        told = f"{operation} crashed after {calls.calls[call - 1]}"
        store = await reopened(kv)

        shown = await picture(store)
        is_done = _is_done(operation, shown, before_and_after)
        state = done if is_done else model
        for early, expected in zip(await dues(kv), expected_dues(state), strict=True):
            assert early >= _surely(operation, model, done, expected), told

        again, at_once = await copy_of(kv), await copy_of(kv)
        await operation.repeat(KVStore(kv))
        assert await picture(store) == before_and_after[1], told
        assert await dues(kv) == expected_dues(done), told
        await look_after(kv)
        assert await listed(store) == done.find(Query()), told
        await look_after(again)
        for other in (again, at_once):
            await _goes_on(other, operation, deepcopy(done), place, told)


def _is_done(operation: object, shown: list[Shown], both: list[list[Shown]]) -> bool:
    """Whether it happened: as a whole, but for messages that are to be delivered."""
    if isinstance(operation, Put) and operation.commit.sends:
        at = 2 * IDS.index(operation.instance)
        assert shown[at : at + 2] in [each[at : at + 2] for each in both]
        return shown[at] == both[1][at]
    if isinstance(operation, Delete):
        # The inbox may go piece by piece, once the instance is gone.
        at = 2 * IDS.index(operation.instance)
        assert shown[at] in [both[0][at], both[1][at]]
        assert shown == both[0] or shown[at] is None
        return shown[at] is None
    assert shown in both
    return shown == both[1]


def _surely(
    operation: object, model: StoreModel, done: StoreModel, expected: set[str]
) -> set[str]:
    """What must be due: not what a send or a lease under way decides."""
    if isinstance(operation, Send):
        return expected - {operation.message.to}
    if isinstance(operation, Put):
        return expected - {message.to for message in operation.commit.sends}
    if isinstance(operation, Renew):
        return expected - {operation.instance}
    return expected


async def _goes_on(
    kv: MemoryKV,
    operation: Put | Send | Delete | Renew,
    model: StoreModel,
    place: int,
    told: str,
) -> None:
    """Repeat it, and go on with all that follows."""
    await operation.repeat(KVStore(kv))
    for following in OPERATIONS[place + 1 :]:
        await following.do(KVStore(kv))
        following.tell(model)
        shown = unclaimed(await picture(KVStore(kv)))
        assert shown == unclaimed(pictured(model)), (told, following)
    store = await reopened(kv)
    assert unclaimed(await picture(store)) == unclaimed(pictured(model)), told
    assert await listed(store) == model.find(Query()), told


async def test_what_is_sent_after_a_deletion_that_was_torn_is_for_the_next_life() -> (
    None
):
    # N-14 N-18, G11
    base, _ = await at(len(OPERATIONS) - 2)  # before "i" is deleted
    calls = MortalKV(await copy_of(base))
    await KVStore(calls).delete("i")
    begun: set[bool] = set()

    for call in range(1, len(calls.calls) + 1):
        kv = await copy_of(base)
        with pytest.raises(Crashed):
            await KVStore(MortalKV(kv, call)).delete("i")
        store = KVStore(kv)
        begun.add(is_gone := await store.load("i") is None)
        if not is_gone:
            continue
        assert await store.send(to("i", "a", "for the next life").message)
        starts = replace(RESTS, token=TWO)
        await KVStore(kv).commit("i", starts)

        unread = [message.id for message in await KVStore(kv).unread("i")]
        assert unread == ["for the next life"], calls.calls[call - 1]
        assert list(await KVStore(kv).claim(NOW, 9, 0.0, "w")) == ["i"]
        assert [h.token async for h in KVStore(kv).find(Query()) if h.instance == "i"]
    assert begun == {False, True}
