"""The example of Google runs as it is, in each way that its README shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.platforms.google.framework import Running, running, serving
from tests.platforms.serving import wait_for

pytestmark = pytest.mark.timeout(60)

EXAMPLE = Path(__file__).parents[3] / "examples/platforms/google"


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    folder: Path = shutil.copytree(
        EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("*.db*")
    )
    return folder


def try_it(server: Running) -> None:
    reply = server.post({"name": "ada"})
    assert (reply.status, reply.value["awaiting"]) == (202, ["bought"])
    reply = server.post("a year", "/edgeflow/instances/ada/messages/bought")
    assert (reply.status, reply.value["status"]) == (200, "completed")
    assert server.post({"name": "ada"}).value == "bought"

    assert server.post({"name": "bob", "days": 5e-6}).status == 202

    def is_over() -> bool:
        assert server.post(None, "/edgeflow/run-due").status == 200
        return bool(server.post({"name": "bob"}).value == "ended")

    wait_for(is_over)
    wait_for(lambda: "to bob: your trial has ended" in server.log())


@pytest.mark.parametrize("mode", [[], ["--asgi"]], ids=["sync", "asgi"])
def test_the_example_runs_under_functions_framework(
    mode: list[str], folder: Path
) -> None:
    with serving(folder, *mode, source="main.py", target="trial") as server:
        try_it(server)


def test_the_example_runs_under_an_asgi_server(folder: Path) -> None:
    pytest.importorskip("uvicorn", reason="the package uvicorn is not installed")

    with running(folder, "-m", "uvicorn", "main:trial.asgi", "--port") as server:
        try_it(server)


def test_the_timeout_is_said_twice_alike() -> None:
    # Cloud Run does not tell a container its `timeoutSeconds`.
    lines = (EXAMPLE / "service.yaml").read_text("utf-8").splitlines()
    timeout = next(line for line in lines if "timeoutSeconds" in line).split()[-1]
    at = next(n for n, line in enumerate(lines) if "CLOUD_RUN_TIMEOUT" in line)

    assert lines[at + 1].split() == ["value:", f'"{timeout}"']
