"""Handlers under the real functions-framework, in both of its modes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.platforms.google.cloud_tasks import QUEUE, cloud_tasks
from tests.platforms.google.framework import Reply, Running, open_shop, serving
from tests.platforms.serving import completed, effects, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

SYNC: tuple[str, ...] = ()
ASGI = ("--asgi",)
EVENTS = ("--signature-type", "cloudevent")
MODES = pytest.mark.parametrize(
    "options", [pytest.param(SYNC, id="sync"), pytest.param(ASGI, id="asgi")]
)
DONE = ["charged", "packed"]


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path) -> None:
    open_shop(tmp_path)


def interrupted(
    folder: Path, options: tuple[str, ...], send: Callable[[Running], Reply]
) -> Reply:
    """Have a run in flight at SIGTERM, and give what its caller was told."""
    with (
        serving(folder, *options, EDGEFLOW_INGRESS="platform") as running,
        ThreadPoolExecutor() as threads,
    ):
        asked = threads.submit(send, running)
        wait_for(lambda: effects(folder)["packing"])
        assert completed(folder, "o-1") == []
        running.terminate()
        not_yet = wait_for(lambda: completed(folder, "o-1") == ["charge"])
        assert not_yet - running.signalled_at < 0.5
        reply = asked.result(15)
        running.process.wait(15)
        assert running.seconds() < 2
        assert "Traceback" not in running.log()
    (folder / "quick").touch()
    return reply


@MODES
def test_a_run_in_flight_at_the_signal_goes_on_in_the_next_process(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    # P-07, P-08, P-09, G1
    def order(running: Running) -> Reply:
        return running.post({"order": "o-1"})

    reply = interrupted(tmp_path, options, order)
    assert (reply.status, reply.value["status"]) == (202, "suspended")

    with serving(tmp_path, *options) as running:
        reply = order(running)
    assert (reply.status, reply.value) == (200, DONE)
    assert effects(tmp_path) == {"charged": 1, "packing": 2}


@MODES
def test_an_event_in_flight_at_the_signal_is_taken(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    # P-07, P-08, S40
    def order(running: Running) -> Reply:
        return running.event({"order": "o-1"})

    reply = interrupted(tmp_path, (*options, *EVENTS), order)
    assert (reply.status, reply.value) == (200, "OK")

    with serving(tmp_path, *options, *EVENTS, EDGEFLOW_INGRESS="platform") as running:
        assert order(running).status == 200
    assert effects(tmp_path) == {"charged": 1, "packing": 2}


@MODES
def test_a_hundred_warm_requests_leave_nothing_behind(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    # P-06
    with serving(tmp_path, *options) as running:
        found = [running.post({"order": f"census-{n}"}).value for n in range(102)]

    # The connection of the request before may still be there, or not.
    least = [min(counts) for counts in zip(*found[-10:], strict=True)]
    most = [max(counts) for counts in zip(*found[1:11], strict=True)]
    assert all(after <= before for after, before in zip(least, most, strict=True))


@MODES
def test_workers_are_forked_after_the_import(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    with serving(tmp_path, *options, WORKERS="2") as running:
        assert running.post({"order": "fork"}).value is True


@MODES
def test_a_run_is_suspended_before_the_deadline_and_goes_on_by_a_message(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    # P-04
    with serving(
        tmp_path, *options, CLOUD_RUN_TIMEOUT_SECONDS="3", EDGEFLOW_MARGIN="2s"
    ) as running:
        reply = running.post({"order": "o-1"})
        assert (reply.status, reply.value["status"]) == (202, "suspended")
        assert completed(tmp_path, "o-1") == ["charge"]

        reply = running.post({"order": "wait-1"})
        assert (reply.status, reply.value["awaiting"]) == (202, ["approval"])
        (tmp_path / "quick").touch()
        reply = running.post("yes", "/edgeflow/instances/wait-1/messages/approval")
        assert (reply.status, reply.value["status"]) == (200, "completed")

        reply = running.post({"edgeflow": {"wake": "o-1"}}, "/edgeflow")
        assert (reply.status, reply.value["status"]) == (200, "completed")
    assert effects(tmp_path) == {"charged": 2, "packing": 3, "yes": 1}


@pytest.mark.parametrize(
    ("options", "send"),
    [
        pytest.param(SYNC, Running.post, id="http"),
        pytest.param(ASGI, Running.post, id="http-asgi"),
        pytest.param(EVENTS, Running.event, id="event"),
        pytest.param((*ASGI, *EVENTS), Running.event, id="event-asgi"),
    ],
)
def test_cloud_tasks_wakes_what_sleeps(
    options: tuple[str, ...], send: Callable[[Running, object], Reply], tmp_path: Path
) -> None:
    # G10, S43
    (tmp_path / "quick").touch()
    port = free_port()
    with (
        cloud_tasks() as tasks,
        serving(
            tmp_path,
            *options,
            port=port,
            EDGEFLOW_QUEUE=QUEUE,
            EDGEFLOW_URL=f"http://127.0.0.1:{port}",
            EDGEFLOW_TASKS_ENDPOINT=tasks.url,
            # A function that takes CloudEvents sees no header that could hold a secret.
            EDGEFLOW_INGRESS="platform" if EVENTS[0] in options else "closed",
        ) as running,
    ):
        woke = -1
        for seconds in (0.3, 1, 3):  # until it is longer than arming takes
            tasks.tasks.clear()
            send(running, {"order": f"nap-{seconds}"})
            woke += 1
            if effects(tmp_path)["woke"] == woke:
                break
        task = tasks.soonest(2)  # and one for later, in case that we had died
        wait_for(lambda: tasks.is_due(task))
        assert tasks.fire(task) == 200
        assert tasks.fire(tasks.only()) == 200  # it finds nothing to do
        assert not tasks.tasks
    done = woke + 1
    assert effects(tmp_path) == {"woke": done, "charged": done, "packing": done}


def test_a_wake_of_what_fails_is_a_success(tmp_path: Path) -> None:
    # S40
    with serving(tmp_path) as running:
        assert running.post({"order": "fail-0.1"}).status == 202

        def wake() -> bool:
            reply = running.post({"edgeflow": {"wake": "fail-0.1"}}, "/edgeflow")
            assert reply.status == 200
            return bool(reply.value["status"] == "failed")

        wait_for(wake)


def test_an_event_that_is_not_let_in_is_delivered_again(tmp_path: Path) -> None:
    # A CloudEvent comes over HTTP: only Cloud Run can know who sends it.
    with serving(tmp_path, *EVENTS) as running:
        assert running.event({"order": "o-1"}).status == 500
        wait_for(lambda: "has not taken the event //shop#7: 403" in running.log())
    assert effects(tmp_path) == {}
