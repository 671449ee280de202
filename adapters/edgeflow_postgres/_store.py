"""PostgresStore: the contract of `edgeflow.store` over one PostgreSQL database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgeflow.errors import (
    ConfigError,
    Conflict,
    InstanceFinished,
    StoreUnavailable,
    TooLarge,
)
from edgeflow.store import (
    MIB,
    Committed,
    Envelope,
    Limits,
    check_commit,
    check_message,
    check_texts,
)
from edgeflow_postgres import _schema as sql
from edgeflow_postgres._rows import PAGE, encode, loaded, page, to_head
from edgeflow_postgres._url import check, parse, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from edgeflow.store import Commit, Finding, Head, Loaded, Query
    from edgeflow_postgres._emergency import Emergency
    from edgeflow_postgres._notices import Notices
    from edgeflow_postgres._pool import Connection
    from edgeflow_postgres._session import Session

MAX_GROUP = 32 * MIB
"""The most bytes of frames in one commit: a slow server takes a second for them."""
MAX_KEY = 2600
"""The most bytes of a key in an index: 2704, less what the server adds to it."""
MAX_CLAIM = 2**31 - 1  # an integer of the server
COMMIT_DEADLINE = 10.0
"""Seconds after which whoever commits gives up: a call must have ended by then."""


class PostgresStore:
    """Keeps instances in the schema `edgeflow` of a PostgreSQL database, 13 or later.

    Any number of processes may share it. Each commit, load, send and claim is one
    round trip, and no session holds anything in between, so that poolers may be used.
    Leases, and what is due, go by the server's clock.

    An acknowledged commit is as safe as the server makes it: with its defaults it
    outlives a crash and a power cut, and with a synchronous standby a failover too.
    `examine` looks at the settings on which that rests.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "default",
        pool: int = 4,
        timeout: float = 5.0,
        hints: bool = False,
    ) -> None:
        """Name the database by a URL of libpq; nothing is opened yet.

        Stores with different `namespace` do not see each other's instances. `pool`
        is the most connections of one process, `timeout` how many seconds a call may
        take. With `hints` processes tell each other of what is due, by NOTIFY; that
        takes one more connection, which must not go through a pooler.

        Raises:
            ConfigError: if a setting is not one of those above.
        """
        self.limits = Limits(max_group=MAX_GROUP, server_clock=True)
        self._url = url
        self._name = shown(url)
        self._namespace = namespace
        self._pool = pool
        self._timeout = timeout
        self._hints = hints
        self._session: Session | None = None
        self._emergency: Emergency | None = None
        self._notices: Notices | None = None
        check(url)
        if not namespace or re.search("[\0\ud800-\udfff]", namespace):
            raise ConfigError(f"store {self._name!r}: {namespace!r} is no namespace")
        if pool < 1:
            raise ConfigError(f"store {self._name!r}: pool is {pool}; write 1 or more")
        if not 0 < timeout < COMMIT_DEADLINE:
            raise ConfigError(
                f"store {self._name!r}: timeout is {timeout:g}; write seconds, more "
                f"than 0 and less than the {COMMIT_DEADLINE:g} of a commit"
            )

    def __repr__(self) -> str:
        return f"PostgresStore({self._name!r}, namespace={self._namespace!r})"

    @classmethod
    def from_url(cls, url: str) -> PostgresStore:
        """Make a store from `postgres://user:password@host:port/database?…`.

        Options: `ns=<namespace>`, `pool=<connections>`, `timeout=<seconds>` and
        `hints=on|off`. All others are libpq's:
        https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS

        Raises:
            ConfigError: if it is no such URL, or an option of ours is bad.
        """
        address, options = parse(url)
        return cls(address, **options)

    async def open(self) -> None:
        """Connect, and create schema, tables, functions and views if they are missing.

        Needed again after a fork and on another event loop.

        Raises:
            StoreUnavailable: if the database cannot be used; says why and what to do.
        """
        if self._session is not None:
            if self._session.is_ours():
                return
            await self.close()
        # Who never opens a database need not have psycopg.
        # And at the end a thread that imports could wait for one that is stuck.
        try:
            from edgeflow_postgres._emergency import Emergency  # noqa: PLC0415  as above
            from edgeflow_postgres._notices import Notices  # noqa: PLC0415  as above
            from edgeflow_postgres._pool import parameters  # noqa: PLC0415  as above
            from edgeflow_postgres._session import start  # noqa: PLC0415  as above
        except ImportError as error:
            raise StoreUnavailable(
                f"{self._name} needs psycopg, which cannot be imported ({error}): "
                "pip install 'edgeflow-durable[postgres]'"
            ) from error
        settings = parameters(self._url, self._name, self._timeout)
        session = await start(settings, self._name, self._pool, self._timeout)
        if self._hints:
            self._notices = Notices(session, self._namespace, self._timeout)
        self._emergency = Emergency(
            settings, self._name, self._namespace, self._timeout
        )
        self._session = session

    async def close(self) -> None:
        """Let calls in flight end and disconnect; a second call does nothing."""
        session, self._session = self._session, None
        notices, self._notices = self._notices, None
        try:
            if notices is not None and session is not None and session.is_ours():
                await notices.close()
            if session is not None:
                await session.close()
        finally:
            if self._emergency is not None:
                self._emergency.close()

    async def load(self, instance: str) -> Loaded | None:
        """Read an instance in one snapshot; None if it was never started."""
        values = [self._namespace, instance]
        rows = await self._opened().in_turn(instance, sql.LOAD, values)
        return loaded(instance, rows)

    async def commit(self, instance: str, commit: Commit) -> Committed:
        """Append frames in one transaction, with all that goes with them.

        If its await is cancelled it is written as a whole or not at all; a
        `load` that is called after that sees which.

        Raises:
            Conflict: if another writer was there first; nothing was written.
            TooLarge: if a frame or a message exceeds `limits`; nothing was written.
            OutcomeUnknown: if the connection was lost, or no answer came in time; it
                may have been written.
            StoreUnavailable: if the database cannot be used now; nothing was.
        """
        self._check(instance, commit)
        session, values = self._opened(), encode(self._namespace, instance, commit)
        ((written,),) = await session.in_turn(
            instance, sql.COMMIT, values, writing=True
        )
        if not written:
            raise _conflict(instance, commit)
        if self._notices is not None and _may_wake(commit):
            self._notices.announce()
        return Committed()

    def commit_sync(self, instance: str, commit: Commit) -> None:
        """Write a commit from any thread, without the event loop.

        It needs a store that was opened in this process, or in one that it was forked
        from. Its connection is opened by the first call and kept until `close`.

        A commit that is there as a whole and as the last one is answered as written.
        If `commit` was given the same one, one of the two writes it; `commit` meets a
        `Conflict` then if it was the later one.

        Raises:
            Conflict: if another writer was there first; nothing was written.
            TooLarge: if a frame or a message exceeds `limits`; nothing was written.
            OutcomeUnknown: if the connection was lost, or no answer came in time; it
                may have been written.
            StoreUnavailable: if the database cannot be used now; nothing was.
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
        """Prolong the lease for `lease` s from the server's now on; False: not ours."""
        values = [self._namespace, instance, token, float(lease)]
        ((renewed,),) = await self._opened().fetch(sql.RENEW, values)
        return bool(renewed)

    async def resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        """Lease an instance for `lease` s from the server's now on, and read its inbox.

        None: `token` is not the last owner's, it has ended, or another worker has it.
        """
        key = (self._namespace, instance)
        values = [float(lease), worker, *key, token, worker, *key]
        rows = await self._opened().in_turn(instance, sql.RESUME, values)
        # A row without an id stands for an instance without messages.
        unread = [Envelope(instance, *row) for row in rows if row[0] is not None]
        return unread if rows else None

    async def unread(self, instance: str) -> Sequence[Envelope]:
        """Read the unread messages in order of arrival, delayed ones too."""
        values = [self._namespace, instance]
        rows = await self._opened().fetch(sql.UNREAD, values)
        return [Envelope(instance, *row) for row in rows]

    async def consumed(self, instance: str) -> Sequence[str]:
        """Read the ids of the messages that an instance has consumed, in any order."""
        values = [self._namespace, instance]
        return [each for (each,) in await self._opened().fetch(sql.CONSUMED, values)]

    async def send(self, message: Envelope) -> bool:
        """Put a message into an inbox; False if its id is known there.

        Raises:
            InstanceFinished: if the receiver is completed, failed or cancelled.
            TooLarge: if the body exceeds `limits.max_frame`, or the id is too long.
            OutcomeUnknown: if the answer was lost; it may have been put there.
        """
        check_message(message, self.limits)
        self._check_key(message.to, message.id)
        m = message
        values = [self._namespace, m.to, m.id, m.name, m.body, float(m.at)]
        ((answer,),) = await self._opened().fetch(sql.SEND, values, writing=True)
        if answer == "finished":
            raise InstanceFinished(message.to)
        if answer == "sent" and self._notices is not None:
            self._notices.announce()
        return bool(answer == "sent")

    async def claim(
        self, now: float, limit: int, lease: float, worker: str
    ) -> Sequence[str]:
        """Take up to `limit` instances that are due by the server's clock."""
        if limit <= 0:
            return []
        values = [self._namespace, min(limit, MAX_CLAIM), float(lease), worker]
        return [each for (each,) in await self._opened().fetch(sql.CLAIM, values)]

    async def find(self, query: Query) -> AsyncIterator[Head]:
        """Yield matching heads in the order of their ids, as each page finds them."""
        after: str | None = None
        while True:
            rows = await self._opened().fetch(*page(self._namespace, query, after))
            for row in rows:
                yield to_head(row)
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    async def delete(self, instance: str) -> None:
        """Forget an instance and its inbox; an owner's next commit conflicts.

        Raises:
            OutcomeUnknown: if the answer was lost; it may be gone. Delete it again.
        """
        values = [self._namespace, instance]
        await self._opened().in_turn(instance, sql.DELETE, values, writing=True)

    async def examine(self) -> Sequence[Finding]:
        """Look at the server's version and settings, as they hold for this role."""
        from edgeflow_postgres import _examining  # noqa: PLC0415  for doctors only

        async def look(connection: Connection) -> tuple[Any, int]:
            cursor = await connection.execute(_examining.SETTINGS.encode())
            return await cursor.fetchone(), connection.info.backend_pid

        row, backend = await self._opened().do(look)
        return _examining.examined(_examining.Server(*row), backend)

    async def hint(self) -> None:
        """Wait until another process may have made an instance due.

        It never returns without `hints=on`. While its connection is lost it hears
        nothing, and nothing else is hindered.
        """
        session = self._opened()
        if self._notices is None:
            await session.forever()
        else:
            await self._notices.wait()

    def _check(self, instance: str, commit: Commit) -> None:
        check_commit(instance, commit, self.limits)
        check_texts(commit.workflow, commit.worker)
        self._check_key(instance)
        for message in commit.sends:
            self._check_key(message.to, message.id)

    def _check_key(self, *ids: str) -> None:
        size = sum(len(each.encode()) for each in (self._namespace, *ids))
        if size > MAX_KEY:
            raise TooLarge(size, MAX_KEY, "a key of namespace and ids")

    def _never_opened(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._name} is not open: call open() first")

    def _opened(self) -> Session:
        if self._session is None:
            raise self._never_opened()
        if not self._session.is_ours():
            raise StoreUnavailable(
                f"{self._name} was opened in another process or on another event loop: "
                "call open() here"
            )
        return self._session


def _may_wake(commit: Commit) -> bool:
    """Whether another worker may have something to claim now."""
    is_free = commit.lease <= 0 and commit.due is not None and commit.due <= commit.now
    return is_free or bool(commit.sends)


def _conflict(instance: str, commit: Commit) -> Conflict:
    return Conflict(
        f"frame {commit.seq} of instance {instance!r} does not follow the "
        "last one of the same owner: another writer was there first"
    )
