"""Redis as a store: the contracts, its URLs, what servers are refused or told of."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from edgeflow.errors import ConfigError, StoreUnavailable
from edgeflow.store import Hints
from edgeflow.stores import store_from_url
from edgeflow.testing import KVSuite, StoreSuite
from edgeflow.testing.stores.machine import SETTINGS, StoreMachine
from edgeflow_kv import KV, KVStore
from edgeflow_kv._urls import parse
from edgeflow_kv.redis import RedisKV
from edgeflow_kv.redis._kv import FORM
from edgeflow_kv.redis._link import Link, Refused
from tests.servers.redis import Redis, url
from tests.servers.redis_store import START, OnRedis, command, opened, texts
from tests.servers.server import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.server import Server


FEW_RIGHTS = (
    "~{edgeflow}:* +eval +evalsha +exists +hget +hset +hsetnx +hdel +zadd +zrem "
    "+zrangebylex"
)
"""As docs/stores/redis.md says."""


@pytest.fixture(autouse=True)
def on_redis(redis_server: Server) -> None:
    OnRedis.port = redis_server.port


class TestRedisStore(OnRedis, StoreSuite):
    many = 100


class TestRedisKV(OnRedis, KVSuite):
    async def open_kv(self, where: Path) -> KV:
        kv = RedisKV.from_url(f"{url(self.port)}?ns={where.name}").kv
        await kv.open()
        return kv


class RedisMachine(OnRedis, StoreMachine):  # N-19
    pass


TestRedisMachine = RedisMachine.TestCase
TestRedisMachine.settings = settings(SETTINGS, max_examples=4)


@pytest.mark.parametrize(
    "text", ["redis://host", "rediss://u:p@host:1/2?ssl_ca_certs=c"]
)
def test_a_url_names_a_server_and_a_namespace(text: str) -> None:
    store = store_from_url(text)

    assert isinstance(store, KVStore)
    assert isinstance(store.kv, RedisKV)
    assert isinstance(store, Hints)
    assert not store.limits.durable  # nobody has looked yet


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("redis://", "write redis://"),
        ("redis:///0", "write redis://"),
        ("redis://host/zero", "write redis://"),
        ("redis://host:port", "[Pp]ort"),
        ("redis://host?namespace=a", "no option 'namespace'; there are ns, timeout"),
        ("redis://host?ns=a}b", "ns=a}b"),
        ("redis://host?ns=", "ns="),
        ("redis://host?timeout=soon", "timeout=soon is no number of seconds above 0"),
        ("redis://host?timeout=0", "timeout=0 is no number"),
        ("redis://host?ssl_ca_certs=file", "rediss://"),
        ("redis://user:se%21cret@host/x", r"redis://user:\*\*\*@host/x"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_with_the_right_form(
    text: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        RedisKV.from_url(text)

    assert "cret" not in str(refused.value)


async def test_without_the_extra_open_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "redis.exceptions", None)

    with pytest.raises(StoreUnavailable, match=r"edgeflow-durable\[redis\]"):
        await RedisKV.from_url("redis://host").open()


async def test_what_is_not_open_says_so(redis_server: Server) -> None:
    store = RedisKV.from_url(url(redis_server.port))

    with pytest.raises(StoreUnavailable, match=r"call open\(\)"):
        await store.load("i")
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable, match=r"call open\(\)"):
        await store.hint()


async def test_a_server_that_syncs_each_write_keeps_its_word(
    redis_server: Server, tmp_path: Path
) -> None:
    store = await opened(redis_server.port, tmp_path.name)

    findings = await store.examine()

    assert store.limits.durable
    assert {each.verdict for each in findings} == {"good"}
    assert "Redis " in texts(findings, "good")
    assert "tried with one key" in texts(findings, "good")
    await store.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--appendfsync everysec", "a power cut loses the writes of a second"),
        ("--no-appendfsync-on-rewrite yes", "a power cut loses"),
        ("--appendonly no", "its end loses the writes of minutes"),
        ("--maxmemory-policy allkeys-lru", "set noeviction"),
    ],
)
async def test_what_a_server_may_lose_is_texts(words: str, why: str) -> None:
    with serving(Redis(*words.split(" "))) as server:
        store = await opened(server.port, "ns")

        assert why in texts(await store.examine(), "note")
        assert store.limits.durable == ("memory" in words)
        await store.close()


async def test_a_setting_that_breaks_the_promise_later_is_bad() -> None:
    with serving(Redis()) as server:
        store = await opened(server.port, "ns")
        admin = await opened(server.port, "admin")
        await command(admin, "CONFIG", "SET", "appendfsync", "no")
        await command(admin, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await command(admin, "CONFIG", "SET", "maxmemory", "100mb")

        found = texts(await store.examine(), "bad")

        assert "a power cut loses" in found
        assert "it drops keys" in found
        await store.close()
        await admin.close()


async def test_a_server_that_drops_keys_is_refused_with_the_reason() -> None:
    words = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu")
    refused = pytest.raises(StoreUnavailable, match="set maxmemory-policy noeviction")
    with serving(Redis(*words)) as server, refused:
        await opened(server.port, "ns")


async def test_replicas_take_the_promise_away_and_are_no_store_themselves() -> None:
    at_once = Redis("--repl-diskless-sync-delay", "0")
    with serving(at_once) as primary:
        replica = Redis("--replicaof", f"127.0.0.1 {primary.port}")
        with serving(replica) as other:
            store = await opened(primary.port, "ns")
            assert await command(store, "WAIT", "1", "0") == 1
            await store.open()

            assert not store.limits.durable
            assert "a failover can take back" in texts(await store.examine(), "note")
            with pytest.raises(
                StoreUnavailable, match=r"name its primary, 127\.0\.0\.1"
            ):
                await opened(other.port, "ns")
            await store.close()


@pytest.mark.parametrize(
    "rights",
    [
        "~* +@all -@dangerous",
        FEW_RIGHTS,
    ],
)
async def test_a_user_with_few_rights_has_a_store(rights: str) -> None:
    with serving(Redis()) as server:
        admin = await opened(server.port, "admin")
        words = ("ACL", "SETUSER", "flow", "on", ">se:cret", "resetchannels")
        await command(admin, *words, *rights.split(" "))
        named = url(server.port).replace("//", "//flow:se%3Acret@")
        store = RedisKV.from_url(named)
        await store.open()

        await store.commit("i", START)

        assert await store.load("i") is not None
        await store.delete("i")
        assert not store.limits.durable
        assert "CONFIG is refused" in texts(await store.examine(), "note")
        wrong = RedisKV.from_url(named.replace("cret", "crets"))
        with pytest.raises(StoreUnavailable, match=r"flow:\*\*\*@.*invalid username"):
            await wrong.open()
        await store.close()
        await admin.close()


async def test_who_gives_no_password_is_refused_without_any_doubt() -> None:
    with serving(Redis()) as server:
        admin = await opened(server.port, "admin")
        await command(admin, "CONFIG", "SET", "requirepass", "se:cret")
        link = Link(parse(url(server.port), FORM), 5.0)

        with pytest.raises(Refused, match="refuses: Authentication required"):
            await link.call("SET", "k", "v", writes=True)

        await link.close()
        await admin.close()


async def test_full_memory_refuses_writes_and_loses_nothing() -> None:
    with serving(Redis("--maxmemory", "4mb")) as server:
        store = await opened(server.port, "ns")
        await store.commit("i", START)
        large = replace(START, frames=(b"x" * 1_000_000,))

        async def fill() -> None:
            for n in range(10):
                await store.commit(f"i{n}", large)

        with pytest.raises(StoreUnavailable, match="maxmemory"):
            await fill()

        assert await store.load("i") is not None
        await command(store, "CONFIG", "SET", "maxmemory", "0")
        await store.commit("last", large)
        await store.close()


async def test_namespaces_and_databases_see_nothing_of_each_other(
    redis_server: Server, tmp_path: Path
) -> None:
    name, port = tmp_path.name, redis_server.port
    store = await opened(port, name)
    await store.commit("i", START)
    stranger = await opened(port, f"{name}x")
    elsewhere = RedisKV.from_url(f"{url(port, 1)}?ns={name}")
    await elsewhere.open()

    for other in (stranger, elsewhere):
        assert await other.load("i") is None
        assert list(await other.kv.scan("f/")) == []
        await other.commit("i", START)
        await other.close()
    await store.close()
