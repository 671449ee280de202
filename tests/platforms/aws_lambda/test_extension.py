"""Registering as an extension: a help that may be missing."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING

from edgeflow_lambda import LambdaPlatform
from edgeflow_lambda import _extension as extension
from tests.platforms.aws_lambda.service import Service

if TYPE_CHECKING:
    import pytest


def test_it_asks_for_no_event_and_waits_in_a_thread_of_its_own() -> None:
    service = Service()
    threads = threading.active_count()

    assert extension.register(f"127.0.0.1:{service.server_port}")

    assert service.parked.wait(10)
    assert service.extensions == ["edgeflow"]
    assert threading.active_count() > threads


def test_who_waits_and_loses_the_connection_waits_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # as in a copy of a snapshot
    monkeypatch.setattr(extension, "AGAIN_SECONDS", 0.001)
    service = Service(drops=2)

    assert extension.register(f"127.0.0.1:{service.server_port}")

    assert service.parked.wait(10)
    assert service.drops == 0


def test_who_is_refused_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(lets_register=False)

    with caplog.at_level(logging.WARNING, "edgeflow"):
        assert not extension.register(f"127.0.0.1:{service.server_port}")

    assert "it answered 403" in caplog.text
    service.shutdown()
    service.server_close()


def test_where_nothing_listens_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        with caplog.at_level(logging.WARNING, "edgeflow"):
            assert not extension.register(f"127.0.0.1:{port}")

    assert "ConnectionRefusedError" in caplog.text


def test_the_runtime_api_shows_that_it_is_lambda() -> None:
    platform = LambdaPlatform()

    assert platform.detect({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}) == (
        "AWS_LAMBDA_RUNTIME_API is set"
    )
    assert platform.detect({"AWS_REGION": "eu-west-1"}) is None
