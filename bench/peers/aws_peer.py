# pyright: basic, reportMissingImports=false
# Its library is in an environment of its own, so that its types are unknown here.
"""AWS's durable execution SDK in the scenarios of the peer benchmark: see README.md.

It runs on the local runner of its testing library. It has no asyncio: steps are plain
functions, in threads. With EDGEBENCH_AWS_STORE=sqlite the runner has its SQLite store
(WAL, synchronous NORMAL), else it keeps all in memory.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from aws_durable_execution_sdk_python import DurableContext, durable_execution
from aws_durable_execution_sdk_python.config import Duration, ParallelConfig
from aws_durable_execution_sdk_python_testing import DurableFunctionTestRunner
from workload import (
    BEGAN,
    LOOP_START,
    Record,
    Timed,
    clock,
    data_dir,
    emit,
    loop_state,
    main,
    percentiles,
    record,
    rss_mib,
    scaled,
    stored_bytes,
)

STORE = os.environ.get("EDGEBENCH_AWS_STORE", "memory")
PEER = f"aws-local-{STORE}"
SHORTEST_NAP = 1
"""Seconds."""
logging.disable(logging.ERROR)


class Marks:
    """What workflows and scenarios tell one another."""

    finished: float = 0.0
    callback: str = ""
    waiting = threading.Event()


marks = Marks()


# --- the work -----------------------------------------------------------------------


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> Any:
    """Run the workflow that the event names."""
    return WORKFLOWS[event["kind"]](context, event["n"])


def steps(context: DurableContext, count: int) -> int:
    for i in range(count):
        context.step(lambda _, i=i: record(i), name="step")
    marks.finished = clock()
    return count


def loop(context: DurableContext, count: int) -> int:
    state = LOOP_START
    for _ in range(count):
        state = context.step(lambda _, state=state: loop_state(state), name="loop")
    return state["total"]


def sleeper(context: DurableContext, count: int) -> int:
    context.wait(Duration.from_seconds(SHORTEST_NAP))
    return count


def fan_out(context: DurableContext, count: int) -> int:
    def branch(i: int) -> Callable[[DurableContext], Record]:
        return lambda inner: inner.step(lambda _: record(i), name="step")

    branches = [branch(i) for i in range(count)]
    context.parallel(branches, config=ParallelConfig(max_concurrency=100))
    return count


def receiver(context: DurableContext, count: int) -> int:
    """Make steps, wait for a message, and make one more step if there were any."""
    for i in range(count):
        context.step(lambda _, i=i: record(i), name="step")
    wait = context.create_callback(name="go")
    marks.callback = wait.callback_id
    marks.waiting.set()
    wait.result()
    if count:
        context.step(lambda _: record(count), name="step")
    marks.finished = clock()
    return count


WORKFLOWS = {f.__name__: f for f in (steps, loop, sleeper, fan_out, receiver)}


class Running:
    """A runner with executions of the handler."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner

    def start(self, kind: str, count: int, name: str) -> str:
        event = f'{{"kind": "{kind}", "n": {count}}}'
        arn: str = self.runner.run_async(input=event, execution_name=name)
        return arn

    def done(self, arn: str) -> None:
        result = self.runner.wait_for_result(arn, timeout=280)
        if result.status.value != "SUCCEEDED":
            raise SystemExit(f"{arn} is {result.status.value}: {result.error}")

    def round_trip(self, name: str, count: int) -> float:
        """Give the seconds from the callback's success until the last step."""
        marks.waiting.clear()
        arn = self.start("receiver", count, name)
        marks.waiting.wait()
        time.sleep(1 if count else 0.05)
        began = clock()
        self.runner.send_callback_success(marks.callback)
        self.done(arn)
        return marks.finished - began


def run(scenario: Callable[[Running], None], *, skip_time: bool = True) -> None:
    """Run a scenario in a runner of its own."""
    store = None
    if STORE == "sqlite":
        from aws_durable_execution_sdk_python_testing.stores.sqlite import (  # noqa: PLC0415  only here
            SQLiteExecutionStore,
        )

        store = SQLiteExecutionStore.create_and_initialize(f"{data_dir()}/aws.sqlite")
    with DurableFunctionTestRunner(handler, skip_time=skip_time, store=store) as runner:
        scenario(Running(runner))


# --- the scenarios --------------------------------------------------------------------


def s1() -> None:
    """Run steps in sequence."""

    def go(running: Running) -> None:
        running.done(running.start("steps", 10, "warm"))
        count = scaled(1000)
        with Timed() as t:
            running.done(running.start("steps", count, "s1"))
        emit(PEER, "s1", "steps_per_s", count / t.wall, n=count)
        emit(PEER, "s1", "cpu_us_per_step", t.cpu / count * 1e6)

    run(go)


def s3() -> None:
    """Run many short workflows, 100 at a time."""

    def go(running: Running) -> None:
        count, gate = scaled(1000), threading.Semaphore(100)

        def one(arn: str) -> None:
            running.done(arn)
            gate.release()

        running.done(running.start("steps", 5, "warm"))
        with Timed() as t:
            threads: list[threading.Thread] = []
            for i in range(count):
                gate.acquire()
                arn = running.start("steps", 5, f"s3-{i}")
                threads.append(threading.Thread(target=one, args=(arn,)))
                threads[-1].start()
            for thread in threads:
                thread.join()
        emit(PEER, "s3", "workflows_per_s", count / t.wall, n=count)
        emit(PEER, "s3", "cpu_us_per_workflow", t.cpu / count * 1e6)

    run(go)


def s4() -> None:
    """Resume after many steps that were suspended behind."""

    def go(running: Running) -> None:
        for count in (scaled(1000), scaled(10000)):
            took = running.round_trip(f"s4-{count}", count)
            emit(PEER, "s4", f"resume_{count}_s", took)

    run(go)


def s5() -> None:
    """Run a long loop with a step in each turn."""

    def go(running: Running) -> None:
        count, before = scaled(10000), rss_mib()
        with Timed() as t:
            running.done(running.start("loop", count, "s5"))
        emit(PEER, "s5", "seconds", t.wall, n=count)
        emit(PEER, "s5", "cpu_us_per_iteration", t.cpu / count * 1e6)
        emit(PEER, "s5", "rss_growth_mib", rss_mib(peak=True) - before)
        if STORE == "sqlite":
            emit(PEER, "s5", "stored_bytes", stored_bytes(data_dir()))

    run(go)


def s7() -> None:
    """Sleep durably: for 1 s, the shortest there is, and not for 50 ms."""

    def go(running: Running) -> None:
        over: list[float] = []
        for i in range(scaled(5, 2)):
            began = clock()
            running.done(running.start("sleeper", 0, f"s7-{i}"))
            over.append((clock() - began - SHORTEST_NAP) * 1e3)
        middle = percentiles(over)[0]
        emit(PEER, "s7", "overhead_p50_ms", middle, sleep_s=SHORTEST_NAP)

    run(go, skip_time=False)


def s8() -> None:
    """Join many branches of one step each."""

    def go(running: Running) -> None:
        count = scaled(1000)
        running.done(running.start("fan_out", 5, "warm"))
        with Timed() as t:
            running.done(running.start("fan_out", count, "s8"))
        emit(PEER, "s8", "branches_per_s", count / t.wall, n=count)

    run(go)


def s9() -> None:
    """Wait for a message, get it, complete."""

    def go(running: Running) -> None:
        took = [running.round_trip(f"s9-{i}", 0) * 1e3 for i in range(scaled(50, 5))]
        p50, p99 = percentiles(took)
        emit(PEER, "s9", "p50_ms", p50)
        emit(PEER, "s9", "p99_ms", p99)

    run(go)


def first() -> None:
    """Make one step durable, from a cold start."""

    def go(running: Running) -> None:
        running.done(running.start("steps", 1, "first"))
        emit(PEER, "s6", "first_step_s", time.time() - BEGAN)

    run(go)


main({f.__name__: f for f in (s1, s3, s4, s5, s7, s8, s9, first)})
