"""Writing an instance into a store in which it is not yet, or only in part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.errors import TooLarge
from edgeflow.late import replace
from edgeflow.store import TERMINAL, Commit, check_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeflow.engine.carrying import Content
    from edgeflow.engine.frames import Codec
    from edgeflow.store import Envelope, Loaded, Store

HOLD = 60.0
"""Seconds for which nobody claims it, so that it can be verified before it runs."""
STRIDE = 1000
"""How many numbers are passed over by one commit."""


class Landing:
    """One instance on its way into a store.

    Numbers below that of its first frame are taken by empty frames, which the commit
    after them replaces: in themselves they are nothing that could be run.
    """

    def __init__(
        self,
        target: Store,
        loaded: Loaded,
        mine: Content,
        there: Loaded | None,
        *,
        codec: Codec,
        now: float,
        token: bytes,
    ) -> None:
        """Write `loaded`, which says `mine`, over what is `there`."""
        self._target = target
        self._loaded = loaded
        self._mine = mine
        self._codec = codec
        self._at = 0 if there is None else there.head.seq
        """Number of the last frame in the store."""
        self._stride = STRIDE
        self._is_cut = False
        """Whether what was there before is replaced."""
        head, header = loaded.head, mine.header
        self._blank = Commit(
            seq=1,
            frames=(b"",),
            token=token,
            opens=True,
            workflow=head.workflow,
            status="pending",
            now=head.updated,
        )
        self._whole = replace(
            self._blank,
            status=header["status"],
            wake_at=header["wake_at"],
            awaiting=tuple(header["awaiting"]),
            due=header["due"],
            lease=self._hold(now),
        )

    def _hold(self, now: float) -> float:
        """Give a lease that ends `HOLD` seconds from now, counted from its update."""
        if self._mine.header["status"] in TERMINAL:
            return 0.0
        if self._target.limits.server_clock:
            return HOLD
        return HOLD + max(0.0, now - self._loaded.head.updated)

    def check(self, consumed: Sequence[Envelope]) -> None:
        """See whether all that `write` writes is within the limits of the store.

        Raises:
            TooLarge: if it is not.
        """
        self._checked((*consumed, *self._loaded.messages))

    async def write(self, consumed: Sequence[Envelope]) -> set[str]:
        """Write messages, then frames; `consumed` are messages without a body.

        Gives the ids of unread ones that were there before.

        Raises:
            Conflict: if somebody else writes to it.
            TooLarge: if the store cannot hold it.
        """
        messages = (*consumed, *self._loaded.messages)
        bodies, rebuilt = self._checked(messages)
        known: set[str] = set()
        for message in messages:
            if not await self._target.send(message):
                known.add(message.id)
        back = await self._lost() if known else []
        self._whole = replace(
            self._whole,
            acks=tuple(message.id for message in consumed),
            restored=tuple(message.id for message in back),
            restored_bodies=tuple(message.body for message in back),
        )
        await self._write_frames(bodies, is_rebuilt=rebuilt)
        return known - {message.id for message in back}

    def _checked(self, messages: Sequence[Envelope]) -> tuple[list[bytes], bool]:
        """Give the frames to be written, and whether they are not those loaded.

        Raises:
            TooLarge: if the store cannot hold them, or a message.
        """
        limits, frames = self._target.limits, self._loaded.frames
        for message in messages:
            check_message(message, limits)
        bodies = [frame.body for frame in frames]
        sizes = [*map(len, bodies)]
        fits = max(sizes) <= limits.max_frame and sum(sizes) <= limits.max_group
        if fits and frames[0].seq > self._at:
            return bodies, False
        return self._rebuilt(), True

    def _rebuilt(self) -> list[bytes]:
        """Make frames that fit the store.

        Raises:
            TooLarge: if a single value does not.
        """
        limit = self._target.limits.max_frame
        bodies = [*self._mine.framed(limit, self._codec)]
        largest = max(map(len, bodies))
        if largest > limit:
            raise TooLarge(largest, limit)
        return bodies

    async def _lost(self) -> list[Envelope]:
        """Give the unread ones that an older copy has known as consumed."""
        found = await self._target.unread(self._loaded.head.instance)
        unread = {message.id for message in found}
        return [m for m in self._loaded.messages if m.id not in unread]

    async def _write_frames(self, bodies: list[bytes], *, is_rebuilt: bool) -> None:
        if not is_rebuilt:
            try:
                await self._pass_over(self._loaded.frames[0].seq)
                await self._put(bodies)
            except TooLarge:  # for a reason of its own, such as their number
                bodies = self._rebuilt()
            else:
                return
        await self._pass_over(self._loaded.head.seq - len(bodies) + 1)
        await self._put(bodies)

    async def _pass_over(self, first: int) -> None:
        """Take the numbers below `first` that are free."""
        while self._at < first - 1:
            count = min(self._stride, first - 1 - self._at)
            try:
                await self._commit(self._blanks(count))
            except TooLarge:
                if count == 1:
                    raise
                self._stride = count // 2

    def _blanks(self, count: int) -> Commit:
        """Make one that takes numbers; those before are taken, and need no frames."""
        return replace(self._blank, frames=(b"",) * count, snapshot=True)

    async def _put(self, bodies: Sequence[bytes]) -> None:
        *parts, last = self._groups(bodies)
        is_cut = True  # the empty frames go, whoever has written them
        for part in parts:
            commit = replace(self._blank, frames=tuple(part), snapshot=is_cut)
            await self._commit(commit)
            is_cut = False
        commit = replace(self._whole, frames=tuple(last), snapshot=is_cut)
        await self._commit(commit)

    def _groups(self, bodies: Sequence[bytes]) -> Iterator[list[bytes]]:
        group: list[bytes] = []
        size = 0
        for body in bodies:
            if group and size + len(body) > self._target.limits.max_group:
                yield group
                group, size = [], 0
            group.append(body)
            size += len(body)
        yield group

    async def _commit(self, commit: Commit) -> None:
        """Append a commit; the first one replaces what was there before."""
        commit = replace(
            commit,
            seq=self._at + 1,
            snapshot=commit.snapshot or not self._is_cut,
        )
        await self._target.commit(self._loaded.head.instance, commit)
        self._at, self._is_cut = commit.last, True
