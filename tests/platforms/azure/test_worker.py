"""Handlers in Azure's own worker for Python, whose host a pipe plays."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.azure.storage_queue import storage_queue
from tests.platforms.azure.workers import open_shop, working
from tests.platforms.serving import effects, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

ORDER = {"order": "o-1"}


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path) -> None:
    open_shop(tmp_path)


def test_the_worker_finds_one_handler_behind_three_triggers(tmp_path: Path) -> None:
    with working(tmp_path) as worker:
        assert worker.functions == ["checkout", "due", "wakes"]


def test_a_killed_worker_loses_a_step_at_most(tmp_path: Path) -> None:
    # P-08, G1: no signal comes. Others leave its instance alone until its lease ends.
    with working(tmp_path, EDGEFLOW_LEASE="500ms") as one:
        one.begin("checkout", trigger="http", body='{"order": "o-1"}')
        wait_for(lambda: effects(tmp_path)["packing"])
        one.process.kill()
        one.process.wait()
    (tmp_path / "quick").touch()

    with working(tmp_path) as two:
        found: dict[str, Any] = {}

        def ask() -> bool:
            found.update(two.http(ORDER))
            return bool(found["status"] == 200)

        wait_for(ask)
    assert found["body"] == ["charged", "packed"]
    assert effects(tmp_path) == {"charged": 1, "packing": 2}


def test_a_run_is_suspended_before_the_deadline_of_host_json(tmp_path: Path) -> None:
    # P-04
    open_shop(tmp_path, {"functionTimeout": "00:00:02"})
    with working(tmp_path, EDGEFLOW_MARGIN="1500ms") as worker:
        answer = worker.http(ORDER)
        assert (answer["status"], answer["body"]["status"]) == (202, "suspended")
        assert effects(tmp_path) == {"charged": 1, "packing": 1}

        answer = worker.http({"order": "wait-1"})
        assert answer["body"]["awaiting"] == ["approval"]
    (tmp_path / "quick").touch()
    with working(tmp_path, EDGEFLOW_FUNCTION_TIMEOUT="60s") as worker:
        answer = worker.http("yes", "edgeflow/instances/wait-1/messages/approval")
        assert (answer["status"], answer["body"]["status"]) == (200, "completed")
        assert worker.queue('{"edgeflow": {"wake": "o-1"}}')["ok"]
        assert worker.http(ORDER)["body"] == ["charged", "packed"]
    assert effects(tmp_path) == {"charged": 2, "packing": 3, "yes": 1}


def test_a_hundred_warm_invocations_leave_nothing_behind(tmp_path: Path) -> None:
    # P-06
    with working(tmp_path) as worker:
        found = [worker.http({"order": f"census-{n}"})["body"] for n in range(102)]

    # The task that answered the invocation before may still be there, or not.
    least = [min(counts) for counts in zip(*found[-10:], strict=True)]
    most = [max(counts) for counts in zip(*found[1:11], strict=True)]
    assert all(after <= before for after, before in zip(least, most, strict=True))


def test_a_message_of_the_storage_queue_wakes_what_sleeps(tmp_path: Path) -> None:
    # G10, S43
    (tmp_path / "quick").touch()
    with (
        storage_queue() as storage,
        working(
            tmp_path,
            EDGEFLOW_QUEUE_NAME="wakes",
            EDGEFLOW_QUEUE_CONNECTION=storage.connection,
        ) as worker,
    ):
        for seconds in (0.3, 1, 3, 10):  # until it is longer than arming takes
            storage.queues["wakes"] = []
            is_suspended = worker.http({"order": f"nap-{seconds}"})["status"] == 202
            # The other one is for later, in case that the process had died.
            sent = min(storage.queues["wakes"], key=lambda message: message.delay)
            if is_suspended and sent.delay:
                break
        woke = effects(tmp_path)["woke"]
        assert 1 <= sent.delay <= seconds + 1
        message = b64decode(sent.text).decode()

        def wake() -> bool:
            assert worker.queue(message)["ok"]
            return effects(tmp_path)["woke"] == woke + 1

        wait_for(wake)


def test_the_timer_runs_what_is_due(tmp_path: Path) -> None:
    (tmp_path / "quick").touch()
    with working(tmp_path) as worker:
        assert worker.http({"order": "nap-0.5"})["status"] == 202

        def fire() -> bool:
            assert worker.timer()["ok"]
            return bool(effects(tmp_path)["packing"])

        wait_for(fire)


def test_a_message_that_is_refused_fails(tmp_path: Path) -> None:
    # After five tries the host gives it to the poison queue.
    with working(tmp_path) as worker:
        answer = worker.queue("no order")

    assert not answer["ok"]
    assert "EventNotTaken" in answer["error"]
    assert "400" in answer["error"]


def test_without_a_host_that_checks_keys_the_doors_are_closed(tmp_path: Path) -> None:
    with working(tmp_path, EDGEFLOW_INGRESS="closed", EDGEFLOW_SECRET="s") as worker:
        assert worker.http(ORDER)["status"] == 403
        (tmp_path / "quick").touch()
        allowed = {"authorization": "Bearer s"}
        assert worker.http(ORDER, headers=allowed)["status"] == 200
