"""A run in flight at the end of a server is suspended, and goes on in the next one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.platforms.asgi.servers import (
    AUTHORIZED,
    GRANIAN,
    GRANIAN_2,
    GUNICORN,
    GUNICORN_2,
    HYPERCORN,
    HYPERCORN_0,
    IMPATIENT_UVICORN,
    UVICORN,
    UVICORN_2,
    UVLOOP,
    Reply,
    Server,
    open_shop,
    reply_of,
    serving,
)
from tests.platforms.serving import completed, effects, free_port, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

ORDER = {"order": "o-1"}
DONE = ["charged", "packed"]


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path) -> None:
    open_shop(tmp_path)


@pytest.mark.parametrize(
    ("server", "app", "path"),
    [
        pytest.param(server, "shop:checkout", "/", id=server.name)
        for server in (
            UVICORN,
            UVLOOP,
            UVICORN_2,
            GUNICORN,
            GUNICORN_2,
            HYPERCORN_0,
            GRANIAN,
            GRANIAN_2,
        )
    ]
    + [
        # No lifespan: a framework does not tell those whom it has mounted.
        pytest.param(server, "mounted:app", "/shop/", id=f"{server.name}-mounted")
        for server in (UVICORN, GRANIAN)
    ],
)
def test_a_run_in_flight_is_flushed_answered_and_goes_on_in_the_next_server(
    server: Server, app: str, path: str, tmp_path: Path
) -> None:
    # P-07, P-08, P-09, G1
    with serving(tmp_path, server, app) as running, ThreadPoolExecutor() as threads:
        asked = threads.submit(running.post, path, ORDER)
        wait_for(lambda: effects(tmp_path)["packing"])
        assert completed(tmp_path, "o-1") == []
        running.signal()
        not_yet = wait_for(lambda: completed(tmp_path, "o-1") == ["charge"])
        assert not_yet - running.signalled_at < 0.5 + server.passes_on
        reply = asked.result(15)
        assert running.seconds_to_end() < 2 + server.passes_on
        assert "Traceback" not in running.log()

    assert (reply.status, reply.value["status"]) == (202, "suspended")
    goes_on(tmp_path, server, app, path)


def goes_on(folder: Path, server: Server, app: str, path: str) -> None:
    """See the next server finish the order, and that nothing was done twice."""
    (folder / "quick").touch()
    replies: list[Reply] = []

    def is_finished() -> bool:
        replies.append(running.post(path, ORDER))
        return replies[-1].status == 200

    with serving(folder, server, app) as running:
        wait_for(is_finished, seconds=5)  # another worker may be at it; no lease is
    assert replies[-1].value == DONE
    assert effects(folder) == {"charged": 1, "packing": 2}


@pytest.mark.parametrize(
    ("server", "grace"),
    [
        pytest.param(IMPATIENT_UVICORN, "1200ms", id="uvicorn"),
        pytest.param(
            HYPERCORN,
            "300ms",
            id="hypercorn",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 12),
                reason="hypercorn 0.18 cancels nothing on Python 3.12 and later",
            ),
        ),
    ],
)
def test_a_request_that_its_server_cancels_is_an_eviction(
    server: Server, grace: str, tmp_path: Path
) -> None:
    # P-07, P-08, G1: uvicorn loses patience within our grace; the workers of hypercorn
    # do not hear the signal at all.
    with (
        serving(tmp_path, server, EDGEFLOW_GRACE=grace) as running,
        ThreadPoolExecutor() as threads,
    ):
        asked = threads.submit(running.post, "/", ORDER)
        wait_for(lambda: effects(tmp_path)["packing"])
        running.signal()
        assert asked.result(15).status == 500  # that is the server's
        assert running.seconds_to_end() < 2

    assert completed(tmp_path, "o-1") == ["charge"]
    goes_on(tmp_path, server, "shop:checkout", "/")


def test_workers_of_hypercorn_hear_a_signal_that_their_group_gets(
    tmp_path: Path,
) -> None:
    # P-07: systemd and a terminal send it to all; Kubernetes does not.
    with serving(tmp_path, HYPERCORN) as running, ThreadPoolExecutor() as threads:
        asked = threads.submit(running.post, "/", ORDER)
        wait_for(lambda: effects(tmp_path)["packing"])
        running.signal(to_all=True)
        reply = asked.result(15)
        assert running.seconds_to_end() < 2

    assert (reply.status, reply.value["status"]) == (202, "suspended")
    assert completed(tmp_path, "o-1") == ["charge"]


def test_a_second_signal_in_the_drain_tears_nothing(tmp_path: Path) -> None:
    # P-09, G3
    with serving(tmp_path, UVICORN) as running, ThreadPoolExecutor() as threads:
        asked = threads.submit(running.post, "/", ORDER)
        wait_for(lambda: effects(tmp_path)["packing"])
        running.signal()
        wait_for(lambda: completed(tmp_path, "o-1") == ["charge"])
        running.signal()
        assert asked.result(15).status == 202
        assert running.seconds_to_end() < 2

    goes_on(tmp_path, UVICORN, "shop:checkout", "/")


def test_a_server_that_is_forced_to_end_has_flushed(tmp_path: Path) -> None:
    # P-09, G3: at a second SIGINT uvicorn waits for nobody.
    with serving(tmp_path, UVICORN) as running, ThreadPoolExecutor() as threads:
        asked = threads.submit(running.post, "/", ORDER)
        wait_for(lambda: effects(tmp_path)["packing"])
        running.signal(signal.SIGINT)
        wait_for(lambda: completed(tmp_path, "o-1") == ["charge"])
        running.signal(signal.SIGINT)
        asked.exception(15)  # nobody answers
        assert running.seconds_to_end() < 2

    assert completed(tmp_path, "o-1") == ["charge"]


def test_a_request_that_comes_after_the_signal_is_asked_to_come_again(
    tmp_path: Path,
) -> None:
    # P-07: nothing is begun, and a proxy may try another server.
    (tmp_path / "quick").touch()
    with serving(tmp_path, UVICORN) as running:
        connection = running.connect()
        connection.request("POST", "/", json.dumps(ORDER), AUTHORIZED)
        assert reply_of(connection).status == 200
        # On the same connection: its body is waited for when the signal comes.
        body = json.dumps({"order": "late"}).encode()
        headers = {"Content-Length": str(len(body)), "Expect": "100-continue"}
        connection.putrequest("POST", "/")
        for name, value in {**AUTHORIZED, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        running.signal()
        connection.send(body)
        reply = reply_of(connection)
        connection.close()
        assert running.seconds_to_end() < 2

    assert reply.status == 503
    assert int(reply.headers["retry-after"]) > 0
    assert effects(tmp_path) == {"charged": 1, "packing": 1}


@pytest.mark.parametrize(
    ("app", "path"), [("shop:checkout", "/"), ("mounted:awake", "/shop/")]
)
def test_a_worker_that_serves_wakes_what_sleeps(
    app: str, path: str, tmp_path: Path
) -> None:
    # G10, P-04: nobody asks again.
    with serving(tmp_path, UVICORN, app) as running:
        reply = running.post(path, {"order": "nap"})
        assert (reply.status, reply.value["status"]) == (202, "suspended")
        wait_for(lambda: effects(tmp_path)["woke"])
        again = running.post(path, {"order": "nap"})

    assert (again.status, again.value) == (200, [])
    assert effects(tmp_path) == {"woke": 1}


def test_a_client_that_goes_away_cancels_nothing(tmp_path: Path) -> None:
    # G1
    with serving(tmp_path, UVICORN) as running:
        connection = running.connect()
        connection.request("POST", "/", json.dumps(ORDER), AUTHORIZED)
        wait_for(lambda: effects(tmp_path)["packing"])
        connection.close()
        (tmp_path / "quick").touch()
        reply = running.post("/", ORDER)

    assert (reply.status, reply.value) == (200, DONE)
    assert effects(tmp_path) == {"charged": 1, "packing": 1}


def test_a_server_whose_app_cannot_be_opened_says_why_and_ends(tmp_path: Path) -> None:
    store = "sqlite:///missing/shop.db"
    command = UVICORN.command("shop:checkout", free_port())

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "EDGEFLOW_STORE": store},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode != 0
    assert "checkout: " in done.stderr
    assert "there is no directory missing" in done.stderr
    assert "Traceback" not in done.stderr
