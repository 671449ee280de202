"""A handler in Vercel's own runtime, as `vercel-runtime` has it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.platforms.asgi.servers import SHOP
from tests.platforms.serving import SECRET, completed, effects, wait_for
from tests.platforms.vercel.runtime import CRON_SECRET, Function, running

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

SETTINGS = """
store = "sqlite:///shop.db"
linger = 0
"""
ORDER = {"order": "o-1"}
NAP = {"order": "nap"}
DONE = ["charged", "packed"]


@contextmanager
def deployed(folder: Path, **variables: str) -> Generator[Function]:
    (folder / "shop.py").write_text(SHOP, "utf-8")
    (folder / "index.py").write_text("from shop import checkout as app\n", "utf-8")
    (folder / "edgeflow.toml").write_text(SETTINGS, "utf-8")
    secrets = {"EDGEFLOW_SECRET": SECRET, "CRON_SECRET": CRON_SECRET}
    with running(folder, "index", **secrets, **variables) as function:
        yield function


def test_a_run_in_flight_at_the_signal_is_flushed_answered_and_goes_on(
    tmp_path: Path,
) -> None:
    # P-07, P-08, P-09, G1: within the 500 ms after which Vercel kills.
    with deployed(tmp_path) as function, ThreadPoolExecutor() as threads:
        asked = threads.submit(function.ask, "POST", "/", ORDER, bearer=SECRET)
        wait_for(lambda: effects(tmp_path)["packing"])
        assert completed(tmp_path, "o-1") == []
        function.signal()
        reply = asked.result(15)
        assert function.seconds_to_end() < 2
    assert (reply.status, reply.value["status"]) == (202, "suspended")
    assert completed(tmp_path, "o-1") == ["charge"]

    (tmp_path / "quick").touch()
    with deployed(tmp_path) as function:
        reply = function.ask("POST", "/", ORDER, bearer=SECRET)
    assert (reply.status, reply.value) == (200, DONE)
    assert effects(tmp_path) == {"charged": 1, "packing": 2}


def test_a_run_is_suspended_before_the_deadline_of_its_invocation(
    tmp_path: Path,
) -> None:
    # P-04, G1
    with deployed(tmp_path) as function:
        reply = function.ask("POST", "/", ORDER, seconds=1.5, bearer=SECRET)
        assert (reply.status, reply.value["status"]) == (202, "suspended")
        assert completed(tmp_path, "o-1") == ["charge"]

        (tmp_path / "quick").touch()
        reply = function.ask("POST", "/", ORDER, bearer=SECRET)

    assert (reply.status, reply.value) == (200, DONE)
    assert effects(tmp_path) == {"charged": 1, "packing": 2}


def test_the_cron_runs_what_is_due_and_opens_no_other_door(tmp_path: Path) -> None:
    # G10
    with deployed(tmp_path) as function:
        reply = function.ask("POST", "/", NAP, bearer=SECRET)
        assert (reply.status, reply.value["status"]) == (202, "suspended")

        def has_woken() -> int:
            swept = function.ask("GET", "/edgeflow/run-due", bearer=CRON_SECRET)
            assert swept.status == 200
            return effects(tmp_path)["woke"]

        wait_for(has_woken)
        look = "/edgeflow/instances/nap"
        found = function.ask("GET", look, bearer=SECRET)
        refused = [
            function.ask("GET", "/edgeflow/run-due", bearer="guessed"),
            function.ask("GET", "/edgeflow/run-due"),
            function.ask("GET", look, bearer=CRON_SECRET),
            function.ask("POST", f"{look}/messages/m", 1, bearer=CRON_SECRET),
            function.ask("POST", "/", NAP, bearer=CRON_SECRET),
        ]

    assert (found.status, found.value["status"]) == (200, "completed")
    assert [reply.status for reply in refused] == [403] * 5
    assert effects(tmp_path) == {"woke": 1}


def test_the_runtime_is_told_that_each_invocation_has_ended(tmp_path: Path) -> None:
    # P-06: nothing of ours is left running when it has.
    (tmp_path / "quick").touch()
    with deployed(tmp_path) as function:
        for _ in range(3):
            function.ask("POST", "/", ORDER, bearer=SECRET)
        ends = [{"invocationId": "i-1", "requestId": 7}] * 3

        wait_for(
            lambda: (
                [
                    m["payload"]["context"]
                    for m in function.messages
                    if m["type"] == "end"
                ]
                == ends
            )
        )
