"""What Vercel says about an invocation, and for whom its cron's secret is a key."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from edgeflow_vercel import VercelPlatform
from tests.platforms.asgi.connections import NotingEndpoint, connect, http, part

if TYPE_CHECKING:
    from edgeflow.platform import Platform, Request

RUN_DUE = "/edgeflow/run-due"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRON_SECRET", "one of Vercel's")


async def asked(
    method: str = "GET", path: str = RUN_DUE, bearer: str = "one of Vercel's"
) -> Request:
    """Invoke a handler; give what reached its endpoint."""
    endpoint = NotingEndpoint()
    headers = [(b"authorization", f"Bearer {bearer}".encode("latin-1"))]

    await connect(
        VercelPlatform().entry(endpoint), http(method, path, headers=headers), part()
    )

    return endpoint.requests[0]


async def test_the_cron_is_let_in_where_it_calls() -> None:
    assert (await asked()).authenticated


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("GET", "/"),
        ("POST", RUN_DUE),
        ("GET", f"{RUN_DUE}/o-1"),
        ("GET", "/edgeflow/instances/o-1"),
        ("POST", "/edgeflow/instances/o-1/messages/approval"),
        ("POST", "/edgeflow"),
    ],
)
async def test_the_secret_of_the_cron_opens_no_other_door(
    method: str, path: str
) -> None:
    assert not (await asked(method, path)).authenticated


@pytest.mark.parametrize("bearer", ["", "one of Vercel", "one of Vercel's ", "é"])
async def test_another_secret_opens_nothing(bearer: str) -> None:
    assert not (await asked(bearer=bearer)).authenticated


async def test_a_project_without_a_secret_lets_no_cron_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRON_SECRET", "")

    assert not (await asked(bearer="")).authenticated


async def test_the_prefix_is_the_one_of_the_settings() -> None:
    endpoint = NotingEndpoint(settings={"prefix": "/doors", "max_body": 10})
    headers = [(b"authorization", b"Bearer one of Vercel's")]
    handler = VercelPlatform().entry(endpoint)

    for path in ("/doors/run-due", RUN_DUE):
        await connect(handler, http("GET", path, headers=headers), part())

    assert [request.authenticated for request in endpoint.requests] == [True, False]


@pytest.mark.parametrize(
    ("left", "least", "most"), [(5.0, 4.0, 5.0), (-1.0, -2.0, -1.0), (None, None, None)]
)
async def test_the_deadline_is_what_the_runtime_says(
    left: float | None,
    least: float | None,
    most: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # P-04. The real runtime says it in test_runtime.py, on Python 3.12 and later.
    at = None if left is None else datetime.now(UTC) + timedelta(seconds=left)
    runtime = SimpleNamespace(get_deadline=lambda: at)
    monkeypatch.setitem(sys.modules, "vercel_runtime", runtime)

    seconds_left = (await asked()).seconds_left

    if least is None or most is None:
        assert seconds_left is None
    else:
        assert seconds_left is not None
        assert least < seconds_left <= most


@pytest.mark.parametrize("runtime", [None, SimpleNamespace()])
async def test_without_the_runtime_or_with_an_old_one_there_is_no_deadline(
    runtime: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vercel_runtime", runtime)  # None: as if missing

    assert (await asked()).seconds_left is None


def test_vercel_is_recognized() -> None:
    platform: Platform = VercelPlatform()

    assert platform.detect({"VERCEL": "1"}) == "VERCEL is set"
    assert platform.detect({"VERCEL": ""}) is None
    assert platform.detect({"VERCEL_URL": "shop.vercel.app"}) is None
    assert platform.waker({}) is None
