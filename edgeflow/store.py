"""What a store must do: one protocol and the values that cross it.

A store keeps bytes; it never looks into a frame or a message. All times are
seconds since the epoch, all durations seconds, all sizes bytes. The facts of
each backend are on the adapter's own page.

This module is at the bottom of the house: but for errors it imports nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from edgeflow.errors import TooLarge
from edgeflow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

Status: TypeAlias = Literal[
    "pending",
    "running",
    "suspended",
    "blocked",
    "undoing",
    "completed",
    "failed",
    "cancelled",
]

TERMINAL: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one store can hold, and what it promises: `StoreSuite` goes by both."""

    max_frame: int = 8 * MIB + 4096
    """The largest body of one frame or message, in bytes: a value and its wrapping."""
    max_group: int = 64 * MIB
    """The most bytes of frames that one commit can carry."""
    joins_sends: bool = True
    """Whether all sends go down with their commit; else some are delivered after it."""
    durable: bool = True
    """Whether an acknowledged commit outlives the store's own failover or power cut."""
    persistent: bool = True
    """Whether the data outlive this process; else they live and end with the store."""
    shared: bool = True
    """Whether several processes can have the data open at once.

    Else a second one is refused by `open`, or finds nothing of the first one's.
    """
    server_clock: bool = False
    """Whether leases and claims go by the store's own clock, and heed no `now`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one flush wrote, or a part of it."""

    seq: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The small row that lists an instance: an index, the frames are the truth."""

    instance: str
    seq: int
    """Number of the last frame."""
    token: bytes
    """The owner's token: 16 random bytes, drawn at OPEN."""
    workflow: str
    status: Status
    wake_at: float | None
    """When the instance asked to be woken; None if it waits for messages only."""
    awaiting: tuple[str, ...]
    """Names of the messages that make a suspended instance due."""
    updated: float
    lease: float = 0.0
    """Until when others leave it alone, in s since the epoch by the store's clock.

    0.0: nobody holds it. `Store.find` may leave it out, which is 0.0 too.
    """


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message on its way or in an inbox."""

    to: str
    id: str
    """Unique in the receiver's inbox for the life of the instance."""
    name: str
    body: bytes
    at: float = 0.0
    """Visible, and able to make the receiver due, from then on; 0: at once."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An instance as one snapshot of the store shows it."""

    head: Head
    frames: Sequence[Frame]
    """From the last snapshot on, in the order of their numbers."""
    messages: Sequence[Envelope]
    """Unread ones in order of arrival, delayed ones too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One atomic, fenced append: everything in it is written, or nothing."""

    seq: int
    """Number of the first frame; the last frame in the store must be seq - 1."""
    frames: tuple[bytes, ...]
    """Bodies of the frames seq, seq + 1, …; at least one."""
    token: bytes
    opens: bool = False
    """Whether this is an OPEN: it takes the instance over from any owner."""
    snapshot: bool = False
    """Whether these frames replace everything before them."""
    workflow: str
    status: Status
    wake_at: float | None = None
    awaiting: tuple[str, ...] = ()
    due: float | None = None
    """When a worker should look at the instance, if no message comes earlier.

    None: not by itself. While the status is "suspended", an unread message
    under an awaited name makes it due from that message's `at` on.
    """
    now: float
    lease: float = 0.0
    """Seconds from `now` for which claims pass this instance over; 0 gives it back."""
    worker: str = ""
    acks: tuple[str, ...] = ()
    """Ids of consumed messages: they keep their id and lose their body."""
    restored: tuple[str, ...] = ()
    """Ids of consumed messages that are unread again, bodies in `restored_bodies`."""
    restored_bodies: tuple[bytes, ...] = ()
    sends: tuple[Envelope, ...] = ()
    """Outgoing messages; a known id and a finished receiver change nothing."""

    @property
    def last(self) -> int:
        """Number of the last frame."""
        return self.seq + len(self.frames) - 1


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer to a commit."""

    undelivered: tuple[Envelope, ...] = ()
    """Sends that could not join the commit: deliver them by `Store.send`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which instances `Store.find` yields; None matches all."""

    workflow: str | None = None
    status: Status | None = None


@runtime_checkable
class Creates(Protocol):
    """The power of a store whose `open` makes what is missing."""

    def missing(self) -> str | None:
        """Say what is not there yet ("there is no file x.db"); None if all is."""
        ...


@runtime_checkable
class SyncCommit(Protocol):
    """The power of a store that can also commit without an event loop.

    At the end of a process whose loop is stuck a watchdog thread writes with it
    what is dirty.
    """

    def commit_sync(self, instance: str, commit: Commit) -> None:
        """Write a commit as `Store.commit` does, from any thread.

        It uses a connection of its own, and neither needs the loop nor waits for it.
        A commit that is already there, as a whole and as the last one (same token,
        same number of its last frame), is answered as written: the loop may have
        been quicker. Sends that cannot join it are not delivered: the next owner
        finds them in the frame.

        Raises:
            Conflict: if another writer was there first; nothing was written.
            TooLarge: if a frame exceeds `limits`; nothing was written.
            StoreUnavailable: if the backend cannot be used now; nothing was written.
            OutcomeUnknown: if the answer was lost; it may have been written.
        """
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at a backend has shown."""

    verdict: Literal["good", "note", "bad"]
    """Good; worth knowing; or what is promised does not hold."""
    text: str
    """What is so; if it is not good, also what to change."""


@runtime_checkable
class Examines(Protocol):
    """The power of a store that can look at what its promises rest on."""

    async def examine(self) -> Sequence[Finding]:
        """Look at the backend's version and settings; needs `open`, changes nothing.

        A setting that can lose acknowledged writes is "bad" if `limits` say
        `durable`, else a "note".
        """
        ...


@runtime_checkable
class Remembers(Protocol):
    """The power of a store that lists the ids of consumed messages.

    `edgeflow copy` takes them along, so that a message sent once more stays known.
    """

    async def consumed(self, instance: str) -> Sequence[str]:
        """Read the ids of the messages that an instance has consumed, in any order."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """The power of a store that takes an instance at rest up again in one call."""

    async def resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        """Lease an instance to now + lease, and read its unread messages.

        None, and nothing changes: `token` is not the last owner's, the instance has
        ended, or another worker holds a lease that is not over.
        """
        ...


@runtime_checkable
class Hints(Protocol):
    """The power of a store that says when something may have become due.

    A hint spares waiting, nothing more: a worker claims at intervals all the same.
    """

    async def hint(self) -> None:
        """Wait until another process may have made an instance due.

        It may return too often, and may miss what happens between two calls.
        """
        ...


@runtime_checkable
class Store(Protocol):
    """Where instances live. `edgeflow.testing.StoreSuite` is its contract.

    Every method may raise `StoreUnavailable` if the backend cannot be reached
    or refuses to work; then nothing was written, except where noted.
    """

    @property
    def limits(self) -> Limits: ...

    async def open(self) -> None:
        """Connect, and create what is missing. Called once before anything else.

        Raises:
            StoreUnavailable: if the backend cannot be used; says why and what to do.
        """
        ...

    async def close(self) -> None:
        """Release everything. A second call does nothing; `open` may follow."""
        ...

    async def load(self, instance: str) -> Loaded | None:
        """Read an instance in one snapshot; None if it was never started."""
        ...

    async def commit(self, instance: str, commit: Commit) -> Committed:
        """Append frames if the last frame is seq - 1 and the token is the owner's.

        An OPEN needs the number only. Frame 1 needs an instance that does not exist.

        Raises:
            Conflict: if another writer was there first; nothing was written.
            TooLarge: if a frame exceeds `limits`; nothing was written.
            OutcomeUnknown: if the answer was lost; it may have been written.
        """
        ...

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        """Prolong the lease to now + lease, without a frame; False: not the owner."""
        ...

    async def unread(self, instance: str) -> Sequence[Envelope]:
        """Read the unread messages in order of arrival, delayed ones too."""
        ...

    async def send(self, message: Envelope) -> bool:
        """Put a message into an inbox; False if its id is known there.

        An inbox exists without its instance and waits for it to start.

        Raises:
            InstanceFinished: if the receiver is completed, failed or cancelled.
            TooLarge: if the body exceeds `limits.max_frame`.
        """
        ...

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        """Take up to `limit` due instances, earliest first; lease them to now + lease.

        Due: its `due` has passed, its lease is over, its status is neither
        terminal nor blocked.
        """
        ...

    def find(self, query: Query) -> AsyncIterator[Head]:
        """Yield matching heads in the order of their ids.

        Leases may be left out, where each would cost a read.
        """
        ...

    async def delete(self, instance: str) -> None:
        """Forget an instance and its inbox; an owner's next commit conflicts."""
        ...


def check_commit(instance: str, commit: Commit, limits: Limits) -> None:
    """Refuse what no store can hold.

    Raises:
        TooLarge: if a frame, the group of frames or a message is above its limit.
        ValueError: if the commit makes no sense.
    """
    if commit.seq < 1 or not commit.frames:
        raise ValueError("a commit has at least one frame, and numbers start at 1")
    if len(commit.restored) != len(commit.restored_bodies):
        raise ValueError("each restored message needs its body")
    check_texts(instance, *commit.awaiting, *commit.acks, *commit.restored)
    total = 0
    for frame in commit.frames:
        size = len(frame)
        total += size
        if size > limits.max_frame:
            raise TooLarge(size, limits.max_frame)
    if total > limits.max_group:
        raise TooLarge(total, limits.max_group, "a group of frames")
    for message in commit.sends:
        check_message(message, limits)


def check_message(message: Envelope, limits: Limits) -> None:
    """Refuse a message that no inbox can hold.

    Raises:
        TooLarge: if the body is above the limit.
        ValueError: if an id or name cannot be kept.
    """
    check_texts(message.to, message.id, message.name)
    if len(message.body) > limits.max_frame:
        raise TooLarge(len(message.body), limits.max_frame, "a message")


def check_texts(*texts: str) -> None:
    """Refuse ids and names that not every store can keep apart.

    SQLite's JSON functions cut a text at NUL; lone surrogates have no UTF-8 form.

    Raises:
        ValueError: if one contains either.
    """
    for text in texts:
        text.encode()
        if "\0" in text:
            raise ValueError(f"the id or name {text!r} contains NUL")
