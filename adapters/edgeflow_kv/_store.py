"""KVStore: the contract of `edgeflow.store` over a key-value backend.

One commit is one conditional put: the frame at position n+1 is written if there is
none. What cannot be in that put is done before or after it, in this order:

| part                                           | a crash after it means            |
|------------------------------------------------|-----------------------------------|
| 1. the wake, unless an earlier one is there    | an early wake: nothing is due     |
| 2. **the frame, if its position is absent**    | committed; readers lay 3 over it  |
| 3. the wake, if not before; consumed messages  | the list is late                  |
| 4. the head's copy in the list; removals: old  | more to read, more wakes to look  |
|    wakes and heads, entries, frames below it   | into; the next one removes them   |

Between an OPEN and the next rest a commit is part 2 alone, one put, as long as it
consumes nothing and half of the lease is left. Parts 3 and 4 can be done by anybody,
once more and late (`_effects`); `claim` does them for an owner that died.

Three rules keep a writer that slept from being believed.

- *Put, then read.* Whoever begins to write (a start, an OPEN, an owner that gave its
  lease back) reads what is above its frame before it trusts it. A snapshot or deletion
  there means that the position had been trimmed: the frame is void.
- *Fences stay.* An owner that holds a lease writes without reading, so the position
  after its last frame must never be free again: if another one's OPEN stands there,
  trimming keeps its key. A deletion is such a fence. Resting well (lease 0) is what
  keeps these few.
- *Nothing is used twice.* Positions go on after a deletion; wakes and heads carry
  theirs; a message that is unread again is another copy. A write or removal that comes
  too late meets a key that nobody reads any more.

A send is the message, if its id is absent, then its entry in the index of the unread
and a wake of its own, which stays until the message is consumed. A deletion is a frame.

Rounds of calls, one after the other, until the answer is safe: load 2, unread 2, start
2 and a read, OPEN 1 and a read (2 if no wake is there yet), commit 1 to 2, send a read
and 2, claim 4 and more. Up to two more rounds put the effects of a commit in order.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from edgeflow.errors import Conflict, StoreUnavailable
from edgeflow.store import Committed, Loaded, check_commit, check_message
from edgeflow_kv import (
    _claims,
    _deletes,
    _frames,
    _leases,
    _lists,
    _messages,
    _powers,
)
from edgeflow_kv._commits import follows
from edgeflow_kv._keys import FORMAT, Keys
from edgeflow_kv._reading import State, read
from edgeflow_kv._single import SingleWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from edgeflow.store import Commit, Envelope, Finding, Head, Limits, Query
    from edgeflow_kv._kv import KV

T = TypeVar("T")

LAYOUT = b"edgeflow 1"
KNOWN = 4096
"""How many instances a store remembers, to commit without a read."""


class KVStore:
    """Keeps instances in a key-value backend, which several processes may share."""

    def __init__(self, kv: KV, *, single_writer: bool = False) -> None:
        """Keep everything in `kv`.

        `single_writer` is your word that one process at a time uses the data: then the
        backend need not know `if_absent`. If another one does, both may commit.
        """
        self.kv: KV = SingleWriter(kv) if single_writer else kv
        self._known: OrderedDict[str, State] = OrderedDict()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._claiming = asyncio.Lock()
        self._claimed: dict[str, list[str]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def limits(self) -> Limits:
        return self.kv.limits

    def missing(self) -> str | None:
        """Say what is not there yet, and is made by `open`; None if that is unknown."""
        return _powers.missing(self.kv)

    async def open(self) -> None:
        """Connect, and try whether the backend puts conditionally.

        Raises:
            StoreUnavailable: if it does not, or holds data of a later edgeflow.
        """
        self._known.clear()
        self._turns.clear()
        self._claiming = asyncio.Lock()
        await self.kv.open()
        try:
            await self._fit()
        except BaseException:
            await self.kv.close()
            raise

    async def _fit(self) -> None:
        try:
            is_new = await self.kv.put(FORMAT, LAYOUT, if_absent=True)
            again = is_new and await self.kv.put(FORMAT, LAYOUT, if_absent=True)
        except NotImplementedError as error:
            raise _unfit(str(error)) from error
        if again:
            raise _unfit("it wrote over a value that was there")
        found = await self.kv.get(FORMAT)
        if found != LAYOUT:
            raise StoreUnavailable(
                f"the data are laid out as {found!r}, this edgeflow knows {LAYOUT!r}: "
                "use the version that wrote them, or another place"
            )

    async def close(self) -> None:
        """Let commits in flight land, and disconnect; a second call does nothing."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._known.clear()
        await self.kv.close()

    async def load(self, instance: str) -> Loaded | None:
        """Read an instance; None if it was never started.

        What is read is of one moment only if nobody commits meanwhile: an OPEN on top
        of it fails if somebody did.
        """
        async with self._turn(instance):
            found, leases = await asyncio.gather(
                read(self.kv, instance, whole=True, inbox=True),
                self.kv.scan(Keys(instance).leases),
            )
            state, chain, messages, _ = found
            if state.tail is None or state.tail.deleted:
                self._known.pop(instance, None)
                return None
            self._remember(state)
        frames = [frame for record in chain for frame in record.frames()]
        lease = _leases.latest(state.keys, state.tail, leases)
        head = state.tail.head(instance, lease.until)
        return Loaded(head, tuple(frames), tuple(messages))

    async def commit(self, instance: str, commit: Commit) -> Committed:
        """Append frames by one conditional put; hand the sends back.

        If its await is cancelled it is written as a whole or not at all; a `load` that
        is called after that sees which.

        Raises:
            Conflict: if another writer was there first.
            TooLarge: if the flush or a message exceeds `limits`; nothing was written.
            OutcomeUnknown: if the answer was lost; it may have been written.
            StoreUnavailable: if the backend cannot be written now; nothing was.
        """
        check_commit(instance, commit, self.limits)
        await self._alone(instance, lambda: self._append(instance, commit))
        return Committed(commit.sends)

    async def _append(self, instance: str, commit: Commit) -> None:
        state = self._known.pop(instance, None)
        claimed = self._claimed.pop(instance, [])
        if state is None and commit.seq == 1:  # who starts finds nothing, as a rule
            state = State(instance, Keys(instance))
            if await _frames.append(self.kv, state, commit):
                self._remember(state)
                return
            state = None
        if state is None or not follows(state, commit):
            state = (await read(self.kv, instance)).state
        state.spent += claimed
        if follows(state, commit) and await _frames.append(self.kv, state, commit):
            self._remember(state)
            return
        raise Conflict(
            f"frame {commit.seq} of instance {instance!r} does not follow the "
            "last one of the same owner: another writer was there first"
        )

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        """Prolong the lease to now + lease; False: no longer the owner, or ended."""
        return await self._alone(
            instance,
            lambda: _leases.renew(self.kv, instance, token, now + lease),
        )

    async def unread(self, instance: str) -> Sequence[Envelope]:
        """Read the unread messages in order of arrival, delayed ones too.

        Messages of one process are in the order in which they were sent; between
        processes that know nothing of each other their clocks decide.
        """
        async with self._turn(instance):
            state, _, messages, _ = await read(self.kv, instance, inbox=True)
            known = self._known.get(instance)
            if known is not None and known.position == state.position:
                known.notes = state.notes
        return messages

    async def send(self, message: Envelope) -> bool:
        """Put a message into an inbox; False if its id is known there.

        Raises:
            InstanceFinished: if the receiver is completed, failed or cancelled.
            TooLarge: if the body exceeds `limits.max_frame`.
        """
        check_message(message, self.limits)
        return await self._to_the_end(_messages.send(self.kv, message))

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        """Take up to `limit` due instances, for `lease` seconds, by the caller's clock.

        The earliest come first among the instances that are looked at together, some
        dozens.
        """
        async with self._claiming:  # two at once would look at the same ones
            taken = await _claims.claim(self.kv, now, limit, lease, worker)
        self._claimed |= {each.instance: each.wakes for each in taken}
        while len(self._claimed) > KNOWN:
            self._claimed.pop(next(iter(self._claimed)))
        return [each.instance for each in taken]

    async def find(self, query: Query) -> AsyncIterator[Head]:
        """Yield matching heads in the order of their ids, as each page finds them.

        Ids of which the key takes more than 180 bytes are ordered by their first 120.
        Leases are left out: each would cost a read.
        """
        async for head in _lists.heads(self.kv):
            is_workflow = query.workflow in {None, head.workflow}
            if is_workflow and query.status in {None, head.status}:
                yield head

    async def delete(self, instance: str) -> None:
        """Forget an instance and its inbox; an owner's next commit conflicts.

        Two small keys stay, so that no writer of before is ever believed.
        """
        self._known.pop(instance, None)
        await self._alone(instance, lambda: _deletes.delete(self.kv, instance))

    async def consumed(self, instance: str) -> Sequence[str]:
        """Read the ids of the messages that an instance has consumed, in order."""
        async with self._turn(instance):
            return await _powers.consumed(self.kv, instance)

    async def examine(self) -> Sequence[Finding]:
        """Try the conditional put, and say what the backend's binding has found."""
        return await _powers.examine(self.kv, LAYOUT)

    async def hint(self) -> None:
        """Wait until the backend tells of a wake; for ever if it cannot."""
        await _powers.hint(self.kv)

    def _remember(self, state: State) -> None:
        self._known[state.instance] = state
        self._known.move_to_end(state.instance)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _turn(self, instance: str) -> asyncio.Lock:
        """Let one call at a time write to an instance, or read what another wrote."""
        return self._turns.setdefault(instance, asyncio.Lock())

    async def _alone(self, instance: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do something in turn, and to its end."""

        async def take_turn() -> T:
            async with self._turn(instance):
                return await work()

        return await self._to_the_end(take_turn())

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that a cancellation must not tear."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # who was cancelled does not ask for it


def _unfit(why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"this backend cannot put a value only if there is none ({why}), so two "
        "processes could both commit to one instance. Use another backend, or pass "
        "single_writer=True if one process at a time uses these data"
    )
