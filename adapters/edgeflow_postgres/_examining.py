"""What the promises of a PostgreSQL server rest on: version, settings, standbys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeflow.store import Finding
from edgeflow_postgres._schema import OLDEST_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator

# As they hold for our own connection: a role or a database may have its own.
SETTINGS = """select current_setting('server_version_num')::integer,
    current_setting('server_version'), current_setting('fsync') = 'on',
    current_setting('full_page_writes') = 'on', current_setting('synchronous_commit'),
    current_setting('synchronous_standby_names'),
    (select count(*) from pg_stat_replication)::integer,
    current_setting('default_transaction_isolation'), pg_backend_pid()"""


@dataclass(frozen=True, slots=True)
class Server:
    """What `SETTINGS` shows."""

    number: int
    version: str
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    standby_names: str
    standbys: int
    isolation: str
    backend: int


def examined(server: Server, backend: int) -> list[Finding]:
    """Say what holds; `backend` is the process that the connection was told of."""
    return [
        *_version(server),
        *_disk(server),
        *_standbys(server),
        *_isolation(server),
        *_pooler(server, backend),
    ]


def _version(server: Server) -> Iterator[Finding]:
    if server.number >= OLDEST_SERVER:
        yield Finding("good", f"PostgreSQL {server.version}")
    else:
        yield Finding(
            "bad", f"PostgreSQL {server.version}: edgeflow needs 13. Upgrade it"
        )


def _disk(server: Server) -> Iterator[Finding]:
    if not server.fsync:
        yield Finding(
            "bad",
            "fsync is off: a power cut, or a crash of the system, can lose what was "
            "acknowledged, and damage the whole database. Set fsync = on",
        )
    if not server.full_page_writes:
        yield Finding(
            "bad",
            "full_page_writes is off: a power cut can leave pages half written, where "
            "the file system does not prevent that. Set full_page_writes = on",
        )
    if server.synchronous_commit == "off":
        yield Finding(
            "bad",
            "synchronous_commit is off for this role: a crash of the server takes back "
            "the last commits, after others were told of them. Set it to on, for the "
            "server, or by alter role … set synchronous_commit = on",
        )
    if server.fsync and server.full_page_writes and server.synchronous_commit != "off":
        yield Finding("good", "each commit is synced to the disk before it is answered")


def _standbys(server: Server) -> Iterator[Finding]:
    if server.standby_names:
        if server.synchronous_commit == "local":
            yield Finding(
                "bad",
                "synchronous_commit is local for this role: commits do not wait for "
                "the standbys, and a failover loses the last ones. Set it to on",
            )
        elif server.synchronous_commit == "remote_write":
            yield Finding(
                "note",
                "synchronous_commit is remote_write for this role: if the standby's "
                "system crashes with the primary, the last commits are lost. Set it "
                "to on",
            )
        elif server.synchronous_commit != "off":
            yield Finding("good", "a commit waits until a standby has it on its disk")
    elif server.standbys:
        yield Finding(
            "note",
            "there are standbys, and none is synchronous: if one takes over, the last "
            "commits are lost. Set synchronous_standby_names if that must not be",
        )


def _isolation(server: Server) -> Iterator[Finding]:
    if server.isolation != "read committed":
        yield Finding(
            "note",
            f"default_transaction_isolation is {server.isolation} for this role: what "
            "is done at the same time is rolled back and tried again, which costs "
            "time. Set it to 'read committed', which is all that edgeflow needs",
        )


def _pooler(server: Server, backend: int) -> Iterator[Finding]:
    if server.backend != backend:
        yield Finding(
            "note",
            "a pooler stands between: that is well for all but hints=on, which needs "
            "a direct connection",
        )
