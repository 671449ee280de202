"""What `open` makes in a database, and what people read there with SQL."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

from edgeflow import App, Context, FatalError, Stop, step, workflow
from edgeflow.errors import StoreUnavailable, WorkflowFailed
from edgeflow.store import Envelope
from edgeflow_postgres import PostgresStore
from tests.servers.postgres import USER
from tests.servers.postgres_store import (
    PATIENCE,
    START,
    create_database,
    end_sessions,
    last,
    opened,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.server import Server


@pytest.fixture
def address(postgres_server: Server) -> str:
    """A database of the test's own."""
    return create_database(postgres_server)


@pytest.fixture
def role(address: str) -> Iterator[str]:
    """Somebody who may do nothing but connect."""
    name = f"role_{uuid.uuid4().hex}"
    run(address, f"create role {name} login")
    yield name
    run(address, f"drop owned by {name}; drop role {name}")


def as_role(address: str, role: str) -> str:
    return address.replace(f"//{USER}@", f"//{role}@")


async def refusal(address: str) -> str:
    store = PostgresStore(address)
    with pytest.raises(StoreUnavailable) as caught:
        await store.open()
    with pytest.raises(StoreUnavailable, match="call open"):
        await store.load("i")
    await store.close()
    return str(caught.value)


def relations(address: str) -> list[str]:
    rows = run(
        address,
        "select relname from pg_class where relnamespace = to_regnamespace('edgeflow') "
        "and relkind in ('r', 'v') order by 1",
    )
    return [name for (name,) in rows]


# Making it


async def test_all_is_in_one_schema_whatever_the_search_path(address: str) -> None:
    run(address, f"alter role {USER} in database {name_of(address)} set search_path=''")
    async with opened(address) as store:
        await store.commit("i", START)

    assert relations(address) == [
        *("frame", "head", "inbox", "instances", "layout", "steps", "wake"),
    ]
    strangers = run(
        address,
        "select relname from pg_class join pg_namespace n on n.oid = relnamespace "
        "where nspname not in ('edgeflow', 'pg_catalog', 'pg_toast', "
        "'information_schema')",
    )
    assert strangers == []


def name_of(address: str) -> str:
    return address.rpartition("/")[2]


async def test_many_that_create_it_at_once_all_succeed(address: str) -> None:
    stores = [PostgresStore(address) for _ in range(16)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(
        *(store.commit(f"i{n}", START) for n, store in numbered(stores))
    )

    assert [await last(stores[0], f"i{n}") for n in range(16)] == [1] * 16
    assert run(address, "select * from edgeflow.layout") == [(1, 1)]
    for store in stores:
        await store.close()


def numbered(stores: list[PostgresStore]) -> list[tuple[int, PostgresStore]]:
    return [*enumerate(stores)]


async def test_what_breaks_off_leaves_nothing(address: str) -> None:
    run(
        address,
        """create function refuse() returns event_trigger language plpgsql as $$
        begin raise exception 'no views here' using errcode = '55000'; end $$;
        create event trigger refuse on ddl_command_start when tag in ('CREATE VIEW')
          execute function refuse()""",
    )
    assert "no views here" in await refusal(address)
    assert relations(address) == []

    run(address, "drop event trigger refuse")

    async with opened(address) as store:
        await store.commit("i", START)


async def test_a_role_that_may_not_create_is_told_what_to_do(
    address: str, role: str
) -> None:
    told = await refusal(as_role(address, role))
    assert "permission denied for database" in told
    assert "open the store once as a role that may" in told

    run(address, f"create schema edgeflow authorization {role}")

    async with opened(as_role(address, role)) as store:
        await store.commit("i", START)


async def test_a_role_that_may_only_write_finds_it_there(
    address: str, role: str
) -> None:
    async with opened(address):
        pass
    assert "grant it usage on the schema edgeflow" in await refusal(
        as_role(address, role)
    )
    run(address, f"grant usage on schema edgeflow to {role}")
    assert "grant it" in await refusal(as_role(address, role))
    run(address, f"grant select on all tables in schema edgeflow to {role}")
    assert "select, insert, update and delete" in await refusal(as_role(address, role))

    tables = "select, insert, update, delete on all tables in schema edgeflow"
    run(address, f"grant {tables} to {role}")

    async with opened(as_role(address, role)) as store:
        await store.commit("i", replace(START, sends=(Envelope("j", "m", "n", b""),)))
        assert await store.claim(1, 1, 1, "w") == ["i"]
        assert await store.resume("i", b"t", 1, 1, "w") == []
        await store.delete("i")
        await store.delete("j")


async def test_a_later_layout_is_refused_once_it_serves_ours_no_more(
    address: str,
) -> None:
    async with opened(address) as store:
        await store.commit("i", START)
    run(address, "update edgeflow.layout set version = 9")
    async with opened(address) as store:  # its processes are being replaced
        await store.commit("i", replace(START, seq=2))

    run(address, "update edgeflow.layout set serves = 2")

    told = await refusal(address)
    assert "newer edgeflow (layout 9, this one knows 1): upgrade edgeflow" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("drop schema edgeflow cascade", "has lost edgeflow's schema"),
        ("drop table edgeflow.head cascade", "has lost tables of edgeflow"),
        ("drop function edgeflow.commit_1", "taken over by another edgeflow"),
    ],
)
async def test_what_is_taken_away_is_told_of(
    address: str, change: str, told: str
) -> None:
    async with opened(address) as store:
        await store.commit("i", START)
        run(address, change)

        with pytest.raises(StoreUnavailable, match=told):
            await store.commit("i", replace(START, seq=2))


async def test_a_database_that_is_read_only_is_told_of(address: str) -> None:
    default = f"alter database {name_of(address)} set default_transaction_read_only"
    run(address, f"{default} = on")
    assert "target_session_attrs=read-write" in await refusal(address)
    run(address, f"begin; set transaction read write; {default} = off; commit")
    async with opened(address) as store:
        await store.commit("i", START)
        run(address, f"{default} = on")
        assert end_sessions(address)  # the next one is read-only
        with pytest.raises(StoreUnavailable, match="is read-only, a standby"):
            await store.commit("i", replace(START, seq=2))
        assert await last(store, "i") == 1

    assert "is read-only, a standby" in await refusal(address)


async def test_a_database_of_another_encoding_is_refused(address: str) -> None:
    name = f"latin_{uuid.uuid4().hex}"
    run(address, f"create database {name} encoding 'LATIN1' template template0")

    assert "encoding LATIN1" in await refusal(address.replace(name_of(address), name))


async def test_another_isolation_level_changes_no_answer(address: str) -> None:
    # N-08 N-15
    name, level = name_of(address), "serializable"
    run(address, f"alter database {name} set default_transaction_isolation = {level}")
    async with opened(address) as store, opened(address) as other:
        names = [f"i{n}" for n in range(30)]
        waits = replace(START, status="suspended", awaiting=("n",), due=None)
        await asyncio.gather(*(store.commit(i, START) for i in names))
        await asyncio.gather(
            *(store.commit(i, replace(waits, seq=2)) for i in names),
            *(other.send(Envelope(i, "m", "n", b"")) for i in names),
        )

        found = [
            *await store.claim(1, 100, 30, "w"),
            *await other.claim(1, 99, 30, "w"),
        ]

        assert sorted(found) == sorted(names)


# Reading it


@step
async def pay(amount: int) -> str:
    return f"{amount} \0\0 is paid \\u0000"


@step
async def ship(order_id: str) -> None:
    raise FatalError(f"no ship for {order_id}")


@workflow
async def order(ctx: Context, amount: int) -> None:
    async def turn(day: int) -> int | Stop[int]:
        await pay(day)
        return Stop(day) if day == amount else day + 1

    await pay(amount)
    await ctx.loop("days", turn, state=0, prune_every=2, keep=2)
    await ctx.receive("go", type=str)
    await ship("o1")


async def shown(app: App, instance: str) -> dict[str, str]:
    """The steps of a history as edgeflow shows it."""
    history = await app.handle(instance).history()
    return {
        " > ".join(f"{name}[{at}]" for _, name, at in entry.path): entry.status
        for entry in history
        if entry.path[-1][0] == "step"
    }


async def rested(app: App, instance: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await app.handle(instance).info()).status != "suspended":  # noqa: ASYNC110  it is told to nobody
            await asyncio.sleep(0.005)


def steps(address: str, instance: str, namespace: str = "n") -> dict[str, str]:
    return dict(
        run(
            address,
            "select path, status from edgeflow.steps where ns = %s and instance = %s",
            namespace,
            instance,
        )
    )


async def test_people_see_instances_and_steps_with_sql(address: str) -> None:
    store = PostgresStore(address, namespace="n")
    async with App(store, workflows=[order]) as app:
        handle = await app.start(order, 5, id="i")
        await rested(app, "i")
        columns = "ns, id, workflow, status, awaiting, due"
        assert run(address, f"select {columns} from edgeflow.instances") == [
            ("n", "i", "order", "suspended", ["go"], None)
        ]
        assert steps(address, "i") == await shown(app, "i")
        assert len(steps(address, "i")) < 6  # turns were pruned

        await handle.send("go", "now")
        with pytest.raises(WorkflowFailed):
            await handle.result()
        assert steps(address, "i") == await shown(app, "i")
        await handle.rewind([["loop", "days", 0]])
        with pytest.raises(WorkflowFailed):
            await handle.result()
        assert steps(address, "i") == await shown(app, "i")

    ((value, attempts, took),) = run(
        address,
        "select value ->> 0, attempts, took from edgeflow.steps where path = 'pay[0]'",
    )
    assert value == "5 \ufffd\ufffd is paid \\u0000"
    assert attempts == 1
    assert took > 0


def frame(*records: str) -> bytes:
    rest = "\n".join(['{"part":[1,1]}', *records]).encode()
    return b'{"edgeflow":1,"size":%d,"crc":%d}\n' % (len(rest), crc32(rest)) + rest


def record(*path: tuple[str, str, int], more: str = "") -> str:
    return f'{{"path":{json.dumps(path)},"status":"completed"{more}}}'


async def test_what_was_forgotten_or_pruned_is_not_shown(address: str) -> None:
    gone, back, kept = (("step", name, 0) for name in ("gone", "back", "kept"))
    turns = [(("loop", "l", 0), ("turn", "l", n), kept) for n in (1, 2, 3)]
    undone = record(*turns[0][:2], ("step", "undone", 0), more=',"undo":{}')
    frames = (
        frame(record(gone), record(back), record(kept), *(record(*t) for t in turns)),
        frame(f'{{"forget":{json.dumps([[gone], [back]])}}}', record(back), undone),
        frame('{"prune":[["loop","l",0]],"to":2}', '{"prune":[["loop","m",0]],"to":9}'),
    )
    async with opened(address) as store:
        await store.commit("i", replace(START, frames=frames))

    assert sorted(steps(address, "i", "default")) == [
        "back[0]",
        "kept[0]",
        "l[0] > l[1] > undone[0]",
        "l[0] > l[3] > kept[0]",
    ]


class Upside:
    """A codec that nobody else can read."""

    def encode(self, data: bytes) -> bytes:
        return bytes(255 - byte for byte in data)

    def decode(self, data: bytes) -> bytes:
        return self.encode(data)


async def test_what_sql_cannot_read_is_left_out(address: str) -> None:
    odd = (
        b"",
        b"\xff\xfe",
        b'{"edgeflow":1,"size":1}',
        b'{"edgeflow":1,"size":1}\n{}\nno json',
        b'{"edgeflow":1,"size":1}\n{}\n"\\ud800"\n\xff',
        b'{"edgeflow":1,"size":1}\n{}\n[]\n1\n{"path":[]}\n{"path":[1]}\n{"forget":[]}',
        frame(record(("step", "s", 0))),
    )
    far = replace(START, frames=odd, wake_at=1e300, due=float("inf"))
    async with opened(address) as store:
        await store.commit("i", far)
    async with App(address, workflows=[order], codec=Upside()) as app:
        await app.start(order, 1, id="hidden")
        await rested(app, "hidden")

    found = run(address, "select instance, step, status, value from edgeflow.steps")
    assert found == [("i", "s", "completed", None)]
    sql = "select due = 'infinity', wake_at = 'infinity' from edgeflow.instances"
    assert run(address, f"{sql} where id = 'i'") == [(True, True)]
