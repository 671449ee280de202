from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from edgeflow.errors import ConfigError, StoreUnavailable, TooLarge
from edgeflow.store import Envelope, Examines, Finding, Hints, Limits
from edgeflow.stores import store_from_url
from edgeflow.testing import StoreSuite
from edgeflow.testing.stores.kv import KVSuite
from edgeflow.testing.stores.machine import SETTINGS, StoreMachine
from edgeflow_kv import KVStore
from edgeflow_kv._kv import ROOM
from edgeflow_kv.nats import NatsKV
from edgeflow_kv.nats._bucket import Bucket
from edgeflow_kv.nats._link import Link, reached
from edgeflow_kv.nats._url import parse
from tests.servers.nats import Nats, url, version
from tests.servers.nats_kv import PATIENCE, OnNats, bucket, client, opened
from tests.servers.proxy import proxying
from tests.servers.server import answers, program, serving

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.servers.server import Server

ROOT = Path(__file__).parents[2]
SMALL = Limits(max_frame=8, max_group=12, joins_sends=False, durable=False)
SOON = time.time() - 1
"""A time that has passed."""


class Small(NatsKV):
    """Takes little, so that more operations meet a limit."""

    async def open(self) -> None:
        await super().open()
        self.limits = SMALL


@pytest.fixture(scope="module", autouse=True)
def _port(nats_server: Server) -> None:
    OnNats.port = nats_server.port


class TestNatsKV(OnNats, KVSuite):  # N-17
    pass


@pytest.mark.timeout(120)  # each of its calls is some round trips
class TestKVStoreInNats(OnNats, StoreSuite):  # N-18
    many = 100


class NatsMachine(OnNats, StoreMachine):  # N-19
    def made(self, where: Path) -> NatsKV:
        return Small(f"{url(OnNats.port)}?bucket={bucket(where)}")


TestNatsMachine = NatsMachine.TestCase
TestNatsMachine.settings = settings(SETTINGS, max_examples=3)


@pytest.fixture
def address(nats_server: Server, tmp_path: Path) -> str:
    return f"{url(nats_server.port)}?bucket={bucket(tmp_path)}"


# URLs and settings


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("nats:host", r"write nats://\[user:password@ or token@\]host"),
        ("nats://", "write nats://"),
        ("nats://host/place", "write nats://"),
        ("nats://host:port", "write nats://"),
        ("nats://a,b:1,,c", "write nats://"),
        ("nats://h?bucket=a.b", "bucket=a.b has signs"),
        ("nats://h?bucket=", "bucket= has signs"),
        ("nats://h?replicas=6", "replicas=6 is no number from 1 to 5"),
        ("nats://h?sync=no", "sync=no: there is sync=always only"),
        ("nats://h?timeout=0", "timeout=0 is no number of seconds"),
        ("nats://h?ttl=5", "no option 'ttl'; there are bucket, replicas"),
        ("nats://me:hush@a,b?ttl=5", "nats://a.ttl=5"),
        ("nats://hush@a?ttl=5&sync=b", "no option 'ttl'"),
    ],
)
def test_a_bad_url_is_refused_with_the_right_form(made: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        NatsKV.from_url(made)

    assert "hush" not in str(caught.value)


def test_a_url_names_servers_bucket_and_what_it_is_to_promise() -> None:
    place = parse(
        "nats://me:a%40b@[::1]:1,two?bucket=b-1&replicas=3&sync=always&timeout=0.5"
    )

    found = [(s.host, s.port, s.user, s.password) for s in place.servers]
    assert found == [("::1", 1, "me", "a@b"), ("two", None, "me", "a@b")]
    assert (place.bucket, place.replicas, place.synced) == ("b-1", 3, True)
    assert place.timeout == 0.5
    assert list(map(reached, place.servers)) == ["nats://[::1]:1", "nats://two:4222"]


async def test_the_scheme_is_known_to_edgeflow(address: str) -> None:
    store = store_from_url(address)

    assert isinstance(store, KVStore)
    assert isinstance(store.kv, NatsKV)
    assert isinstance(store.kv, Examines)
    assert isinstance(store.kv, Hints)


def test_importing_the_binding_imports_no_client() -> None:
    code = "import sys, edgeflow_kv.nats; print({'nats'} & {*sys.modules})"
    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert shown.stdout.strip() == "set()"


async def test_without_the_client_the_extra_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nats.errors", None)
    with pytest.raises(StoreUnavailable, match=r"'edgeflow-durable\[nats\]'"):
        await NatsKV.from_url(address).open()


async def test_what_is_not_open_says_so(address: str) -> None:
    kv = NatsKV(address)
    calls: list[Coroutine[Any, Any, object]] = [
        *(kv.get("k"), kv.put("k", b""), kv.delete("k"), kv.scan("k")),
        *(kv.hint(), kv.examine()),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="call open"):
            await call


async def test_a_server_that_is_away_is_told_of_without_its_password() -> None:
    store = NatsKV.from_url("nats://me:hush@127.0.0.1:1,127.0.0.1:2?timeout=1")
    with pytest.raises(StoreUnavailable, match=r"0.1:1\?.*0.1:2\?") as caught:
        await store.open()

    assert "hush" not in str(caught.value)


async def test_the_servers_are_tried_one_after_the_other(address: str) -> None:
    host = address.removeprefix("nats://")
    async with opened(f"nats://127.0.0.1:1,{host}") as kv:
        assert await kv.put("k", b"v")


class Guarded(Nats):
    """Lets a user do what the page says, and no more."""

    def command(self, folder: Path, port: int) -> list[str]:
        words = super().command(folder, port)
        page = (ROOT / "docs" / "stores" / "nats.md").read_text("utf-8")
        (line,) = (li for li in page.splitlines() if li.startswith("A user needs"))
        first, _, second = line.partition("and to subscribe")
        publish, subscribe = (
            json.dumps(re.findall("`([^`]+)`", part.replace("<bucket>", "guarded")))
            for part in (first, second)
        )
        heard = json.loads(publish)[-1:] + json.loads(subscribe)
        config = folder / "nats.conf"
        with config.open("a", encoding="utf-8") as file:
            file.write(
                f"""authorization {{ users: [{{ user: "me", password: "a@b:c",
                permissions: {{ publish: {publish}, subscribe: {json.dumps(heard)} }}
                }}] }}
                """
            )
        return words

    def is_ready(self, port: int) -> bool:
        return answers(port, b"", b"INFO")


async def test_a_user_needs_what_the_page_says() -> None:
    with serving(Guarded()) as server:
        host = f"127.0.0.1:{server.port}?bucket=guarded&timeout=2"
        for login in ("", "me:wrong@", "token@"):
            with pytest.raises(StoreUnavailable, match="uthoriz"):
                await NatsKV.from_url(f"nats://{login}{host}").open()
        mine, theirs = (NatsKV.from_url(f"nats://me:a%40b%3Ac@{host}") for _ in "12")
        for store in (mine, theirs):
            await store.open()
        async with asyncio.timeout(PATIENCE):
            await mine.hint()
            waiting = asyncio.ensure_future(mine.hint())
            await theirs.send(Envelope("i", "m", "n", b"", SOON))
            await waiting
        await mine.delete("i")
        for store in (mine, theirs):
            await store.close()


# What a bucket must be


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"max_age": 60}, "its values expire"),
        ({"storage": "memory"}, "keeps its values in memory"),
        ({"max_bytes": 10_000, "discard": "old"}, "drops old values"),
        ({"max_msgs": 100, "discard": "old"}, "drops old values"),
        ({"deny_purge": True}, "cannot be removed"),
        ({"retention": "interest"}, "its values expire"),
        ({"max_msg_size": 100_000}, "the bucket's max_msg_size"),
    ],
)
async def test_a_bucket_that_would_lose_values_is_refused(
    address: str, tmp_path: Path, config: dict[str, Any], told: str
) -> None:
    name = bucket(tmp_path)
    whole = {"storage": "file", "discard": "new", "max_msgs_per_subject": 1, **config}
    async with client(address) as jetstream:
        await jetstream.add_stream(
            name=f"KV_{name}", subjects=[f"$KV.{name}.>"], **whole
        )
        with pytest.raises(StoreUnavailable, match=told):
            await NatsKV.from_url(address).open()


def test_a_stream_that_refuses_new_values_is_refused() -> None:
    told = str(looked("", (2, 10), discard_new_per_subject=True).unfit())

    assert "cannot be removed or replaced" in told


async def test_replicas_that_no_server_is_there_for_are_told_of(address: str) -> None:
    with pytest.raises(StoreUnavailable, match="replicas"):
        await NatsKV.from_url(f"{address}&replicas=3").open()


async def test_a_bucket_of_other_tools_is_as_good(address: str, tmp_path: Path) -> None:
    name = bucket(tmp_path)
    async with client(address) as jetstream:
        theirs = await jetstream.create_key_value(bucket=name, history=3, direct=True)
        await theirs.put("a.b/c", b"theirs")
        async with opened(address) as kv:
            assert await kv.scan("a/") == [("a/b.c", b"theirs")]
            await kv.put("a/b.c", b"ours")
            assert (await theirs.get("a.b/c")).value == b"ours"
            texts = [finding.text for finding in await kv.examine()]
    assert any("keeps 2 old values" in text for text in texts)


@pytest.mark.parametrize("how", ["delete", "purge"])
async def test_what_other_tools_have_removed_is_absent(
    address: str, tmp_path: Path, how: str
) -> None:
    async with opened(address) as kv, client(address) as jetstream:
        theirs = await jetstream.key_value(bucket(tmp_path))
        await kv.put("k", b"old")
        await kv.put("k2", b"v")
        await getattr(theirs, how)("k")

        assert await kv.get("k") is None
        assert await kv.scan("k") == [("k2", b"v")]
        won = await asyncio.gather(
            *(kv.put("k", b"%d" % n, if_absent=True) for n in range(10))
        )
        assert sorted(won) == [False] * 9 + [True]
        assert await kv.get("k") == b"%d" % won.index(True)


async def test_what_was_removed_leaves_nothing_behind(
    address: str, tmp_path: Path
) -> None:
    async with opened(address) as kv, client(address) as jetstream:
        for n in range(20):
            await kv.put(f"k/{n}", b"v")
            await kv.put(f"k/{n}", b"w")
            await kv.delete(f"k/{n}")

        info = await jetstream.stream_info(f"KV_{bucket(tmp_path)}")

    assert info.state.messages == 0


async def test_what_is_too_large_is_refused_and_the_connection_goes_on(
    address: str,
) -> None:
    # N-11
    async with opened(address) as kv:
        most = kv.limits.max_group + ROOM
        for if_absent in (False, True):
            with pytest.raises(TooLarge, match="a value"):
                await kv.put("k", b"x" * (most + 1), if_absent=if_absent)
        await kv.put("k", b"x" * most)


async def test_limits_follow_the_bucket(address: str, tmp_path: Path) -> None:
    async with client(address) as jetstream:
        name = bucket(tmp_path)
        await jetstream.create_key_value(bucket=name, max_value_size=200_000)
        async with opened(address) as kv:
            most = kv.limits.max_group + ROOM
            assert 199_000 < most < 200_000
            await kv.put("k", b"x" * most, if_absent=True)
            with pytest.raises(TooLarge):
                await kv.put("k", b"x" * (most + 1))


async def test_limits_follow_the_server() -> None:
    class Roomy(Nats):
        payload = 4 << 20

        def command(self, folder: Path, port: int) -> list[str]:
            words = super().command(folder, port)
            with (folder / "nats.conf").open("a") as file:
                file.write(f"max_payload: {self.payload}\n")
            return words

    kind = Roomy()
    with serving(kind) as server:
        async with opened(url(server.port)) as kv:
            most = kv.limits.max_group + ROOM
            assert most > 4_000_000
            value = b"x" * most
            await kv.put("k", value)
            assert await kv.get("k") == value
        server.kill()
        kind.payload = 100_000
        server.start()
        with pytest.raises(StoreUnavailable, match="raise the server's max_payload"):
            await NatsKV(url(server.port)).open()


# What it promises


def looked(query: str, server: tuple[int, int], **config: object) -> Bucket:
    whole = {"storage": "file", "num_replicas": 3, "max_msgs_per_subject": 1, **config}
    return Bucket(parse(f"nats://h?{query}"), server, whole)


def verdicts(found: Bucket) -> list[tuple[str, str]]:
    return [(f.verdict, f.text.partition(":")[0]) for f in found.findings()]


@pytest.mark.parametrize(
    ("query", "server", "config", "durable", "verdict", "told"),
    [
        ("", (2, 9), {}, False, "note", "2.9 cannot sync each write"),
        ("sync=always", (2, 9), {}, False, "bad", "2.9 cannot sync each write"),
        ("", (2, 12), {}, False, "note", "sync_interval: always"),
        ("sync=always", (2, 12), {}, True, "good", "is your word"),
        ("sync=always", (2, 12), {"persist_mode": "async"}, False, "bad", "async"),
        ("replicas=5", (2, 12), {}, False, "note", "has 3: nats stream update"),
        ("", (2, 12), {"num_replicas": 1}, False, "note", "loss of its server"),
        ("", (2, 12), {}, False, "good", "the bucket has 3 replicas"),
        ("", (2, 12), {"max_msgs_per_subject": 5}, False, "note", "4 old values"),
    ],
)
def test_it_promises_no_more_than_is_known(
    query: str,
    server: tuple[int, int],
    config: dict[str, object],
    verdict: str,
    told: str,
    *,
    durable: bool,
) -> None:
    found = looked(query, server, **config)

    assert found.is_durable() is durable
    assert any(f.verdict == verdict and told in f.text for f in found.findings())
    if found.is_durable() or "sync=always" not in query:
        assert not [f for f in found.findings() if f.verdict == "bad"]


def test_an_old_server_is_refused() -> None:
    assert "take 2.9 or later" in str(looked("", (2, 8)).unfit())


async def test_what_is_promised_follows_the_server_and_the_users_word(
    address: str,
) -> None:
    can_sync = version(program("nats-server", "nats-server")) >= (2, 10)
    async with opened(f"{address}&sync=always") as kv:
        assert kv.limits.durable is can_sync
        found = await kv.examine()
    assert isinstance(found[0], Finding)
    assert found[0].verdict == ("good" if can_sync else "bad")


# How much is read


async def test_a_scan_reads_its_prefix_and_no_more_than_its_limit(
    nats_server: Server, tmp_path: Path
) -> None:
    with proxying(nats_server.port) as proxy:
        async with opened(f"{url(proxy.port)}?bucket={bucket(tmp_path)}") as kv:
            value = b"x" * 1000
            places = [f"{a}/{n}/k" for a in ("f", "w") for n in range(200)]
            await asyncio.gather(*(kv.put(place, value) for place in places))
            counts = proxy.counts

            before = counts.to_client
            assert len(await kv.scan("f/7/")) == 1
            assert counts.to_client - before < 4000
            before = counts.to_client
            assert len(await kv.scan("w/", limit=5)) == 5
            assert counts.to_client - before < 30_000  # 200 names, 5 values
            before = counts.trips
            assert len(await kv.scan("w/", "w/1/", limit=50)) == 50
            assert counts.trips - before == 2


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_what_comes_later_in_a_scan_is_read_later(
    address: str, monkeypatch: pytest.MonkeyPatch, *, is_deleted: bool
) -> None:
    # N-17: who sees what a snapshot has trimmed sees the snapshot, too
    read = Link.read
    listed: list[str] = []

    async def read_and_trim(self: Link, call: str, **body: object) -> dict[str, Any]:
        found = await read(self, call, **body)
        if "offset" in body:
            listed.append(call)
            if len(listed) == 1:
                await kv.put("p/3", b"new")
                await (kv.delete("p/1") if is_deleted else kv.put("p/1", b""))
        return found

    async with opened(address) as kv:
        for n in range(3):
            await kv.put(f"p/{n}", b"old")
        monkeypatch.setattr(Link, "read", read_and_trim)
        found = await kv.scan("p/")

    trimmed = [] if is_deleted else [("p/1", b"")]
    rest = [("p/2", b"old"), ("p/3", b"new")]
    assert found == [("p/0", b"old"), *trimmed, *rest]
    assert len(listed) == 2


class Quick(Nats):
    """Does not sync each of so many values."""

    def command(self, folder: Path, port: int) -> list[str]:
        words = super().command(folder, port)
        config = folder / "nats.conf"
        text = config.read_text("utf-8").replace(", sync_interval: always", "")
        config.write_text(text, "utf-8")
        return words


@pytest.mark.timeout(120)
async def test_more_keys_than_the_server_lists_at_once_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many, gone = 103_500, 2000  # it lists 100,000
    offsets: list[object] = []
    read = Link.read

    async def read_and_remove(self: Link, call: str, **body: object) -> dict[str, Any]:
        found = await read(self, call, **body)
        if "offset" in body:
            offsets.append(body["offset"])
            if len(offsets) == 3:
                await self.api("STREAM.PURGE.KV_many", seq=gone + 1)
        return found

    with serving(Quick()) as server:
        made = f"{url(server.port)}?bucket=many"
        async with opened(made) as kv, client(made) as jetstream:
            for n in range(many):  # an answer to some of them stands for all before
                is_asked = n % 1000 == 999 or n == many - 1
                publisher = jetstream if is_asked else jetstream._nc  # noqa: SLF001  what it is made of
                await publisher.publish(f"$KV.many.w.{n:06}", b"v")
            monkeypatch.setattr(Link, "read", read_and_remove)

            names = [key for key, _ in await kv.scan("w/", f"w/{many - 3:06}")]
            assert names == [f"w/{n:06}" for n in range(many - 3, many)]
            assert len(offsets) == 2
            names = [key for key, _ in await kv.scan("w/", "w/100500", 4)]
            assert names == [f"w/{n:06}" for n in range(100_500, 100_504)]
            assert len(offsets) == 2 + 2 + 2  # so many were removed between two pages


# Hints


async def test_a_hint_tells_of_what_another_process_has_made_due(address: str) -> None:
    mine, theirs = KVStore(NatsKV(address)), KVStore(NatsKV(address))
    await mine.open()
    await theirs.open()
    async with asyncio.timeout(PATIENCE):
        await mine.hint()  # it listens from now on
        for store, message, is_heard in (
            (mine, Envelope("i", "m1", "n", b"", SOON), False),
            (theirs, Envelope("i", "m2", "n", b"", SOON + 3600), False),
            (theirs, Envelope("i", "m3", "n", b"", SOON), True),
        ):
            waiting = asyncio.ensure_future(mine.hint())
            await store.send(message)
            await mine.load("i")  # a hint would have come before this answer
            await asyncio.wait({waiting}, timeout=PATIENCE if is_heard else 0)
            assert waiting.done() is is_heard
            waiting.cancel()
            again = asyncio.ensure_future(mine.hint())
            await mine.load("i")
            assert not again.done()
            again.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
    await mine.close()
    await theirs.close()


async def test_who_waits_for_a_hint_is_told_that_the_connection_was_lost(
    nats_server: Server, tmp_path: Path
) -> None:
    with proxying(nats_server.port) as proxy:
        async with (
            opened(f"{url(proxy.port)}?bucket={bucket(tmp_path)}") as kv,
            asyncio.timeout(PATIENCE),
        ):
            await kv.hint()
            waiting = asyncio.ensure_future(kv.hint())
            await kv.get("k")
            assert not waiting.done()
            proxy.cut()
            await waiting
            await kv.hint()  # it listens again
            waiting = asyncio.ensure_future(kv.hint())
            await kv.get("k")
            assert not waiting.done()
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            proxy.refuse()
            proxy.cut()
            with suppress(StoreUnavailable):
                await kv.hint()  # it may not know yet
            with pytest.raises(StoreUnavailable, match="no connection"):
                await kv.hint()
