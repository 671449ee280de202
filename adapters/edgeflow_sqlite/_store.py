"""SqliteStore: the contract of `edgeflow.store` over one SQLite file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.errors import (
    ConfigError,
    Conflict,
    InstanceFinished,
    StoreUnavailable,
    TooLarge,
)
from edgeflow.store import Committed, Envelope, Limits, check_commit, check_message
from edgeflow_sqlite import _schema as sql
from edgeflow_sqlite._rows import encode, loaded, to_head
from edgeflow_sqlite._url import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import Any

    from edgeflow.store import Commit, Finding, Head, Loaded, Query
    from edgeflow_sqlite._emergency import Emergency
    from edgeflow_sqlite._session import Session

_COMMITTED = Committed()
_PAGE = 256  # heads that `find` reads at a time
_MAX_FRAMES = 1024  # of one commit: a statement binds 32,766 values


class SqliteStore:
    """Keeps instances in one SQLite file, which several processes may share.

    The file needs a local disk (no NFS, SMB or bucket mounts) and SQLite 3.37.

    What each setting of `synchronous` loses:

    - `"full"` (default): nothing. A commit is answered after it was synced to
      the disk; it outlives SIGKILL, a crash of the system and power loss, as far as
      the disk keeps its word.
    - `"normal"`: nothing at SIGKILL. Power loss or a crash of the system takes
      back the last commits (those since the last checkpoint of the log), after others
      were told of them: a message may have been sent, an answer given, by an
      instance that no longer knows. The file is never damaged. Two to three
      times faster on a fast disk, more on a slow one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: str = "full",
        busy_timeout: float = 2.0,
    ) -> None:
        """Name the file; nothing is opened yet.

        `busy_timeout` is how long a call waits for a lock of another program, in
        seconds; keep it below the deadline of a commit.

        Raises:
            ConfigError: if a setting is not one of those above.
        """
        self.limits = Limits(durable=synchronous == "full")
        self._path = os.fspath(path)
        self._synchronous = synchronous
        self._busy_timeout = busy_timeout
        self._session: Session | None = None
        self._emergency: Emergency | None = None
        if synchronous not in {"full", "normal"}:
            raise ConfigError(
                f"synchronous is {synchronous!r}: write 'full' or 'normal'"
            )
        if not 0 <= busy_timeout < float("inf"):
            raise ConfigError(f"busy_timeout is {busy_timeout!r}: write seconds")
        if self._path in {"", ":memory:"}:
            raise ConfigError("SQLite needs a file: the store in memory is 'memory:'")

    @classmethod
    def from_url(cls, url: str) -> SqliteStore:
        """Make a store from `sqlite:///relative.db` or `sqlite:////absolute.db`.

        Options: `?synchronous=full|normal` and `?busy_timeout=<seconds>`.

        Raises:
            ConfigError: if the URL has no path, or an option is unknown or bad.
        """
        path, options = parse(url)
        return cls(path, **options)

    def missing(self) -> str | None:
        """Say if there is no database file yet; `open` makes it."""
        return None if Path(self._path).exists() else f"there is no file {self._path}"

    async def open(self) -> None:
        """Open the file, and create it if it is missing; its directory must be there.

        Needed again after a fork and on another event loop.

        Raises:
            StoreUnavailable: if the file cannot be used; says why and what to do.
        """
        if self._session is not None:
            if self._session.is_ours():
                return
            await self.close()
        # Who never opens a file pays for neither sqlite3 nor aiosqlite.
        # And at the end a thread that imports could wait for one that is stuck.
        from edgeflow_sqlite._emergency import Emergency  # noqa: PLC0415  as above
        from edgeflow_sqlite._session import start  # noqa: PLC0415  imports aiosqlite

        settings = (self._path, self._synchronous, self._busy_timeout)
        self._session = await start(*settings)
        self._emergency = Emergency(*settings)

    async def close(self) -> None:
        """Let commits in flight land and close the file; a second call does nothing."""
        session, self._session = self._session, None
        try:
            if session is not None:
                await session.close()
        finally:
            if self._emergency is not None:
                self._emergency.close()

    async def load(self, instance: str) -> Loaded | None:
        """Read an instance in one snapshot; None if it was never started."""
        rows = await self._opened().fetch(sql.LOAD, {"instance": instance})
        return loaded(instance, rows)

    async def commit(self, instance: str, commit: Commit) -> Committed:
        """Append frames in one transaction, which other instances may share.

        If its await is cancelled it is written as a whole or not at all; a
        `load` that is called after that sees which.

        Raises:
            Conflict: if another writer was there first; nothing was written.
            TooLarge: if a frame or a message exceeds `limits`; nothing was written.
            OutcomeUnknown: if the disk failed; it may have been written.
            StoreUnavailable: if the file cannot be written now; nothing was.
        """
        size = self._check(instance, commit)
        try:
            await self._opened().commit(encode(instance, commit), size)
        except Conflict as error:
            raise _conflict(instance, commit) from error
        return _COMMITTED

    def commit_sync(self, instance: str, commit: Commit) -> None:
        """Write a commit from any thread, without the event loop.

        It needs a store that was opened in this process, or in one that it was forked
        from. Its connection is opened by the first call and kept until `close`. It
        waits for the file's lock as `commit` does, so up to `busy_timeout`.

        A commit that is there as a whole and as the last one is answered as written.
        If `commit` was given the same one, one of the two writes it; `commit` meets a
        `Conflict` then if it was the later one.

        Raises:
            Conflict: if another writer was there first; nothing was written.
            TooLarge: if a frame or a message exceeds `limits`; nothing was written.
            OutcomeUnknown: if the disk failed; it may have been written.
            StoreUnavailable: if the file cannot be written now; nothing was.
        """
        self._check(instance, commit)
        if self._emergency is None:
            raise self._never_opened()
        try:
            self._emergency.commit(instance, commit)
        except Conflict as error:
            raise _conflict(instance, commit) from error

    async def renew(
        self, instance: str, token: bytes, now: float, lease: float
    ) -> bool:
        """Prolong the lease to now + lease; False: no longer the owner, or ended."""
        values = {"instance": instance, "token": token, "until": now + lease}
        return bool(await self._opened().fetch(sql.RENEW, values))

    async def resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        """Lease an instance that nobody else holds, and read its unread messages."""
        values = {"instance": instance, "token": token, "worker": worker}
        rows = await self._opened().resume(values | {"now": now, "until": now + lease})
        return None if rows is None else _unread(instance, rows)

    async def unread(self, instance: str) -> Sequence[Envelope]:
        """Read the unread messages in order of arrival, delayed ones too."""
        rows = await self._opened().fetch(sql.UNREAD, (instance,))
        return _unread(instance, rows)

    async def consumed(self, instance: str) -> Sequence[str]:
        """Read the ids of the messages that an instance has consumed."""
        return [row[0] for row in await self._opened().fetch(sql.CONSUMED, (instance,))]

    async def examine(self) -> Sequence[Finding]:
        """Look at SQLite, its settings, and the disk with the file."""
        # Only `edgeflow doctor` asks for it.
        from asyncio import to_thread  # noqa: PLC0415  as above

        from edgeflow_sqlite._examining import examined  # noqa: PLC0415  as above

        ((version, journal),) = await self._opened().fetch(sql.RUNNING)
        return await to_thread(
            examined, self._path, version, journal, self._synchronous
        )

    async def send(self, message: Envelope) -> bool:
        """Put a message into an inbox; False if its id is known there.

        Raises:
            InstanceFinished: if the receiver is completed, failed or cancelled.
            TooLarge: if the body exceeds `limits.max_frame`.
        """
        check_message(message, self.limits)
        m = message
        refusal = await self._opened().attempt(
            sql.SEND, (m.to, m.id, m.name, m.body, m.at)
        )
        if refusal == "ef:finished":
            raise InstanceFinished(message.to)
        return refusal is None

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        """Take up to `limit` due instances, earliest first, for `lease` seconds."""
        if limit <= 0:  # SQLite takes a negative one for no limit
            return []
        rows = await self._opened().fetch(
            sql.CLAIM,
            {"now": now, "limit": limit, "until": now + lease, "worker": worker},
        )
        return [instance for _, instance in sorted(map(tuple, rows))]

    async def find(self, query: Query) -> AsyncIterator[Head]:
        """Yield matching heads in the order of their ids, as each page finds them."""
        wanted = {"workflow": query.workflow, "status": query.status}
        values: dict[str, object] = {k: v for k, v in wanted.items() if v is not None}
        terms = [f"{name} = :{name}" for name in values]
        values["limit"] = _PAGE
        while True:
            where = f"where {' and '.join(terms)}" if terms else ""
            rows = await self._opened().fetch(sql.FIND.format(where=where), values)
            for row in rows:
                yield to_head(row)
            if len(rows) < _PAGE:
                return
            if "after" not in values:
                terms.append("id > :after")
            values["after"] = rows[-1][0]

    async def delete(self, instance: str) -> None:
        """Forget an instance and its inbox; an owner's next commit conflicts."""
        await self._opened().fetch(sql.DELETE, (instance,))

    def _check(self, instance: str, commit: Commit) -> int:
        """Refuse what the file cannot hold; return the size of the frames."""
        check_commit(instance, commit, self.limits)
        size = sum(map(len, commit.frames))
        if len(commit.frames) > _MAX_FRAMES:
            what = f"a group of {len(commit.frames)} frames (at most {_MAX_FRAMES})"
            raise TooLarge(size, self.limits.max_group, what)
        return size

    def _never_opened(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._path} is not open: call open() first")

    def _opened(self) -> Session:
        if self._session is None:
            raise self._never_opened()
        if not self._session.is_ours():
            raise StoreUnavailable(
                f"{self._path} was opened in another process or on another event loop: "
                "call open() here"
            )
        return self._session


def _unread(instance: str, rows: Sequence[Sequence[Any]]) -> list[Envelope]:
    return [Envelope(instance, *row) for _, *row in rows]


def _conflict(instance: str, commit: Commit) -> Conflict:
    return Conflict(
        f"frame {commit.seq} of instance {instance!r} does not follow the "
        "last one of the same owner: another writer was there first"
    )
