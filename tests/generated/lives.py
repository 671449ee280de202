"""Processes: what a program's steps, and the store, see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.store import Resumes
from edgeflow.testing.faults import Crashed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from edgeflow.store import Commit, Committed, Envelope, Head, Loaded, Query
    from edgeflow.testing.faults import FaultyStore

    from .world import World


class Life:
    """A process with one instance; it may end right after a commit."""

    def __init__(self, world: World, instance: str) -> None:
        self.world = world
        self.instance = instance
        self.dead = False
        self.inner = world.store
        self.limits = world.store.limits
        self.app = world.app(self, self)

    # --- its steps ----------------------------------------------------------------

    def began(self, what: str, label: str, attempt: int) -> None:
        """An attempt begins: at most once in each life, none after it has ended."""
        world, key = self.world, f"{what} {label}"
        known = world.begun.get(key)
        world.check_attempt(key, attempt)
        if world.effects[key]:
            world.complain(f"{key} begins again, though it has ended")
        if known is not None:
            number, life = known
            if attempt < number:
                world.complain(f"{key}: attempt {attempt} begins after {number}")
            if attempt == number and not life.dead:
                world.complain(f"{key}: attempt {attempt} begins twice")
        world.begun[key] = attempt, self

    def ended(self, what: str, label: str) -> None:
        """A step, or an undo, ends well."""
        self.world.effects[f"{what} {label}"] += 1

    # --- its store ------------------------------------------------------------------

    def check(self) -> None:
        if self.dead:
            raise Crashed("this process has ended")

    async def open(self) -> None:
        self.check()

    async def close(self) -> None:
        pass

    async def load(self, instance: str) -> Loaded | None:
        self.check()
        return await self.inner.load(instance)

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self.check()
        answer = await self.inner.commit(instance, commit)
        world = self.world
        world.commits += 1
        world.bell.set()
        for message in commit.sends:
            world.ring(message.to)
        if world.commits in world.crashes:
            self.dead = True
            world.deaths += 1
        self.check()
        return answer

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        self.check()
        return await self.inner.renew(instance, token, now, lease)

    async def unread(self, instance: str) -> Sequence[Envelope]:
        self.check()
        return await self.inner.unread(instance)

    async def send(self, message: Envelope) -> bool:
        self.check()
        answer = await self.inner.send(message)
        self.world.bell.set()
        self.world.ring(message.to)
        return answer

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        self.check()
        return await self.inner.claim(now, limit, lease, worker)

    def find(self, query: Query) -> AsyncIterator[Head]:
        self.check()
        return self.inner.find(query)

    async def delete(self, instance: str) -> None:
        self.check()
        await self.inner.delete(instance)

    async def resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        self.check()
        assert isinstance(self.inner, Resumes)
        return await self.inner.resume(instance, token, now, lease, worker)


class Process:
    """A process with all instances in it, as their steps see it."""

    def __init__(self, world: World, store: FaultyStore) -> None:
        self.world = world
        self.store = store
        self.app = world.app(self, store)

    @property
    def dead(self) -> bool:
        return self.store.crashed is not None

    def began(self, what: str, label: str, attempt: int) -> None:
        """An attempt begins: nothing that is durable is done again."""
        world, key = self.world, f"{what} {label}"
        if self.dead:
            return
        world.check_attempt(key, attempt)
        if key in world.durable:
            world.complain(f"{key} begins again, though it is durable")
        if attempt <= world.failed.get(key, 0):
            world.complain(f"{key}: attempt {attempt} begins again")

    def ended(self, what: str, label: str) -> None:
        if not self.dead:
            self.world.effects[f"{what} {label}"] += 1
