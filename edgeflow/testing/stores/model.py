"""What a store is, on one page: the model that real stores are compared with.

Nothing here is fast or asynchronous. Each method does what the method of
`edgeflow.store.Store` with the same name promises, and raises what it raises.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgeflow.errors import Conflict, InstanceFinished
from edgeflow.store import TERMINAL, Frame, Head, Loaded, check_commit, check_message

if TYPE_CHECKING:
    from collections.abc import Collection

    from edgeflow.store import Commit, Envelope, Limits, Query


@dataclass(slots=True)
class Instance:
    head: Head
    frames: list[Frame]
    due: float | None
    """As its owner said; a message can make it due earlier."""
    lease: float
    """Claims pass it over until then."""


@dataclass(slots=True)
class Inbox:
    arrived: dict[str, Envelope] = field(default_factory=dict[str, "Envelope"])
    """Every message that ever arrived, by its id, in order of arrival."""
    consumed: set[str] = field(default_factory=set[str])


class StoreModel:
    """Instances and inboxes, by id; an inbox needs no instance."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.instances: dict[str, Instance] = {}
        self.inboxes: dict[str, Inbox] = defaultdict(Inbox)

    def load(self, instance: str) -> Loaded | None:
        found = self.instances.get(instance)
        if found is None:
            return None
        head = replace(found.head, lease=found.lease)
        return Loaded(head, tuple(found.frames), self.unread(instance))

    def commit(
        self, instance: str, commit: Commit, apart: Collection[Envelope] = ()
    ) -> None:
        """Append frames; the sends in `apart` do not join."""
        check_commit(instance, commit, self.limits)
        old = self.instances.get(instance)
        if not _follows(old, commit):
            raise Conflict
        frames = [
            Frame(seq, body) for seq, body in enumerate(commit.frames, commit.seq)
        ]
        head = Head(
            instance=instance,
            seq=frames[-1].seq,
            token=commit.token,
            workflow=commit.workflow,
            status=commit.status,
            wake_at=commit.wake_at,
            awaiting=commit.awaiting,
            updated=commit.now,
        )
        if old is not None and not commit.snapshot:
            frames = old.frames + frames
        lease = commit.now + commit.lease if commit.lease > 0 else 0.0
        self.instances[instance] = Instance(head, frames, commit.due, lease)
        inbox = self.inboxes[instance]
        inbox.consumed |= inbox.arrived.keys() & set(commit.acks)
        for known, body in zip(commit.restored, commit.restored_bodies, strict=True):
            if known in inbox.arrived:
                inbox.arrived[known] = replace(inbox.arrived[known], body=body)
                inbox.consumed.discard(known)
        for message in commit.sends:
            if message not in apart:
                with suppress(InstanceFinished):
                    self.send(message)

    def renew(self, instance: str, token: bytes, now: float, lease: float) -> bool:
        found = self.instances.get(instance)
        if found is None or found.head.token != token or found.head.status in TERMINAL:
            return False
        found.lease = now + lease
        return True

    def unread(self, instance: str) -> list[Envelope]:
        inbox = self.inboxes[instance]
        return [m for m in inbox.arrived.values() if m.id not in inbox.consumed]

    def send(self, message: Envelope) -> bool:
        check_message(message, self.limits)
        arrived = self.inboxes[message.to].arrived
        if message.id in arrived:
            return False
        receiver = self.instances.get(message.to)
        if receiver is not None and receiver.head.status in TERMINAL:
            raise InstanceFinished(message.to)
        arrived[message.id] = message
        return True

    def due(self, instance: str) -> float | None:
        """Say when a worker should look at an instance; None: not by itself."""
        found = self.instances[instance]
        if found.head.status in {*TERMINAL, "blocked"}:
            return None
        times = [] if found.due is None else [found.due]
        if found.head.status == "suspended":
            messages = self.unread(instance)
            times += [m.at for m in messages if m.name in found.head.awaiting]
        return min(times, default=None)

    def claimable(self, now: float) -> dict[str, float]:
        """List what a claim may take, with the times since when it is due."""
        free = [i for i, found in self.instances.items() if found.lease <= now]
        dues = {i: due for i in free if (due := self.due(i)) is not None}
        return {i: due for i, due in dues.items() if due <= now}

    def find(self, query: Query) -> list[Head]:
        """List matching heads, without leases."""
        heads = [self.instances[instance].head for instance in sorted(self.instances)]
        if query.workflow is not None:
            heads = [head for head in heads if head.workflow == query.workflow]
        if query.status is not None:
            heads = [head for head in heads if head.status == query.status]
        return heads

    def delete(self, instance: str) -> None:
        self.instances.pop(instance, None)
        self.inboxes.pop(instance, None)


def _follows(old: Instance | None, commit: Commit) -> bool:
    if old is None or commit.seq == 1:
        return old is None and commit.seq == 1
    is_next = commit.seq == old.head.seq + 1
    return is_next and (commit.opens or commit.token == old.head.token)
