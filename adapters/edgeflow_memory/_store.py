"""MemoryStore: the contract of `edgeflow.store` over a few dicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeflow.errors import ConfigError, Conflict, InstanceFinished
from edgeflow.store import (
    TERMINAL,
    Committed,
    Envelope,
    Frame,
    Head,
    Limits,
    Loaded,
    check_commit,
    check_message,
)
from edgeflow_memory._agenda import Agenda
from edgeflow_memory._inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from edgeflow.store import Commit, Query


JOINED = Committed()


@dataclass(slots=True)
class _Record:
    head: Head
    frames: list[Frame]
    worker: str


class MemoryStore:
    """Keeps encoded bytes, and loses them with the process.

    Same conditions, errors and limits as the stores on disk. Each call is one
    step without an `await` in it. `close` keeps the data: a "crash" is a new
    `App` on the same store.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        """Make an empty store; `limits` say what it holds and whether sends join.

        Whatever they say, its data are in this object and end with it.
        """
        self.limits = replace(
            limits or Limits(),
            durable=False,
            persistent=False,
            shared=False,
            server_clock=False,
        )
        self._records: dict[str, _Record] = {}
        self._inboxes: dict[str, Inbox] = {}
        self._agenda = Agenda()

    @classmethod
    def from_url(cls, url: str) -> MemoryStore:
        """Make an empty store from `memory:`.

        Raises:
            ConfigError: if the URL says anything else.
        """
        if url not in {"memory:", "memory://"}:
            raise ConfigError(f"store {url!r}: a store in memory is called 'memory:'")
        return cls()

    async def open(self) -> None:
        """Do nothing: the data is where it was."""

    async def close(self) -> None:
        """Do nothing: another `App` may go on with the data."""

    async def load(self, instance: str) -> Loaded | None:
        """Read an instance; None if it was never started."""
        record = self._records.get(instance)
        if record is None:
            return None
        return Loaded(record.head, tuple(record.frames), self._unread(instance))

    async def commit(self, instance: str, commit: Commit) -> Committed:
        """Append frames, or change nothing; hand sends back unless they join.

        Raises:
            Conflict: if another writer was there first.
            TooLarge: if a frame or a message exceeds `limits`.
        """
        check_commit(instance, commit, self.limits)
        old = self._records.get(instance)
        if not _follows(old, commit):
            raise Conflict(
                f"frame {commit.seq} of instance {instance!r} does not follow the "
                "last one of the same owner: another writer was there first"
            )
        self._records[instance] = _next(instance, old, commit)
        inbox = self._inboxes.get(instance)
        if inbox is not None:
            inbox.consume(commit.acks)
            for message_id, body in zip(
                commit.restored, commit.restored_bodies, strict=True
            ):
                inbox.restore(message_id, body)
        self._agenda.put(instance, _due(commit, inbox))
        if not self.limits.joins_sends:
            return Committed(commit.sends)
        for message in commit.sends:
            if not self._finished(message.to):
                self._put(message)
        return JOINED

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        """Prolong the lease to now + lease; False: no longer the owner, or ended."""
        record = self._records.get(instance)
        if record is None or record.head.token != token or self._finished(instance):
            return False
        record.head = replace(record.head, lease=now + lease)
        return True

    async def resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        """Lease an instance that nobody else holds, and read its unread messages."""
        record = self._records.get(instance)
        if record is None or record.head.token != token or self._finished(instance):
            return None
        if record.head.lease > now and record.worker != worker:
            return None
        record.head = replace(record.head, lease=now + lease)
        record.worker = worker
        return self._unread(instance)

    async def unread(self, instance: str) -> Sequence[Envelope]:
        """Read the unread messages in order of arrival, delayed ones too."""
        return self._unread(instance)

    async def consumed(self, instance: str) -> Sequence[str]:
        """Read the ids of the messages that an instance has consumed."""
        inbox = self._inboxes.get(instance)
        return () if inbox is None else tuple(inbox.consumed())

    async def send(self, message: Envelope) -> bool:
        """Put a message into an inbox; False if its id is known there.

        Raises:
            InstanceFinished: if the receiver is completed, failed or cancelled.
            TooLarge: if the body exceeds `limits.max_frame`.
        """
        check_message(message, self.limits)
        inbox = self._inboxes.get(message.to)
        if inbox is not None and inbox.knows(message.id):
            return False
        if self._finished(message.to):
            raise InstanceFinished(message.to)
        return self._put(message)

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        """Take up to `limit` due instances, earliest first, for `lease` seconds."""
        records = self._records
        taken = self._agenda.take(now, limit, lambda i: records[i].head.lease <= now)
        for record in map(records.__getitem__, taken):
            record.head = replace(record.head, lease=now + lease)
            record.worker = worker
        return taken

    async def find(self, query: Query) -> AsyncIterator[Head]:
        """Yield matching heads in the order of their ids."""
        for instance in sorted(self._records):
            record = self._records.get(instance)
            if record is not None and _matches(record.head, query):
                yield record.head

    async def delete(self, instance: str) -> None:
        """Forget an instance and its inbox; an owner's next commit conflicts."""
        self._records.pop(instance, None)
        self._inboxes.pop(instance, None)
        self._agenda.put(instance, None)

    def _unread(self, instance: str) -> tuple[Envelope, ...]:
        inbox = self._inboxes.get(instance)
        return () if inbox is None else tuple(inbox.unread())

    def _finished(self, instance: str) -> bool:
        record = self._records.get(instance)
        return record is not None and record.head.status in TERMINAL

    def _put(self, message: Envelope) -> bool:
        """Add a message and make its receiver due, if it waits for that name."""
        if not self._inboxes.setdefault(message.to, Inbox()).put(message):
            return False
        record = self._records.get(message.to)
        if record is None or record.head.status != "suspended":
            return True
        if message.name in record.head.awaiting:
            due = self._agenda.due(message.to)
            self._agenda.put(
                message.to, message.at if due is None else min(due, message.at)
            )
        return True


def _follows(old: _Record | None, commit: Commit) -> bool:
    if commit.seq == 1:
        return old is None
    if old is None or old.head.seq != commit.seq - 1:
        return False
    return commit.opens or old.head.token == commit.token


def _next(instance: str, old: _Record | None, commit: Commit) -> _Record:
    frames = [] if old is None or commit.snapshot else old.frames
    for seq, body in enumerate(commit.frames, commit.seq):
        frames.append(Frame(seq, bytes(body)))
    head = Head(
        instance=instance,
        seq=frames[-1].seq,
        token=bytes(commit.token),
        workflow=commit.workflow,
        status=commit.status,
        wake_at=commit.wake_at,
        awaiting=commit.awaiting,
        updated=commit.now,
        lease=commit.now + commit.lease if commit.lease > 0 else 0.0,
    )
    return _Record(head, frames, commit.worker)


def _due(commit: Commit, inbox: Inbox | None) -> float | None:
    if commit.status in TERMINAL or commit.status == "blocked":
        return None
    if commit.status != "suspended" or inbox is None:
        return commit.due
    times = (commit.due, inbox.earliest(commit.awaiting))
    return min((time for time in times if time is not None), default=None)


def _matches(head: Head, query: Query) -> bool:
    return query.workflow in {None, head.workflow} and query.status in {
        None,
        head.status,
    }
