"""What a bad network costs: a repeated request, and never a step or a message."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from edgeflow import App, Context, Event, Retry, StoreUnavailable, step, workflow
from edgeflow.stores import store_from_url
from edgeflow.testing.recorder import RecordingStore
from tests.servers import nats, postgres, redis
from tests.servers.proxy import Proxy, proxying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgeflow.store import Commit, Committed, Envelope, Loaded, Store
    from tests.servers.server import Server

pytestmark = pytest.mark.timeout(120)  # in real time, and some of it is awaited

PATIENCE = 30.0
STEPS = 6
OUTPUT = ["hello", *range(STEPS)]


# The workflow, and what is seen of it


def nothing(what: str, number: int) -> None:
    """Let it be."""


class Seen:
    """What the steps below did, and what was told to be durable before."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, int]] = Counter()
        self.durable: set[tuple[str, str]] = set()
        self.again: list[tuple[str, int]] = []
        """Steps that ran although they had been told to be durable."""
        self.during: Callable[[str, int], None] = nothing

    def observe(self, event: Event) -> None:
        if event.kind == "step_completed":
            self.durable.add((event.instance, event.path))

    def enter(self, instance: str, number: int) -> None:
        self.calls[instance, number] += 1
        if (instance, f"work[{number}]") in self.durable:
            self.again.append((instance, number))
        self.during(instance, number)


seen = Seen()


@step(retry=Retry(attempts=1))
async def work(instance: str, number: int) -> int:
    seen.enter(instance, number)
    return number


@workflow
async def journey(ctx: Context, steps: int) -> list[Any]:
    """Do some steps, send a message in their midst, and await another one."""
    half = steps // 2
    found: list[Any] = [await work(ctx.id, n) for n in range(half)]
    await ctx.send(f"{ctx.id} peer", "news", half)
    message = await ctx.receive("greeting", timeout=PATIENCE)
    return [message.body, *found, *[await work(ctx.id, n) for n in range(half, steps)]]


class Watched(RecordingStore):
    """Does something before its n-th commit or send, and keeps what they raise."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.before: Callable[[str, int], None] = nothing
        self.numbers: Counter[str] = Counter()
        self.errors: list[Exception] = []

    def _count(self, call: str) -> None:
        self.numbers[call] += 1
        self.before(call, self.numbers[call])

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self._count("commit")
        try:
            return await super().commit(instance, commit)
        except Exception as error:
            self.errors.append(error)
            raise

    async def send(self, message: Envelope) -> bool:
        self._count("send")
        return await super().send(message)


class NetworkFaults:
    """A store behind a proxy, and the same data without one.

    Subclass it, say where the server is and how its URL is written, and what is in the
    request that decides a commit.
    """

    deciding: ClassVar[bytes]
    server: Server
    refusals: ClassVar[list[Exception]] = []
    """What was raised to those who sent messages through cuts."""

    def url(self, port: int, namespace: str) -> str:
        """Name the store such that a `timeout` may follow."""
        raise NotImplementedError

    @pytest.fixture
    def proxy(self) -> Iterator[Proxy]:
        seen.__init__()  # type: ignore[misc]
        with proxying(self.server.port) as proxy:
            yield proxy

    @pytest.fixture
    def near(self, tmp_path: Path) -> str:
        """Name the store without a proxy."""
        return self.url(self.server.port, tmp_path.name)

    @pytest.fixture
    def far(self, proxy: Proxy, tmp_path: Path) -> str:
        """Name the store behind the proxy."""
        return self.url(proxy.port, tmp_path.name)

    def app(self, store: Store | str, **settings: Any) -> App:
        given = store_from_url(store) if isinstance(store, str) else store
        return App(
            given,
            workflows=[journey],
            observers=[seen.observe],
            config={},
            **settings,
        )

    async def greet(self, near: str, instance: str) -> None:
        await self.app(near).handle(instance).send("greeting", "hello", id="g")

    async def run(self, store: Store | str, instance: str) -> list[Any]:
        """Run to the end, in another process if one gives up."""
        try:
            return await self.app(store).run(journey, STEPS, id=instance)
        except StoreUnavailable:
            found: list[Any] | None = (await self.app(store).drive(instance)).output
            assert found is not None
            return found

    async def look(self, near: str, instance: str) -> Loaded:
        """See that a journey has ended right, and its one message has arrived."""
        assert seen.again == []
        store = store_from_url(near)
        await store.open()
        loaded = await store.load(instance)
        news = await store.unread(f"{instance} peer")
        await store.close()
        assert loaded is not None
        assert loaded.head.status == "completed"
        assert [message.name for message in news] == ["news"]
        assert loaded.messages == ()
        return loaded

    async def test_a_slow_network_makes_it_slow(
        self, proxy: Proxy, near: str, far: str
    ) -> None:
        await self.greet(near, "i")
        proxy.delay = 0.03
        before = time.monotonic()

        assert await self.run(far, "i") == OUTPUT
        assert time.monotonic() - before >= 0.06 * STEPS
        assert {*seen.calls.values()} == {1}
        await self.look(near, "i")

    @pytest.mark.parametrize("request_", ["first", "deciding"])
    async def test_a_lost_answer_at_any_commit_costs_nothing(
        self, proxy: Proxy, near: str, far: str, request_: str
    ) -> None:
        # M-12 N-06 G3 G5
        await self.greet(near, "clean")
        assert await self.run(near, "clean") == OUTPUT
        last = (await self.look(near, "clean")).head.seq
        for at in count(1):
            instance = f"i{at}"
            await self.greet(near, instance)
            marker = self.deciding if request_ == "deciding" else b""
            store = Watched(store_from_url(far))
            store.before = lambda call, number, at=at, marker=marker: (  # type: ignore[misc]
                proxy.lose_answer(marker) if (call, number) == ("commit", at) else None
            )
            lost = proxy.counts.lost
            assert await self.app(store).run(journey, STEPS, id=instance) == OUTPUT
            assert (await self.look(near, instance)).head.seq == last
            assert not proxy.is_losing
            if proxy.counts.lost == lost:
                assert at > STEPS
                break
            assert {*seen.calls.values()} == {1}

    async def test_a_lost_answer_to_a_message_is_no_lost_message(
        self, proxy: Proxy, near: str, far: str
    ) -> None:
        # G11
        for at in count(1):
            instance = f"i{at}"
            await self.greet(near, instance)
            store = Watched(store_from_url(far))
            store.before = lambda call, number, at=at: (  # type: ignore[misc]
                proxy.lose_answer() if (call, number) == ("send", at) else None
            )
            assert await self.run(store, instance) == OUTPUT
            await self.look(near, instance)
            if store.numbers["send"] < at:
                break

    async def test_a_black_hole_holds_a_run_up(
        self, proxy: Proxy, near: str, far: str
    ) -> None:
        # M-10 M-12 N-06
        await self.greet(near, "i")
        store = Watched(store_from_url(f"{far}&timeout=1"))
        seen.during = lambda _, number: proxy.hold() if number == 1 else None
        running = asyncio.ensure_future(self.app(store).run(journey, STEPS, id="i"))
        await until(lambda: bool(store.errors))
        proxy.flow()

        assert await running == OUTPUT
        assert {*seen.calls.values()} == {1}
        await self.look(near, "i")

    async def test_a_server_that_refuses_for_a_while_holds_a_run_up(
        self, proxy: Proxy, near: str, far: str
    ) -> None:
        # M-10
        def away(_: str, number: int) -> None:
            if number == 4:
                proxy.refuse()
                proxy.cut()

        await self.greet(near, "i")
        store = Watched(store_from_url(far))
        seen.during = away
        running = asyncio.ensure_future(self.app(store).run(journey, STEPS, id="i"))
        await until(lambda: len(store.errors) >= 2)
        proxy.accept()

        assert await running == OUTPUT
        assert {*seen.calls.values()} == {1}
        await self.look(near, "i")

    @pytest.mark.parametrize("seed", [1, 2])
    async def test_cuts_at_any_moment_lose_nothing_of_what_many_do(
        self, proxy: Proxy, near: str, far: str, seed: int
    ) -> None:
        # G3 G5 G10 G11
        chance, steps = Random(seed), 16
        names = [f"i{n}" for n in range(8)]
        outside = self.app(near)
        async with self.app(far, lease=1, poll=0.1), self.app(far, lease=1, poll=0.1):
            for name in names:
                await outside.start(journey, steps, id=name)
            results = asyncio.gather(
                *(outside.handle(name).result(timeout=PATIENCE) for name in names)
            )
            greeting = asyncio.gather(*(self._greet_until_known(far, n) for n in names))
            cuts = await self._cut(proxy, chance, results)
            await greeting
            found = await results

        assert found == [["hello", *range(steps)]] * len(names)
        assert cuts > 5
        for name in names:
            await self.look(near, name)

    async def _cut(
        self, proxy: Proxy, chance: Random, results: asyncio.Future[Any]
    ) -> int:
        """Cut all connections after some bytes, and again, as long as there is work."""
        for cuts in range(25):
            mark = proxy.counts.to_server + chance.randrange(200, 10_000)
            while proxy.counts.to_server < mark:
                if results.done():
                    return cuts
                await asyncio.sleep(0.001)
            proxy.cut()
        return 25

    async def _greet_until_known(self, far: str, instance: str) -> None:
        """Send a message until that is acknowledged; once is once."""
        handle = self.app(far).handle(instance)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                await handle.send("greeting", "hello", id="g")
            except Exception as error:  # whatever a cut does to it
                self.refusals.append(error)
            else:
                return
        pytest.fail(f"{instance} cannot be greeted")


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


class TestPostgres(NetworkFaults):
    deciding = b"edgeflow."

    @pytest.fixture(autouse=True)
    def _server(self, postgres_server: Server) -> None:
        self.server = postgres_server

    def url(self, port: int, namespace: str) -> str:
        return f"{postgres.url(port)}?ns={namespace}"


class TestRedis(NetworkFaults):
    deciding = b"\r\nf/"

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: Server) -> None:
        self.server = redis_server

    def url(self, port: int, namespace: str) -> str:
        return f"{redis.url(port)}?ns={namespace}"


class TestNats(NetworkFaults):
    deciding = b".f."

    @pytest.fixture(autouse=True)
    def _server(self, nats_server: Server) -> None:
        self.server = nats_server

    def url(self, port: int, namespace: str) -> str:
        return f"{nats.url(port)}?bucket={namespace}"
