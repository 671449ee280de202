"""A store that remembers what was asked of it: to count commits in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.store import Resumes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from edgeflow.store import (
        Commit,
        Committed,
        Envelope,
        Head,
        Loaded,
        Query,
        Store,
    )


class RecordingStore:
    """Passes every call on to `inner`, and keeps what was acknowledged.

    It has `resume` if `inner` has it: see `edgeflow.store.Resumes`.
    """

    def __init__(self, inner: Store) -> None:
        """Wrap a store."""
        self.inner = inner
        self.limits = inner.limits
        self.commits: list[Commit] = []
        """Acknowledged commits, oldest first."""
        self.calls: list[str] = []
        """Names of all methods called, oldest first."""
        if isinstance(inner, Resumes):
            self.resume = self._resume

    async def open(self) -> None:
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def load(self, instance: str) -> Loaded | None:
        self.calls.append("load")
        return await self.inner.load(instance)

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self.calls.append("commit")
        answer = await self.inner.commit(instance, commit)
        self.commits.append(commit)
        return answer

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        self.calls.append("renew")
        return await self.inner.renew(instance, token, now, lease)

    async def unread(self, instance: str) -> Sequence[Envelope]:
        self.calls.append("unread")
        return await self.inner.unread(instance)

    async def send(self, message: Envelope) -> bool:
        self.calls.append("send")
        return await self.inner.send(message)

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        self.calls.append("claim")
        return await self.inner.claim(now, limit, lease, worker)

    def find(self, query: Query) -> AsyncIterator[Head]:
        self.calls.append("find")
        return self.inner.find(query)

    async def delete(self, instance: str) -> None:
        self.calls.append("delete")
        await self.inner.delete(instance)

    async def _resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        assert isinstance(self.inner, Resumes)
        self.calls.append("resume")
        return await self.inner.resume(instance, token, now, lease, worker)
