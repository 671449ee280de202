"""Lambda ends a process: nothing that was done is lost, and little is done again.

The budget is half a second from SIGTERM to SIGKILL, and none without an extension.
"""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.platforms.aws_lambda.environment import (
    EXTERNAL_SECONDS,
    IMAGE,
    MANAGED,
    TERM_SECONDS,
    Environment,
    notes,
)
from tests.platforms.aws_lambda.service import Service

if TYPE_CHECKING:
    import threading
    from pathlib import Path

WATCHDOG = 128 + signal.SIGTERM
"""Its exit code: the machine was too busy for an orderly end, but all is durable."""
TRIES = tuple(f"o{number}" for number in range(8))
"""Other tests run beside it: one of these has to fit."""
BOTH = pytest.mark.parametrize("runtime", [MANAGED, IMAGE], ids=["managed", "image"])
LATE = {
    "EDGEFLOW_DURABILITY": "suspend",  # nothing is flushed before it has to be
    "EDGEFLOW_MAX_DIRTY_AGE": "1000",
    "EDGEFLOW_GRACE": "100ms",
}


@BOTH
@pytest.mark.parametrize("calls", [0, 1])
def test_an_idle_process_ends_at_once(tmp_path: Path, runtime: str, calls: int) -> None:
    # P-08
    with Environment(tmp_path, runtime) as env:
        for number in range(calls):
            env.call({"order_id": f"o{number}"})
        env.wait_for(env.service.parked.is_set, "the extension does not wait")

        assert env.stop() < TERM_SECONDS
        assert env.process.returncode == 0


@BOTH
@pytest.mark.parametrize("work", ["ship", "zip"])
def test_a_call_in_flight_is_suspended_and_goes_on_elsewhere(
    tmp_path: Path, runtime: str, work: str
) -> None:
    # P-07 P-08 G1: an asynchronous step, and one in a thread that never ends
    event = {"order_id": "o1", "then": work, "seconds": 60}
    with Environment(tmp_path, runtime, LATE) as env:
        call = env.begin(event)
        env.noted(f"{work} o1")

        assert env.stop(EXTERNAL_SECONDS) < EXTERNAL_SECONDS
        assert env.process.returncode in {0, WATCHDOG}
        assert call.error is None

    with Environment(tmp_path, runtime) as env:
        began = time.monotonic()
        call = env.begin({"edgeflow": {"wake": "o1"}})
        env.wait_for(lambda: notes(tmp_path)[2:], "it does not go on")
        assert time.monotonic() - began < 5  # it does not wait for a lease

    assert notes(tmp_path) == ["reserve o1", f"{work} o1", f"{work} o1"]


@BOTH
def test_a_step_that_keeps_the_loop_busy_is_left_behind_within_half_a_second(
    tmp_path: Path, runtime: str
) -> None:
    # P-08: the grace is the default
    ends: list[object] = []
    for order in TRIES:
        with Environment(tmp_path, runtime) as env:
            env.begin({"order_id": order, "then": "count", "seconds": 60})
            env.noted(f"count {order}")
            took = env.stop()
        ends.append((took, env.process.returncode))
        if took < TERM_SECONDS and env.process.returncode == WATCHDOG:
            return
    pytest.fail(f"none has ended in time: {ends}")


@BOTH
def test_a_call_in_flight_is_answered_before_the_process_ends(
    tmp_path: Path, runtime: str
) -> None:
    # P-08: the grace is the default
    ends: list[object] = []
    for order in TRIES:
        with Environment(tmp_path, runtime) as env:
            call = env.begin({"order_id": order, "then": "ship", "seconds": 60})
            env.noted(f"ship {order}")
            took = env.stop()
        if took < TERM_SECONDS and env.process.returncode == 0 and call.value:
            assert (call.value["id"], call.value["status"]) == (order, "suspended")
            return
        ends.append((took, env.process.returncode, call.value))
    pytest.fail(f"none was answered in time: {ends}")


@BOTH
def test_a_step_that_keeps_the_loop_busy_does_not_keep_the_flush(
    tmp_path: Path, runtime: str
) -> None:
    # P-08 G1: `reserve` is written from another thread
    event = {"order_id": "o1", "then": "count", "seconds": 60}
    with Environment(tmp_path, runtime, LATE) as env:
        call = env.begin(event)
        env.noted("count o1")

        assert env.stop(EXTERNAL_SECONDS) < EXTERNAL_SECONDS
        assert not call.answered.is_set()

    with Environment(tmp_path, runtime) as env:
        env.begin({"edgeflow": {"wake": "o1"}})
        env.wait_for(lambda: notes(tmp_path)[2:], "it does not go on")

    assert notes(tmp_path) == ["reserve o1", "count o1", "count o1"]


def test_a_step_that_ends_within_the_grace_is_not_done_again(tmp_path: Path) -> None:
    # P-07
    with Environment(tmp_path) as env:
        env.begin({"order_id": "o1", "then": "ship", "seconds": 0.1})
        env.noted("ship o1")
        env.stop()

    with Environment(tmp_path) as env:
        assert env.call({"order_id": "o1"}) == "shipped"

    assert notes(tmp_path) == ["reserve o1", "ship o1", "shipped o1"]


def test_without_an_extension_what_was_recorded_is_there_all_the_same(
    tmp_path: Path,
) -> None:
    # G1 G2: the hook is a help, and not the foundation
    service = Service(lets_register=False)
    with Environment(tmp_path, MANAGED, {"EDGEFLOW_LEASE": "1s"}, service) as env:
        env.begin({"order_id": "o1", "then": "ship", "seconds": 60})
        env.noted("ship o1")

        assert env.stop() < TERM_SECONDS / 2
        assert env.process.returncode == -9
        assert "could not be registered (it answered 403" in env.log.read_text("utf-8")

    with Environment(tmp_path) as env:
        while not notes(tmp_path)[2:]:  # until the lease is over
            ended = env.begin({"order_id": "o1"}).answered
            env.wait_for(partial(has_begun_or, ended, tmp_path), "nothing happens")

    assert notes(tmp_path) == ["reserve o1", "ship o1", "ship o1"]


def has_begun_or(ended: threading.Event, folder: Path) -> bool:
    return ended.is_set() or len(notes(folder)) > 2


def test_a_managed_instance_has_workers_each_with_a_process_of_its_own(
    tmp_path: Path,
) -> None:
    variables = {"AWS_LAMBDA_MAX_CONCURRENCY": "2"}
    with Environment(tmp_path, variables=variables) as env:
        calls = [
            env.begin({"order_id": f"o{n}", "then": "ship", "seconds": 60})
            for n in range(2)
        ]
        for number in range(2):
            env.noted(f"ship o{number}")
        env.wait_for(env.service.parked.is_set, "the extension does not wait")
        assert env.service.extensions == ["edgeflow"]  # of one of the two
        assert "could not be registered" not in env.log.read_text("utf-8")
        assert not any(call.answered.is_set() for call in calls)
