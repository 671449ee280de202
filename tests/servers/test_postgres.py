from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import settings

from edgeflow.errors import (
    ConfigError,
    Conflict,
    OutcomeUnknown,
    StoreUnavailable,
    TooLarge,
)
from edgeflow.store import (
    Committed,
    Envelope,
    Examines,
    Hints,
    Limits,
    Query,
    Remembers,
    Resumes,
    SyncCommit,
)
from edgeflow.stores import store_from_url
from edgeflow.testing import StoreSuite
from edgeflow.testing.stores.machine import SETTINGS, StoreMachine
from edgeflow.testing.stores.parts import FIRST, NOW, turns
from edgeflow_postgres import PostgresStore
from edgeflow_postgres._pool import Pool, parameters
from edgeflow_postgres._store import MAX_KEY
from edgeflow_postgres._trouble import Loss, explain, unreachable
from tests.servers.postgres import url
from tests.servers.postgres_store import (
    PATIENCE,
    START,
    Clocked,
    create_database,
    end_sessions,
    last,
    opened,
    run,
    until,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edgeflow.store import Commit, Loaded
    from tests.servers.server import Server

# Only a difference takes so long: Hypothesis looks for its shortest story.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def _clocked(postgres_server: Server) -> None:
    Clocked.create(postgres_server)


@pytest.fixture(scope="module")
def address(postgres_server: Server) -> str:
    return create_database(postgres_server)


@pytest.fixture
async def store(address: str, tmp_path: Path) -> AsyncIterator[PostgresStore]:
    async with opened(address, tmp_path.name) as store:
        yield store


class TestStore(Clocked, StoreSuite):
    many = 100


# N-19


class Machine(Clocked, StoreMachine):
    def limits(self, limits: Limits) -> Limits:
        return replace(limits, max_frame=8, max_group=12)


TestMachine = Machine.TestCase
TestMachine.settings = settings(SETTINGS, max_examples=10)


@pytest.mark.parametrize(
    ("commit", "error", "told"),
    [
        (replace(FIRST, seq=3), Conflict, r"frame 3 of instance 'i' .* another writer"),
        (replace(FIRST, frames=(b"x" * 9,)), TooLarge, "a frame of 9 bytes"),
        (replace(FIRST, frames=(b"x" * 5,) * 3), TooLarge, "frames of 15 bytes"),
    ],
    ids=["conflict", "frame", "group"],
)
async def test_it_refuses_with_the_words_of_all_stores(
    store: PostgresStore, commit: Commit, error: type[Exception], told: str
) -> None:
    store.limits = replace(store.limits, max_frame=8, max_group=12)

    with pytest.raises(error, match=told):
        await store.commit("i", commit)


async def test_of_those_due_at_once_the_first_by_id_is_claimed(
    store: PostgresStore,
) -> None:
    for instance in ("c", "a", "d", "b"):
        await store.commit(instance, replace(FIRST, due=NOW))

    assert list(await store.claim(NOW, 3, 5, "w")) == ["a", "b", "c"]
    assert list(await store.claim(NOW, 2**40, 5, "w")) == ["d"]


def test_it_has_every_power_but_to_say_what_is_missing(address: str) -> None:
    store = PostgresStore(address)
    for power in (SyncCommit, Examines, Remembers, Resumes, Hints):
        assert isinstance(store, power)


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
async def test_what_a_text_of_the_server_cannot_hold_is_refused(
    store: PostgresStore, bad: str
) -> None:
    # N-12
    for commit in (replace(START, workflow=bad), replace(START, worker=bad)):
        with pytest.raises(ValueError, match=r"NUL|surrogates"):
            await store.commit("i", commit)

    assert await last(store, "i") == 0


async def test_an_id_that_no_index_can_hold_is_refused(
    store: PostgresStore, tmp_path: Path
) -> None:
    # N-11
    length = MAX_KEY - len(tmp_path.name) - len("i")
    text = secrets.token_urlsafe(length)  # it cannot be compressed to fit
    above = Envelope("i", text[: length + 1], "n", b"")

    assert await store.send(replace(above, id=text[:length]))
    with pytest.raises(TooLarge, match="ids of 2601 bytes is above the limit of 2600"):
        await store.send(above)
    with pytest.raises(TooLarge, match="ids of 2601 bytes"):
        await store.commit("i", replace(START, sends=(above,)))

    assert await last(store, "i") == 0


# URLs and settings


async def test_a_url_names_the_database_the_namespace_and_what_libpq_knows(
    address: str, tmp_path: Path
) -> None:
    base = address.replace("postgres://", "postgresql://")
    one, two = (
        f"{base}?ns={tmp_path.name}%2F{n}&application_name=me%20{n}&pool=2"
        "&timeout=9.5&hints=off"
        for n in (1, 2)
    )
    for made in (one, two):
        store = store_from_url(made)
        await store.open()
        await store.commit("i", START)
        await store.close()

    async with opened(address, f"{tmp_path.name}/1", pool=1) as store:
        await store.delete("i")
    again = PostgresStore.from_url(two)
    await again.open()
    assert [head.instance async for head in again.find(Query())] == ["i"]
    names = run(address, "select application_name from pg_stat_activity")
    assert ("me 2",) in names
    await again.close()


async def test_without_a_name_the_server_sees_edgeflow(
    store: PostgresStore, address: str
) -> None:
    names = run(address, "select application_name from pg_stat_activity")

    assert ("edgeflow",) in names


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("postgres:db", "postgres://user@host:5432/database"),
        ("mysql://host/db", "postgres://user@host:5432/database"),
        ("postgres://h/db?ns=", "no namespace"),
        ("postgres://h/db?ns=a%00", "no namespace"),
        ("postgres://h/db?pool=0", "pool is 0; write 1 or more"),
        ("postgres://h/db?pool=many", "'many'.*pool=<connections>"),
        ("postgres://h/db?timeout=10", "timeout is 10; .* less than the 10 of"),
        ("postgres://h/db?timeout=0", "timeout is 0"),
        ("postgres://h/db?timeout=nan", "'nan'.*timeout=<seconds>"),
        ("postgres://h/db?hints=yes", r"'yes'.*hints=on\|off"),
        ("postgres://h/db?a=1&hints", r"hints is ''"),
    ],
)
def test_a_bad_url_is_refused_with_what_is_allowed(made: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        PostgresStore.from_url(made)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("postgres://me:hush@127.0.0.1:1/db", "cannot be reached .*look whether"),
        ("postgres://me:hu%zzsh@127.0.0.1/db", "percent-encoded"),
        ("postgres://me:hu/sh@127.0.0.1/db", "cannot be reached"),
        (
            "postgres://me:hush?hush@127.0.0.1:1/db?pool=2",
            r"//127\.0\.0\.1:1/db cannot",
        ),
        ("host=127.0.0.1 user=me password=hush", "write postgres://"),
        ("me:hush@127.0.0.1/db", "write postgres://"),
        ("postgres://127.0.0.1/db?password=hush&nothing=1", 'parameter: "nothing"'),
        ("postgres://me:hush@127.0.0.1/db?pool=hush2", "pool is"),
    ],
)
async def test_no_password_is_in_what_is_told(made: str, told: str) -> None:
    with pytest.raises((StoreUnavailable, ConfigError), match=told) as caught:
        await PostgresStore.from_url(made).open()

    told_in_all = [str(caught.value), str(caught.value.__cause__)]
    if isinstance(caught.value, StoreUnavailable):
        told_in_all.append(repr(PostgresStore.from_url(made)))
    for text in told_in_all:
        assert "hu%zzsh" not in text
        assert "me:" not in text
        assert "hush@" not in text
        assert "=hush" not in text


def test_a_store_shows_where_it_is() -> None:
    store = PostgresStore("postgres://me:hush@h1:1,h2:2/db?password=p", namespace="n")

    assert repr(store) == "PostgresStore('postgres://h1:1,h2:2/db', namespace='n')"


# Databases that cannot be used


async def test_a_database_that_is_not_there_is_told_of(
    postgres_server: Server,
) -> None:
    store = PostgresStore(url(postgres_server.port, "nowhere"))
    with pytest.raises(StoreUnavailable, match=r'"nowhere" does not exist.*create it'):
        await store.open()
    with pytest.raises(StoreUnavailable, match="call open"):
        await store.load("i")
    with pytest.raises(StoreUnavailable, match="call open"):
        store.commit_sync("i", START)
    await store.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ('FATAL: password authentication failed for user "me"', "correct them"),
        ("fe_sendauth: no password supplied", "put it into the URL"),
        ("FATAL: sorry, too many clients already", "pool="),
        ("FATAL: the database system is starting up", "wait until it is up"),
        ("session is read-only", "target_session_attrs=read-write"),
        ("Connection refused\n\tIs the server running?", "refused Is the server"),
        ("", "OperationalError"),
    ],
)
def test_why_there_is_no_connection_is_told_with_what_to_do(
    error: str, told: str
) -> None:
    assert told in str(unreachable("postgres://h/db", psycopg.OperationalError(error)))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("53100", "disk of postgres://h/db is full"),
        ("53200", "max_locks_per_transaction"),
        ("42501", "grant it usage on the schema edgeflow"),
        ("57014", "refused to work"),
    ],
)
def test_what_was_rolled_back_was_certainly_not_written(code: str, told: str) -> None:
    error = psycopg.errors.lookup(code)("why")

    known = explain("postgres://h/db", error, Loss(is_writing=True))

    assert isinstance(known, StoreUnavailable)
    assert told in str(known)


@pytest.mark.parametrize("code", ["08006", "08P01", "40003"])
def test_a_pooler_that_has_lost_the_server_leaves_a_commit_unknown(code: str) -> None:
    # N-06
    error = psycopg.errors.lookup(code)("server conn crashed?")

    written = explain("postgres://h/db", error, Loss(is_writing=True))
    read = explain("postgres://h/db", error, Loss())

    assert isinstance(written, OutcomeUnknown)
    assert isinstance(read, StoreUnavailable)


async def test_without_psycopg_the_extra_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in [*sys.modules]:
        if name.startswith(("edgeflow_postgres._pool", "edgeflow_postgres._emerg")):
            monkeypatch.delitem(sys.modules, name)

    with pytest.raises(StoreUnavailable, match=r"'edgeflow-durable\[postgres\]'"):
        await PostgresStore(address).open()


def test_the_loop_that_windows_has_by_default_is_refused(address: str) -> None:
    class ProactorEventLoop(asyncio.SelectorEventLoop):
        pass

    with asyncio.Runner(loop_factory=ProactorEventLoop) as runner:
        store = PostgresStore(address)
        with pytest.raises(StoreUnavailable, match="SelectorEventLoop"):
            runner.run(store.open())


# Connections


async def test_connections_that_were_ended_at_rest_are_replaced_unnoticed(
    store: PostgresStore, address: str
) -> None:
    await store.commit("i", START)
    store.commit_sync("i", replace(START, seq=2))
    assert end_sessions(address) >= 2

    await store.commit("i", replace(START, seq=3))
    store.commit_sync("i", replace(START, seq=4))

    assert await last(store, "i") == 4


async def test_no_more_connections_are_made_than_allowed(
    address: str, tmp_path: Path
) -> None:
    async with opened(f"{address}?application_name=few", tmp_path.name, pool=2) as few:
        await asyncio.gather(*(few.commit(f"i{n}", START) for n in range(50)))

        shown = run(
            address,
            "select count(*) from pg_stat_activity where application_name = 'few'",
        )

    assert shown == [(2,)]


async def test_who_gets_no_connection_in_time_is_told_why(address: str) -> None:
    now = asyncio.get_running_loop().time()
    pool = Pool(parameters(address, "the database", 5), "the database", 1)
    with pytest.raises(StoreUnavailable, match="no connection in time"):
        async with pool.connection(now):
            pass
    async with pool.connection(now + PATIENCE):
        with pytest.raises(StoreUnavailable, match="the database are busy: raise pool"):
            async with pool.connection(now):
                pass
    await pool.close()


async def test_an_answer_that_does_not_come_in_time_is_unknown_and_is_read_back(
    address: str, tmp_path: Path
) -> None:
    # N-06
    settings = {"pool": 1, "timeout": 0.3}
    async with (
        opened(address, tmp_path.name) as other,
        opened(address, tmp_path.name, **settings) as store,
    ):
        await store.commit("i", START)
        with psycopg.connect(address) as lock:
            lock.execute("select 1 from edgeflow.head where id = 'i' for update")
            slow = asyncio.ensure_future(store.commit("i", replace(START, seq=2)))
            await until(lambda: waiting(address) == 1)
            async with asyncio.timeout(5):
                with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.3 s"):
                    await slow
            assert await last(other, "i") == 1
            stuck = replace(START, seq=2, token=b"other", opens=True)
            with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.3 s"):
                store.commit_sync("i", stuck)
        await until(lambda: waiting(address) == 0)

        assert await last(other, "i") == 2
        with pytest.raises(Conflict):
            await other.commit("i", replace(START, seq=2))


async def test_what_the_server_rolls_back_for_another_ones_sake_is_tried_again(
    postgres_server: Server,
) -> None:
    # N-15
    address = create_database(postgres_server)
    async with opened(address, timeout=0.5) as store:
        run(
            address,
            """create sequence public.tries;
            create function public.refuse() returns trigger language plpgsql as $$
            begin
              if nextval('public.tries') % 5 <> 0 then
                raise exception 'not now' using errcode = '40P01';
              end if;
              return new;
            end $$;
            create trigger refuse before insert on edgeflow.frame
              for each row execute function public.refuse()""",
        )
        await store.commit("i", START)
        store.commit_sync("i", replace(START, seq=2))
        run(address, "alter sequence public.tries increment by 5 restart with 1")
        with pytest.raises(StoreUnavailable, match="not now"):
            await store.commit("i", replace(START, seq=3))
        with pytest.raises(StoreUnavailable, match="not now"):
            store.commit_sync("i", replace(START, seq=3))

        assert await last(store, "i") == 2


# Cancelled awaits, and the end of the loop


async def test_a_load_sees_how_a_cancelled_commit_ended(
    store: PostgresStore, address: str
) -> None:
    # N-05 N-06
    await store.commit("i", START)
    with psycopg.connect(address) as lock:
        lock.execute("select 1 from edgeflow.head for update")
        commit = asyncio.ensure_future(store.commit("i", replace(START, seq=2)))
        await until(lambda: waiting(address) == 1)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        loading = asyncio.ensure_future(store.load("i"))
        for _ in range(3):
            assert await store.load("j") is None  # it would be there as soon
        assert not loading.done()
    loaded = await loading

    assert loaded is not None
    assert loaded.head.seq == 2


async def test_closing_waits_for_what_is_in_flight(store: PostgresStore) -> None:
    commits = [asyncio.ensure_future(store.commit(f"i{n}", START)) for n in range(50)]
    await turns(1)
    await asyncio.gather(store.close(), store.close())
    await asyncio.gather(*commits)
    with pytest.raises(StoreUnavailable, match="call open"):
        await store.commit("late", START)

    await store.open()

    assert [await last(store, i) for i in ("i0", "i49", "late")] == [1, 1, 0]


def test_a_loop_that_ends_during_a_commit_tears_nothing(
    address: str, tmp_path: Path
) -> None:
    # N-05
    store = PostgresStore(address, namespace=tmp_path.name)
    calls: list[asyncio.Task[Committed] | asyncio.Task[Loaded | None]] = []

    async def leave_behind(count: int) -> None:
        await store.open()
        for instance in (f"a{count}", f"b{count}"):
            calls.append(asyncio.create_task(store.commit(instance, START)))
            calls.append(asyncio.create_task(store.load(instance)))
            await turns(count)

    async def look(count: int) -> None:
        with pytest.raises(StoreUnavailable, match="another event loop"):
            await store.load("i")
        await store.open()
        for instance in (f"a{count}", f"b{count}"):
            if not await last(store, instance):
                await store.commit(instance, START)
            assert await last(store, instance) == 1
        await store.close()

    for count in range(8):
        with asyncio.Runner() as runner:
            runner.run(leave_behind(count))
        asyncio.run(look(count))
    assert all(call.done() for call in calls)


def test_it_can_be_closed_from_another_loop(address: str) -> None:
    store = PostgresStore(f"{address}?application_name=two")
    asyncio.run(store.open())
    asyncio.run(store.close())

    assert not run(
        address, "select 1 from pg_stat_activity where application_name = 'two'"
    )


async def test_opening_twice_does_nothing(store: PostgresStore, address: str) -> None:
    sql = "select pid from pg_stat_activity where datname = current_database()"
    sql += " and pid <> pg_backend_pid()"
    before = run(address, sql)
    await store.open()

    assert run(address, sql) == before


# The power to commit without the loop


async def test_what_the_loop_has_in_flight_is_written_once(
    store: PostgresStore, address: str
) -> None:
    # P-09 N-06
    await store.commit("i", START)
    commit = replace(START, seq=2, sends=(Envelope("j", "m", "n", b""),))
    with psycopg.connect(address) as lock:
        lock.execute("select 1 from edgeflow.head for update")
        flight = asyncio.ensure_future(store.commit("i", commit))
        await until(lambda: waiting(address) == 1)
        writing = asyncio.ensure_future(
            asyncio.to_thread(store.commit_sync, "i", commit)
        )
        await until(lambda: waiting(address) == 2)
    async with asyncio.timeout(PATIENCE):
        await writing

    assert await flight == Committed()
    assert await last(store, "i") == 2
    assert [m.id for m in await store.unread("j")] == ["m"]


async def test_many_threads_share_one_connection_of_their_own(
    address: str, tmp_path: Path
) -> None:
    # P-08
    names = [f"i{n:02}" for n in range(30)]
    shown = f"{address}?application_name=threads"
    async with opened(shown, tmp_path.name) as store:
        await asyncio.gather(
            *(asyncio.to_thread(store.commit_sync, name, START) for name in names)
        )
        assert [head.instance async for head in store.find(Query())] == names
        sessions = run(
            address,
            "select count(*) from pg_stat_activity where application_name = 'threads'",
        )

    assert sessions == [(2,)]
    ours = "select 1 from pg_stat_activity where application_name = 'threads'"
    await until(lambda: not run(address, ours))  # the server hears of it a little later
    store.commit_sync("i00", replace(START, seq=2))  # while it waits in close(), say
    await store.close()
