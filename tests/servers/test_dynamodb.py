"""DynamoDB as a store: the contract of a KV as a whole, that of a store in part.

moto and boto3 take some 6 ms for a request, so `StoreSuite` as a whole would take
minutes. It runs on `KVStore` over other backends; here are the cases that meet most of
what is DynamoDB's own: conditions, queries of each partition, limits, two processes.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.errors import ConfigError, OutcomeUnknown, StoreUnavailable
from edgeflow.store import Commit, Envelope, Query
from edgeflow.stores import store_from_url
from edgeflow.testing import KVSuite, StoreSuite
from edgeflow_kv import KVStore
from edgeflow_kv.dynamodb import DynamoKV
from edgeflow_kv.dynamodb._table import Table, session
from tests.servers.dynamodb import CREDENTIALS, url
from tests.servers.proxy import proxying

if TYPE_CHECKING:
    from pathlib import Path

    from edgeflow.store import Store
    from edgeflow_kv import KV
    from tests.servers.server import Server

CHOSEN = {
    "test_a_claimed_instance_rests_as_its_next_commit_says",
    "test_a_closed_store_keeps_its_data",
    "test_a_group_up_to_the_limit_round_trips",
    "test_a_snapshot_replaces_what_was_before_it",
    "test_an_awaited_message_makes_due_and_another_does_not",
    "test_an_id_is_known_once",
    "test_an_owner_that_was_replaced_changes_nothing",
    "test_another_process_reads_what_was_committed",
    "test_claims_take_the_earliest_and_no_more_than_asked_for",
    "test_consumed_messages_are_remembered_by_their_ids",
    "test_data_outlive_the_store_object_or_not",
    "test_find_shows_heads_as_they_were_last_committed",
    "test_frames_up_to_the_limit_round_trip",
    "test_of_sixteen_writers_with_one_number_one_wins",
    "test_restored_messages_are_back_in_their_places",
    "test_to_examine_a_store_says_what_is_so_and_changes_nothing",
    "test_what_a_dead_worker_held_is_claimed_again_after_the_lease",
    "test_what_is_above_the_limit_is_refused_before_any_write",
    "test_what_is_deleted_is_not_found",
}
START = Commit(
    seq=1,
    frames=(b"frame",),
    token=b"owner",
    workflow="flow",
    status="running",
    due=1000.0,
    now=1000.0,
)


class OnDynamo:
    """Has stores in tables of their own."""

    endpoint = ""

    def made(self, where: Path) -> DynamoKV:
        return DynamoKV(where.name, endpoint=OnDynamo.endpoint)

    async def open_store(self, where: Path) -> Store:
        store = KVStore(self.made(where))
        await store.open()
        return store


@pytest.fixture(autouse=True)
def on_dynamo(dynamodb_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    OnDynamo.endpoint = url(dynamodb_server.port)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


class TestDynamoKV(OnDynamo, KVSuite):
    async def open_kv(self, where: Path) -> KV:
        kv = self.made(where)
        await kv.open()
        return kv


class TestDynamoStore(OnDynamo, StoreSuite):
    many = 100


for _name in dir(StoreSuite):
    if _name.startswith("test_") and _name not in CHOSEN:
        setattr(TestDynamoStore, _name, None)


def test_what_is_chosen_is_there() -> None:
    assert set(dir(StoreSuite)) >= CHOSEN


@pytest.fixture
async def kv(tmp_path: Path) -> DynamoKV:
    made = DynamoKV(tmp_path.name, endpoint=OnDynamo.endpoint)
    await made.open()
    return made


def client() -> Any:
    """Make a client that knows nothing of us."""
    boto3: Any = import_module("boto3")
    return boto3.client("dynamodb", endpoint_url=OnDynamo.endpoint)


def test_a_url_names_a_table() -> None:
    for text in ("dynamodb://My.table_1", "dynamodb://t?region=eu-west-1&timeout=2.5"):
        store = store_from_url(text)

        assert isinstance(store, KVStore)
        assert isinstance(store.kv, DynamoKV)
        assert store.limits.durable
        assert store.limits.max_frame > 300 * 1024


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dynamodb://", "write dynamodb://"),
        ("dynamodb:table", "write dynamodb://"),
        ("dynamodb://table/more", "write dynamodb://"),
        ("dynamodb://key:secret@table", r"dynamodb://key:\*\*\*@table"),
        ("dynamodb://table?zone=a", "no option 'zone'; there are region, endpoint"),
        ("dynamodb://table?timeout=-1", "timeout=-1 is no number of seconds above 0"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_with_the_right_form(
    text: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        DynamoKV.from_url(text)


async def test_without_the_extra_open_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)

    with pytest.raises(StoreUnavailable, match=r"edgeflow-durable\[dynamodb\]"):
        await DynamoKV.from_url("dynamodb://table").open()


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("AWS_DEFAULT_REGION", "in which region .* 'table' is: write .region="),
        ("AWS_SECRET_ACCESS_KEY", "no credentials for .* 'table' .*Partial"),
        ("AWS_", "no credentials for .* 'table' .*: set AWS_ACCESS_KEY_ID"),
    ],
)
async def test_what_is_missing_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gone: str, told: str
) -> None:
    session.cache_clear()
    for name in CREDENTIALS:
        if name.startswith(gone):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    region = None if gone == "AWS_DEFAULT_REGION" else "eu-central-1"
    store = DynamoKV("table", region=region, endpoint=OnDynamo.endpoint)

    with pytest.raises(StoreUnavailable, match=told):
        await store.open()

    await store.close()
    session.cache_clear()


async def test_a_table_is_made_once_by_many(tmp_path: Path) -> None:
    stores = [
        KVStore(DynamoKV(tmp_path.name, endpoint=OnDynamo.endpoint)) for _ in range(2)
    ]

    await asyncio.gather(*(store.open() for store in stores))

    state = client().describe_table(TableName=tmp_path.name)["Table"]
    assert state["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    for store in stores:
        await store.close()


async def test_another_kind_of_table_is_refused(tmp_path: Path) -> None:
    client().create_table(
        TableName=tmp_path.name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    with pytest.raises(StoreUnavailable, match="other keys than pk and sk"):
        await DynamoKV(tmp_path.name, endpoint=OnDynamo.endpoint).open()


def table_that_answers(**codes: str) -> Table:
    """Make a table whose calls are refused with these codes, as moto never does."""
    table = Table("flows", None, OnDynamo.endpoint, 1.0)
    error: Any = import_module("botocore.exceptions").ClientError

    def call(name: str, **_: Any) -> Any:
        told = {"Error": {"Code": codes[name]}, "ResponseMetadata": {}}
        raise StoreUnavailable("refused") from error(told, name)

    table.call = call  # type: ignore[method-assign] # see above
    return table


def test_a_table_that_may_not_be_made_is_told_how_to_make() -> None:
    table = table_that_answers(
        describe_table="ResourceNotFoundException", create_table="AccessDeniedException"
    )
    with pytest.raises(StoreUnavailable, match="create-table --table-name flows "):
        table.make()
    table.close()


def test_a_table_that_may_not_be_looked_at_is_used_all_the_same() -> None:
    table = table_that_answers(describe_table="AccessDeniedException")
    table.make()
    table.close()


@pytest.mark.parametrize(
    ("status", "writes", "told"),
    [
        (500, True, OutcomeUnknown),
        (400, True, StoreUnavailable),
        (500, False, StoreUnavailable),
    ],
)
def test_what_fails_within_dynamodb_may_have_been_written(
    status: int, told: type[Exception], *, writes: bool
) -> None:
    # N-06: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
    table = Table("flows", None, OnDynamo.endpoint, 1.0)
    error: Any = import_module("botocore.exceptions").ClientError
    answer = {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def fail() -> None:
        raise error(answer, "PutItem")

    with pytest.raises(told, match="table 'flows'"):
        table.told(fail, writes=writes)
    table.close()


async def test_what_is_not_open_says_so(kv: DynamoKV) -> None:
    await kv.close()
    await kv.close()

    with pytest.raises(StoreUnavailable, match=r"call open\(\)"):
        await kv.get("a/k")


async def test_steps_that_block_all_threads_of_asyncio_hold_no_call_up(
    kv: DynamoKV,
) -> None:
    until = threading.Event()
    blocked = [asyncio.ensure_future(asyncio.to_thread(until.wait)) for _ in range(32)]
    try:
        async with asyncio.timeout(30):
            assert await kv.put("a/k", b"v")
            assert await kv.get("a/k") == b"v"
    finally:
        until.set()
    await asyncio.gather(*blocked)
    await kv.close()


async def test_a_scan_goes_on_behind_a_page(kv: DynamoKV) -> None:
    # A page of DynamoDB ends at 1 MB
    keys = [f"f/i/{n:016d}" for n in range(5)]
    for key in (*keys, "f/i2/x", "f/h/x"):
        await kv.put(key, key.encode() + b"x" * 350_000)

    found = await kv.scan("f/i/")

    assert [key for key, _ in found] == keys
    assert all(value.startswith(key.encode()) for key, value in found)
    assert [k for k, _ in await kv.scan("f/i/", keys[1], 3)] == keys[1:4]
    assert [k for k, _ in await kv.scan("f/")] == ["f/h/x", *keys, "f/i2/x"]
    await kv.close()


async def test_each_scan_of_a_store_is_a_query(kv: DynamoKV) -> None:
    store = KVStore(kv)
    await store.open()
    called: list[str] = []
    call = kv.opened().call

    def counted(name: str, **content: Any) -> Any:
        called.append(name)
        return call(name, **content)

    kv.opened().call = counted  # type: ignore[method-assign] # the rest is the real one
    await store.commit("i", START)
    await store.send(Envelope("i", "m", "a", b"body"))
    await store.load("i")
    await store.claim(1000.0, 9, 30.0, "w")
    assert [head.instance async for head in store.find(Query())] == ["i"]
    await store.consumed("i")
    items = client().scan(TableName=kv.name)["Items"]
    partitions = {item["pk"]["S"] for item in items}
    assert partitions == {"-", "f/i", "m/i", "u/i", "c/i", "h", "w"}
    await store.delete("i")

    assert {"query", "put_item", "get_item", "delete_item"} == set(called)
    await store.close()


async def test_a_lost_answer_is_unknown_and_what_was_not_sent_is_not_written(
    tmp_path: Path, dynamodb_server: Server
) -> None:
    # N-06
    with proxying(dynamodb_server.port) as proxy:
        kv = DynamoKV(tmp_path.name, endpoint=url(proxy.port), timeout=2)
        await kv.open()

        proxy.lose_answer(b"attribute_not_exists")
        with pytest.raises(OutcomeUnknown):
            await kv.put("a/k", b"mine", if_absent=True)
        assert await kv.get("a/k") == b"mine"
        proxy.lose_answer(b"GetItem")
        with pytest.raises(StoreUnavailable):
            await kv.get("a/k")
        proxy.refuse()
        proxy.cut()
        with pytest.raises(StoreUnavailable, match="cannot be asked"):
            await kv.put("a/k", b"v")
        proxy.accept()

        assert await kv.get("a/k") == b"mine"
        await kv.close()


async def test_a_table_that_is_gone_is_told(kv: DynamoKV) -> None:
    client().delete_table(TableName=kv.name)

    for call in (kv.get("a/k"), kv.put("a/k", b"v"), kv.scan("a/")):
        with pytest.raises(StoreUnavailable, match="ResourceNotFound"):
            await call
    assert [f.verdict for f in await kv.examine()] == ["bad"]
    await kv.close()


async def test_what_breaks_the_fence_or_expires_is_bad(kv: DynamoKV) -> None:
    assert [f.verdict for f in await kv.examine()] == ["good"]
    expires = {"Enabled": True, "AttributeName": "v"}
    client().update_time_to_live(TableName=kv.name, TimeToLiveSpecification=expires)

    found = await kv.examine()

    assert [f.verdict for f in found] == ["good", "bad"]
    assert "TTL" in found[1].text
    await kv.close()


@pytest.mark.parametrize(
    ("consistency", "verdict"),
    [({}, "bad"), ({"MultiRegionConsistency": "STRONG"}, "good")],
)
async def test_of_global_tables_only_strong_ones_keep_the_fence(
    kv: DynamoKV, consistency: dict[str, str], verdict: str
) -> None:
    # moto has tables of one region, so this is what the API's reference says
    state = kv.opened().state()
    assert state is not None
    replicas = [{"RegionName": "eu-west-1"}, {"RegionName": "us-east-1"}]
    kv.opened().state = lambda: {**state, "Replicas": replicas, **consistency}  # type: ignore[method-assign] # see above

    [found, *_] = await kv.examine()

    assert found.verdict == verdict
    assert "eu-west-1, us-east-1" in found.text
    await kv.close()
