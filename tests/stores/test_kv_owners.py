"""Owners that freeze, calls that come late or twice: nothing acknowledged is lost."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import Conflict
from edgeflow.store import Commit, Envelope
from edgeflow_kv import KVStore, MemoryKV
from tests.stores.kv_faults import SlowKV, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow.store import Frame, Loaded

FIRST = Commit(
    seq=1,
    frames=(b"",),
    token=b"",
    workflow="flow",
    status="running",
    wake_at=1.0,
    due=1.0,
    now=1.0,
    lease=30.0,
)


def said(frames: Iterable[Frame]) -> list[str]:
    """What all frames say, a snapshot saying it once more."""
    return [word for frame in frames for word in json.loads(frame.body)]


@dataclass
class World:
    """One backend, and what its users were told."""

    traffic: Traffic
    doubled: float
    kv: MemoryKV = field(default_factory=MemoryKV)
    acknowledged: list[str] = field(default_factory=list[str])
    sent: list[str] = field(default_factory=list[str])
    words: int = 0
    epoch: int = 0
    """Goes up when a deletion begins, and when it ends."""

    def store(self) -> KVStore:
        return KVStore(SlowKV(self.kv, self.traffic, self.doubled))

    def word(self) -> str:
        self.words += 1
        return f"word {self.words}"

    def turn_epoch(self) -> None:
        """What was told before says nothing of what is there from now on."""
        self.epoch += 1
        self.acknowledged.clear()
        self.sent.clear()


class Owner:
    """Opens, commits and rests as an engine does, and sometimes freezes for ever."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.traffic.random
        self.store = world.store()
        self.known: list[str] = []
        self.last = FIRST

    async def live(self, times: int) -> None:
        for _ in range(times):
            try:
                await self.open(await self.store.load("i"))
                await self.run()
                while self.random.random() < 0.3:  # it was parked, and goes on
                    await self.run()
            except Conflict:
                continue

    async def open(self, found: Loaded | None) -> None:
        token = self.random.randbytes(16)
        if found is None:
            self.known = []
            await self.commit(replace(FIRST, token=token))
            return
        self.known = said(found.frames)
        is_outsider = self.random.random() < 0.2
        opens = replace(
            FIRST,
            seq=found.head.seq + 1,
            token=token,
            opens=True,
            snapshot=self.random.random() < 0.3,
            lease=0.0 if is_outsider else 30.0,
        )
        await self.commit(opens)

    async def run(self) -> None:
        for _ in range(self.random.randrange(4)):
            await self.flush(lease=30.0)
        if self.random.random() < 0.6:
            await self.flush(lease=0.0)

    async def flush(self, lease: float) -> None:
        unread = await self.store.unread("i")
        taken = [m.id for m in unread if self.random.random() < 0.7]
        commit = replace(
            self.last,
            seq=self.last.seq + 1,
            opens=False,
            snapshot=self.random.random() < 0.3,
            lease=lease,
            status="running",
            wake_at=FIRST.due,
            due=FIRST.due,
            acks=tuple(taken),
        )
        if not lease:
            when = self.random.choice([None, 1.0, 50.0])
            commit = replace(
                commit, status="suspended", awaiting=("a",), wake_at=when, due=when
            )
        await self.commit(commit)

    async def commit(self, commit: Commit) -> None:
        words = [self.world.word(), *commit.acks]
        body = [*self.known, *words] if commit.snapshot else words
        commit = replace(commit, frames=(json.dumps(body).encode(),))
        epoch = self.world.epoch
        await self.store.commit("i", commit)
        if self.world.epoch == epoch:
            self.world.acknowledged += words
        self.known += words
        self.last = commit


async def send(world: World, name: str, times: int) -> None:
    store = world.store()
    for n in range(times):
        message = Envelope("i", f"{name}{n}", "a", b"body")
        epoch = world.epoch
        for _ in range(2):
            await store.send(message)
        if world.epoch == epoch:
            world.sent.append(message.id)


async def claim(world: World, times: int) -> None:
    """Look for what is due, by a wrong clock as a rule."""
    store = world.store()
    for _ in range(times):
        now = world.traffic.random.choice([1.0, 20.0, 40.0, 100.0])
        await store.claim(now, 5, 30.0, "w")


async def delete(world: World, times: int) -> None:
    store = world.store()
    for _ in range(times):
        for _ in range(world.traffic.random.randrange(60)):
            await world.traffic.wait()
        world.turn_epoch()
        await store.delete("i")
        world.turn_epoch()


@pytest.mark.parametrize("deletions", [0, 2])
@pytest.mark.parametrize("frozen", [0.02, 0.3])
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_owners_do_at_once_nothing_acknowledged_is_lost(
    seed: int, frozen: float, deletions: int
) -> None:
    # N-04 N-14 N-18, G3 G4 G11
    world = World(Traffic(seed, frozen), doubled=0.1)

    owners = [Owner(world).live(6) for _ in range(4)]
    senders = [send(world, name, 3) for name in ("m", "n")]
    claimers = [claim(world, 8) for _ in range(2)]
    await world.traffic.run(*owners, *senders, *claimers, delete(world, deletions))

    store = KVStore(world.kv)
    loaded = await store.load("i")
    frames = [] if loaded is None else list(loaded.frames)
    words = Counter(said(frames))
    left = {message.id for message in await store.unread("i")}
    assert set(words.values()) <= {1}
    assert set(world.acknowledged) <= set(words)
    assert not left & set(words), "a message that was consumed is there again"
    assert set(world.sent) <= left | set(words)
    seqs = [frame.seq for frame in frames]
    assert seqs == [*range(seqs[0], seqs[0] + len(seqs))] if seqs else deletions
    is_due = loaded is not None and (loaded.head.wake_at is not None or bool(left))
    assert list(await store.claim(1000.0, 5, 0.0, "w")) == (["i"] if is_due else [])
