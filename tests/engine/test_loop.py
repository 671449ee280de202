"""What a body may do on its loop, and what it may not."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
import uvloop

from edgeflow import (
    App,
    BodyError,
    Context,
    Outcome,
    Retry,
    StepError,
    current_step,
    step,
)
from edgeflow.engine.loop import REFUSED, BodyLoop, BodyTimer, make_loop
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Coroutine,
        Iterator,
    )

    from edgeflow import Store

    Body = Callable[[Context], Coroutine[Any, Any, Any]]

HOSTS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=HOSTS[request.param]) as runner:
        yield runner


@step
async def work(value: int, seconds: float = 0) -> int:
    entered[value] += 1
    await current_step().resources.sleep(seconds)
    if value < 0:
        raise ValueError(value)
    return value


ONE = Retry(attempts=1)
entered: Counter[int] = Counter()


@pytest.fixture(autouse=True)
def nothing_entered() -> None:
    entered.clear()


def app_for(body: Body, store: Store, clock: VirtualClock) -> App:
    app = App(store, clock=clock, lifespan=lambda: nullcontext(clock))
    app.workflow(name="w")(body)
    return app


async def in_one_go(body: Body) -> Any:
    return await app_for(body, MemoryStore(), VirtualClock()).run("w", id="i")


async def in_many_processes(body: Body) -> Any:
    outcome = await to_the_end(body)
    assert outcome.status == "completed", outcome
    return outcome.output


async def to_the_end(body: Body) -> Outcome[Any]:
    """Let a fresh app go on after each suspension."""
    store, clock = MemoryStore(), VirtualClock()
    await app_for(body, store, clock).start("w", id="i")
    while True:
        outcome = await app_for(body, store, clock).drive("i")
        if outcome.status != "suspended":
            return outcome
        assert outcome.wake_at is not None
        clock.advance(outcome.wake_at - clock.now())


async def blocked(body: Body) -> Outcome[Any]:
    app = app_for(body, MemoryStore(), VirtualClock())
    await app.start("w", id="i")
    outcome = await app.drive("i")
    assert outcome.status == "blocked", outcome
    return outcome


# What a body may use: each gives the same, in one process and in many


async def gather(_: Context) -> list[Any]:
    steps = work(1, 3), work(2, 1), work(3, 2)
    found = await asyncio.gather(*steps, asyncio.sleep(9, 4))
    await asyncio.sleep(60)
    return [*found]


async def gather_exceptions(_: Context) -> list[Any]:
    once = work.using(retry=ONE)
    found = await asyncio.gather(once(-1, 1), work(2, 2), return_exceptions=True)
    await asyncio.sleep(60)
    return [type(f).__name__ if isinstance(f, StepError) else f for f in found]


async def wait_all(_: Context) -> list[Any]:
    tasks = [asyncio.create_task(delayed(n, 50 * n)) for n in (3, 1, 2)]
    done, pending = await asyncio.wait(tasks)
    return [sorted(t.result() for t in done), len(pending)]


async def wait_first_completed(_: Context) -> list[Any]:
    pending = {asyncio.create_task(delayed(n, 50 * n)) for n in (3, 1, 2)}
    order: list[int] = []
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        order += sorted(task.result() for task in done)
    return order


async def wait_first_exception(_: Context) -> list[Any]:
    branches = failing(70), failing(140), delayed(1, 7)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(b) for b in branches]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    found = [len(done), len(pending)]
    await asyncio.wait(pending)
    return [*found, [type(task.exception()).__name__ for task in tasks]]


async def wait_with_timeout(_: Context) -> list[Any]:
    tasks = [asyncio.create_task(delayed(n, 50 * n)) for n in (1, 3)]
    done, pending = await asyncio.wait(tasks, timeout=100)
    rest = await asyncio.gather(*pending)
    return [[task.result() for task in done], rest]


async def as_completed(_: Context) -> list[Any]:
    tasks = [asyncio.create_task(delayed(n, 50 * n)) for n in (3, 1, 2)]
    return [await branch for branch in asyncio.as_completed(tasks)]


async def as_completed_steps(_: Context) -> list[Any]:
    steps = [work(n, n) for n in (8, 3, 7, 1, 6, 2, 5, 4)]
    found = [await branch for branch in asyncio.as_completed(steps)]
    await asyncio.sleep(60)
    return found


async def order_of_cancellation(_: Context) -> list[Any]:
    swapped: list[int] = []
    ended: list[int] = []

    async def sibling(n: int) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            if await work(n, 1) != n:
                swapped.append(n)
            await asyncio.sleep(60)
            ended.append(n)

    try:
        async with asyncio.TaskGroup() as group:
            for n in range(1, 13):
                group.create_task(sibling(n))
            group.create_task(failing(70))
    except* ZeroDivisionError:
        pass
    return [len(ended), swapped]


async def task_group(_: Context) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(delayed(n, 50 * n)) for n in (3, 1, 2)]
    return [task.result() for task in tasks]


async def task_group_failing(_: Context) -> list[Any]:
    seen: list[Any] = []

    async def sibling() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(sibling())
            group.create_task(failing(70))
    except* ZeroDivisionError as errors:
        seen.append(len(errors.exceptions))
    await asyncio.sleep(60)
    return seen


async def timeout_reached(_: Context) -> list[Any]:
    seen: list[Any] = []
    try:
        async with asyncio.timeout(100):
            await delayed(1, 90)
            seen.append("in time")
            await delayed(2, 90)
    except TimeoutError:
        seen.append("late")
    return seen


async def timeout_rescheduled(_: Context) -> list[Any]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(100) as limit:
        limit.reschedule(loop.time() + 200)
        return [await delayed(1, 150), limit.expired()]


async def wait_for(_: Context) -> list[Any]:
    found = [await asyncio.wait_for(delayed(1, 50), 100)]
    try:
        await asyncio.wait_for(delayed(2, 150), 100)
    except TimeoutError:
        found.append(0)
    return found


async def sleeps(_: Context) -> list[Any]:
    start = asyncio.get_running_loop().time()
    order: list[Any] = []

    async def note(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(round(asyncio.get_running_loop().time() - start))

    await asyncio.gather(note(100), note(0), note(300), note(200), note(0.01))
    return order


async def call_later(_: Context) -> list[Any]:
    loop = asyncio.get_running_loop()
    heard: list[int] = []
    loop.call_later(50, heard.append, 1)
    loop.call_at(loop.time() + 20, heard.append, 2)
    loop.call_later(30, heard.append, 3).cancel()
    loop.call_soon(heard.append, 4)
    await asyncio.sleep(100)
    return heard


async def queue(_: Context) -> list[Any]:
    items: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def produce() -> None:
        for n in range(4):
            await items.put(await work(n, 1))
            await asyncio.sleep(60)

    producer = asyncio.create_task(produce())
    found = [await items.get() for _ in range(4)]
    await producer
    return found


async def event(_: Context) -> list[Any]:
    ready, order = asyncio.Event(), list[int]()

    async def waiter(n: int) -> None:
        await ready.wait()
        order.append(await work(n, 1))

    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(waiter(n))
        await asyncio.sleep(60)
        ready.set()
    return order


async def lock(_: Context) -> list[Any]:
    lock, order = asyncio.Lock(), list[int]()

    async def use(n: int) -> None:
        async with lock:
            order.append(n)
            await delayed(n, 60)
            order.append(n)

    await asyncio.gather(*map(use, range(3)))
    return order


async def semaphore(_: Context) -> list[Any]:
    two, inside, most = asyncio.Semaphore(2), 0, 0

    async def use(n: int) -> int:
        nonlocal inside, most
        async with two:
            inside += 1
            most = max(most, inside)
            await delayed(n, 60)
            inside -= 1
        return n

    return [await asyncio.gather(*map(use, range(5))), most]


async def condition(_: Context) -> list[Any]:
    changed, order = asyncio.Condition(), list[int]()

    async def waiter(n: int) -> None:
        async with changed:
            await changed.wait_for(lambda: len(order) == n)
            order.append(await work(n, 1))
            changed.notify_all()

    async def starter() -> None:
        await asyncio.sleep(60)
        async with changed:
            order.append(0)
            changed.notify_all()

    await asyncio.gather(waiter(3), waiter(1), waiter(2), starter())
    return order


async def barrier(_: Context) -> list[Any]:
    three, order = asyncio.Barrier(3), list[Any]()

    async def arrive(n: int) -> None:
        order.append(await delayed(n, 50 * n))
        await three.wait()
        order.append("go")

    await asyncio.gather(arrive(3), arrive(1), arrive(2))
    return order


async def cancelling(_: Context) -> list[Any]:
    seen: list[Any] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            seen.append(await work(1, 1))
            await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    shielded = asyncio.create_task(asyncio.wait_for(asyncio.shield(task), 50))
    await asyncio.wait([shielded])
    seen.append(type(shielded.exception()).__name__)
    task.cancel()
    await asyncio.wait([task])
    return [*seen, task.cancelled()]


async def async_generators(_: Context) -> list[Any]:
    closed: list[Any] = []

    async def count() -> AsyncIterator[int]:
        try:
            for n in range(10):
                yield await delayed(n, 60)
        finally:
            closed.append(await delayed(99, 60))

    @asynccontextmanager
    async def block() -> AsyncGenerator[int]:
        yield await delayed(7, 60)
        await delayed(8, 60)

    found: list[int] = []
    async with block() as n:
        found.append(n)
    numbers = count()
    async for n in numbers:
        found.append(n)
        if n == 2:
            break
    del numbers, n  # what nobody holds is closed by the loop
    await asyncio.sleep(120)
    return [*found, *closed]


async def anyio_task_group(_: Context) -> list[Any]:
    order: list[int] = []

    async def branch(n: int) -> None:
        order.append(await delayed(n, 50 * n))

    async with anyio.create_task_group() as group:
        for n in (3, 1, 2):
            group.start_soon(branch, n)
    return order


async def anyio_cancel_scope(_: Context) -> list[Any]:
    seen: list[Any] = []
    async with anyio.create_task_group() as group:
        group.start_soon(delayed, 1, 1000)
        seen.append(await delayed(2, 60))
        group.cancel_scope.cancel()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep(1)
        seen.append("not reached")
    return [*seen, scope.cancelled_caught]


async def anyio_deadlines(_: Context) -> list[Any]:
    seen: list[Any] = []
    with anyio.move_on_after(100) as scope:
        seen.append(await delayed(1, 90))
        seen.append(await delayed(2, 90))
    seen.append(scope.cancelled_caught)
    try:
        with anyio.fail_after(70):
            await anyio.sleep_forever()
    except TimeoutError:
        seen.append("late")
    return seen


async def anyio_primitives(_: Context) -> list[Any]:
    ready, lock, order = anyio.Event(), anyio.Lock(), list[int]()
    send, receive = anyio.create_memory_object_stream[int](0)

    async def waiter(n: int) -> None:
        await ready.wait()
        async with lock:
            order.append(await delayed(n, 60))

    async def producer() -> None:
        async with send:
            await send.send(await work(7))

    async with anyio.create_task_group() as group, receive:
        for n in (1, 2):
            group.start_soon(waiter, n)
        group.start_soon(producer)
        await anyio.sleep(60)
        ready.set()
        order.append(await receive.receive())
    return order


async def delayed(value: int, seconds: float) -> int:
    """Wait, long enough for a suspension, and do a step."""
    await asyncio.sleep(seconds)
    return await work(value, 1)


async def failing(seconds: float) -> None:
    await delayed(0, seconds)
    raise ZeroDivisionError


WORDS: dict[Body, list[Any]] = {
    gather: [1, 2, 3, 4],
    gather_exceptions: ["StepError", 2],
    wait_all: [[1, 2, 3], 0],
    wait_first_completed: [1, 2, 3],
    wait_first_exception: [
        2,
        1,
        ["ZeroDivisionError", "ZeroDivisionError", "NoneType"],
    ],
    wait_with_timeout: [[1], [3]],
    as_completed: [1, 2, 3],
    as_completed_steps: [1, 2, 3, 4, 5, 6, 7, 8],
    task_group: [3, 1, 2],
    task_group_failing: ["cancelled", 1],
    order_of_cancellation: [12, []],
    timeout_reached: ["in time", "late"],
    timeout_rescheduled: [1, False],
    wait_for: [1, 0],
    sleeps: [0, 0, 100, 200, 300],
    call_later: [4, 2, 1],
    queue: [0, 1, 2, 3],
    event: [0, 1, 2],
    lock: [0, 0, 1, 1, 2, 2],
    semaphore: [[0, 1, 2, 3, 4], 2],
    condition: [0, 1, 2, 3],
    barrier: [1, 2, 3, "go", "go", "go"],
    cancelling: ["TimeoutError", 1, True],
    async_generators: [7, 0, 1, 2, 99],
    anyio_task_group: [1, 2, 3],
    anyio_cancel_scope: [2, True],
    anyio_deadlines: [1, True, "late"],
    anyio_primitives: [7, 1, 2],
}


@pytest.mark.parametrize("body", WORDS, ids=lambda body: body.__name__)
def test_a_body_may_use_the_words_of_asyncio_and_anyio(
    body: Body, host: asyncio.Runner
) -> None:
    # E-13 E-14 E-15 E-17 E-18, G9
    assert host.run(in_one_go(body)) == WORDS[body]
    once = entered.copy()

    assert host.run(in_many_processes(body)) == WORDS[body]
    assert entered - once == once  # no step ran again on replay


async def test_bare_coroutines_in_as_completed_are_never_swapped() -> None:
    # G9: asyncio puts them into a set, which has no order
    async def body(_: Context) -> list[Any]:
        branches = [delayed(n, 50 * n) for n in (8, 3, 7, 1, 6, 2, 5, 4)]
        return [await branch for branch in asyncio.as_completed(branches)]

    outcome = await to_the_end(body)

    if outcome.error is None:
        assert outcome.output == [1, 2, 3, 4, 5, 6, 7, 8]
    else:
        assert outcome.status == "blocked"
        assert "create_task" in outcome.error.message


# What a body must not use


def refuses(name: str) -> Body:
    async def body(_: Context) -> None:
        loop = asyncio.get_running_loop()
        try:
            result = getattr(loop, name)(None, None, None)
            if asyncio.iscoroutine(result):
                await result
        except Exception:
            await work(1)

    return body


@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_what_touches_the_world_is_refused_by_name(name: str) -> None:
    outcome = await blocked(refuses(name))

    assert outcome.error is not None
    assert outcome.error.type == "edgeflow.errors.BodyError"
    assert f"loop.{name}()" in outcome.error.message
    assert "Do this in a step" in outcome.error.message
    assert entered == {}  # the error came again at the next operation


def test_all_that_a_loop_can_do_is_offered_or_refused() -> None:
    silent = {
        name
        for name in dir(asyncio.AbstractEventLoop)
        if not name.startswith("__")
        and getattr(BodyLoop, name) is getattr(asyncio.AbstractEventLoop, name)
    }

    assert silent <= {"set_exception_handler", "shutdown_asyncgens"} | EXECUTORS


EXECUTORS = {"shutdown_default_executor"}


async def to_thread() -> None:
    await asyncio.to_thread(print)


async def open_connection() -> None:
    await asyncio.open_connection("localhost", 1)


async def start_server() -> None:
    await asyncio.start_server(print, "localhost", 1)


async def unix_connection() -> None:
    await asyncio.open_unix_connection("socket")


async def subprocess_exec() -> None:
    await asyncio.create_subprocess_exec("true")


async def subprocess_shell() -> None:
    await asyncio.create_subprocess_shell("true", stdout=subprocess.PIPE)


async def signal_handler() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)


async def read_socket() -> None:
    with socket.socket() as sock:
        await asyncio.get_running_loop().sock_recv(sock, 1)


async def watch_a_descriptor() -> None:
    asyncio.get_running_loop().add_reader(0, print)


async def resolve() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 1)


async def anyio_thread() -> None:
    await anyio.to_thread.run_sync(print)


async def anyio_process() -> None:
    await anyio.run_process(["true"])


async def anyio_connection() -> None:
    await anyio.connect_tcp("127.0.0.1", 1)


async def anyio_file() -> None:
    await anyio.Path("file").exists()


async def anyio_signals() -> None:
    with anyio.open_signal_receiver(signal.SIGTERM):
        pass


CALLS: dict[Callable[[], Coroutine[Any, Any, None]], str] = {
    to_thread: "run_in_executor",
    open_connection: "create_connection",
    start_server: "create_server",
    unix_connection: "create_unix_connection",
    subprocess_exec: "subprocess_exec",
    subprocess_shell: "subprocess_shell",
    signal_handler: "add_signal_handler",
    read_socket: "sock_recv",
    watch_a_descriptor: "add_reader",
    resolve: "getaddrinfo",
    anyio_thread: "",
    anyio_process: "",
    anyio_connection: "",
    anyio_file: "",
    anyio_signals: "",
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_real_input_and_output_block_the_instance(
    call: Callable[[], Coroutine[Any, Any, None]], host: asyncio.Runner
) -> None:
    # S5, G13
    async def body(_: Context) -> None:
        await call()

    outcome = host.run(blocked(body))

    assert outcome.error is not None
    assert CALLS[call] in outcome.error.message
    assert "Do this in a step" in outcome.error.message


async def test_a_refused_call_is_not_made_when_its_error_is_swallowed() -> None:
    # S5
    async def body(_: Context) -> str:
        try:
            await asyncio.to_thread(entered.update, {1: 1})
        except Exception:
            return "swallowed"
        return "done"

    outcome = await blocked(body)

    assert outcome.error is not None
    assert "run_in_executor" in outcome.error.message
    assert entered == {}


async def test_what_cannot_happen_is_not_waited_for() -> None:
    foreign: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def waits_for_nothing(_: Context) -> None:
        await asyncio.get_running_loop().create_future()

    async def waits_for_a_set_event(_: Context) -> None:
        await asyncio.Event().wait()

    async def waits_for_another_loop(_: Context) -> None:
        await foreign

    for body in (waits_for_nothing, waits_for_a_set_event):
        outcome = await blocked(body)
        assert outcome.error is not None
        assert "can never happen" in outcome.error.message
    with pytest.raises(Exception, match="attached to a different loop"):
        await in_one_go(waits_for_another_loop)


async def test_a_body_that_spins_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeflow.engine.loop.SPIN_LIMIT", 1000)

    async def body(_: Context) -> None:
        while True:  # noqa: ASYNC110  it spins
            await asyncio.sleep(0)

    outcome = await blocked(body)

    assert outcome.error is not None
    assert "spins" in outcome.error.message


async def test_many_callbacks_at_once_are_no_spinning() -> None:
    async def body(_: Context) -> int:
        return sum(await asyncio.gather(*(tick(n) for n in range(2000))))

    async def tick(n: int) -> int:
        await asyncio.sleep(0)
        return n

    assert await in_one_go(body) == sum(range(2000))


# Around the loop


def test_the_host_goes_on_while_a_body_waits(host: asyncio.Runner) -> None:
    async def body(_: Context) -> list[int]:
        return list(await asyncio.gather(work(1, 10), work(2, 20)))

    async def main() -> tuple[Any, list[Any]]:
        seen: list[Any] = []

        async def beside() -> None:
            for _ in range(3):
                seen.append(asyncio.get_running_loop())
                await asyncio.sleep(0)

        found, _ = await asyncio.gather(in_one_go(body), beside())
        return found, [loop is asyncio.get_running_loop() for loop in seen]

    assert host.run(main()) == ([1, 2], [True, True, True])


async def test_steps_run_on_the_loop_of_the_process() -> None:
    host = asyncio.get_running_loop()

    async def body(ctx: Context) -> list[bool]:
        async def look() -> bool:
            return asyncio.get_running_loop() is host

        return [asyncio.get_running_loop() is host, await ctx.step("look", look)]

    assert await in_one_go(body) == [False, True]


word: ContextVar[str] = ContextVar("word", default="nothing")


async def test_steps_get_a_copy_of_the_context_of_the_body() -> None:
    async def body(ctx: Context) -> list[str]:
        async def look() -> str:
            found = word.get()
            word.set("changed")
            return found

        def look_in_a_thread() -> str:
            return word.get()

        async def branch(value: str) -> list[str]:
            word.set(value)
            await asyncio.sleep(60)
            return [
                await ctx.step("look", look),
                await ctx.step("thread", look_in_a_thread),
                word.get(),
            ]

        found = await asyncio.gather(branch("a"), branch("b"))
        return [*found[0], *found[1], word.get()]

    expected = ["a", "a", "a", "b", "b", "b", "nothing"]
    assert await in_one_go(body) == expected
    assert await in_many_processes(body) == expected


async def test_time_in_a_body_is_the_time_of_the_last_event() -> None:
    # G9
    async def body(_: Context) -> list[float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await work(1, 10)
        between = loop.time() - start
        await asyncio.sleep(100)
        return [round(between), round(loop.time() - start)]

    assert await in_one_go(body) == [10, 110]
    assert await in_many_processes(body) == [10, 110]


async def test_an_error_that_no_task_of_the_body_hears_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(_: Context) -> int:
        task = asyncio.create_task(failing(0))
        await asyncio.wait([task])
        del task
        gc.collect()
        return 1

    assert await in_one_go(body) == 1
    assert "never retrieved" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_task_that_the_body_leaves_behind_is_put_away_silently(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []

    async def body(_: Context) -> int:
        tasks.append(asyncio.create_task(waits()))
        await asyncio.sleep(0)
        return 1

    tasks: list[asyncio.Task[None]] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("closed")

    assert await in_one_go(body) == 1
    assert ended == ["closed"]
    assert tasks[0].done()
    assert "pending" not in caplog.text


async def test_a_body_that_is_put_away_records_nothing_in_its_last_words() -> None:
    # S18
    async def body(ctx: Context) -> int:
        try:
            await ctx.sleep(1000)
        except BaseException as error:
            heard.append(type(error).__name__)
            try:
                await work(7)
            except BaseException as again:
                heard.append(type(again).__name__)
                raise
            raise
        return 1

    heard: list[str] = []
    store, clock = MemoryStore(), VirtualClock()
    app = app_for(body, store, clock)
    await app.start("w", id="i")

    outcome = await app.drive("i")

    assert outcome.status == "suspended"
    assert heard == ["Suspension", "Suspension"]
    assert entered == {}
    assert [entry.kind for entry in await app.handle("i").history()] == []


async def test_run_until_idle_leaves_the_host_as_it_was() -> None:
    hooks = sys.get_asyncgen_hooks()
    host = asyncio.get_running_loop()
    loop = make_loop(Nobody(), 1.0, "")
    loop.call_soon(lambda: seen.append(asyncio.get_running_loop()))
    loop.call_soon(lambda: 1 / 0)
    seen: list[asyncio.AbstractEventLoop] = []

    done = host.create_future()

    def callback() -> None:
        loop.run_until_idle()
        seen.append(asyncio.get_running_loop())
        done.set_result(None)

    host.call_soon(callback)
    await done

    assert seen == [loop, host]
    assert sys.get_asyncgen_hooks() == hooks


class Nobody:
    """Owns a loop, and does nothing about it."""

    def violate(self, error: BodyError) -> None:
        raise NotImplementedError

    def check_open(self) -> bool:
        return True

    def timer_set(self, timer: BodyTimer) -> None:
        raise NotImplementedError

    def timer_cancelled(self, timer: BodyTimer) -> None:
        raise NotImplementedError
