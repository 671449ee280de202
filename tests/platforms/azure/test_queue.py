"""The waker of Azure, against a storage queue on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.errors import ConfigError
from edgeflow.platform import Alarm, Waker
from edgeflow_azure import AzurePlatform
from tests.platforms.azure.storage_queue import Sent, StorageQueue, storage_queue

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip(
    "azure.storage.queue", reason="the package azure-storage-queue is not installed"
)

CONNECTION = "AccountName=a;AccountKey=c2VzYW1l"


@pytest.fixture(name="service")
def service_fixture() -> Iterator[StorageQueue]:
    with storage_queue() as service:
        service.queues["wakes"] = []
        yield service


def waker(connection: str = CONNECTION, queue: str = "wakes") -> Waker:
    settings = {"queue_name": queue, "queue_connection": connection}
    found = AzurePlatform().waker(settings)
    assert found is not None
    return found


def only(service: StorageQueue) -> Sent:
    (sent,) = service.queues["wakes"]
    return sent


def test_an_alarm_is_a_message_that_is_invisible_until_then(
    service: StorageQueue,
) -> None:
    alarm = Alarm("order-1", "7", time.time() + 100)
    waker(service.connection).arm(alarm)

    sent = only(service)
    assert json.loads(b64decode(sent.text)) == alarm.event()
    assert 99 <= sent.delay <= 101
    assert sent.lives == -1


@pytest.mark.parametrize(("seconds", "delay"), [(-100, 0), (90 * 24 * 3600, 604_800)])
def test_what_cannot_be_asked_for_is_asked_for_as_near_as_is_possible(
    seconds: float, delay: int, service: StorageQueue
) -> None:
    waker(service.connection).arm(Alarm("order-1", "7", time.time() + seconds))

    assert only(service).delay == delay


def test_text_is_sent_where_host_json_says_so(
    service: StorageQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "AzureFunctionsJobHost__extensions__queues__messageEncoding"
    monkeypatch.setenv(variable, "none")
    alarm = Alarm("order-1", "7", 0)
    waker(service.connection).arm(alarm)

    assert json.loads(only(service).text) == alarm.event()


def test_a_queue_that_is_not_there_is_made(service: StorageQueue) -> None:
    del service.queues["wakes"]
    waker(service.connection).arm(Alarm("order-1", "7", 0))

    assert service.made == ["wakes"]
    assert only(service).delay == 0


def test_a_message_that_cannot_be_sent_raises(service: StorageQueue) -> None:
    with pytest.raises(Exception, match="RequestBodyTooLarge"):
        waker(service.connection).arm(Alarm("x" * 60_000, "7", 0))


def test_the_connection_string_may_be_in_an_app_setting(
    service: StorageQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ShopStorage", service.connection)
    waker("ShopStorage").arm(Alarm("order-1", "7", 0))

    assert only(service).delay == 0


def test_without_a_queue_somebody_polls() -> None:
    settings = {"queue_name": None, "queue_connection": "AzureWebJobsStorage"}

    assert AzurePlatform().waker(settings) is None


def test_an_app_setting_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ShopStorage", raising=False)

    with pytest.raises(ConfigError, match="the app setting ShopStorage holds no"):
        waker("ShopStorage")


def test_a_missing_client_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.storage.queue", None)

    with pytest.raises(ConfigError, match=r"pip install 'edgeflow-durable\[azure\]'"):
        waker()


def test_importing_the_adapter_loads_no_client() -> None:
    code = (
        "import sys, edgeflow_azure; edgeflow_azure.AzurePlatform().keys; "
        "print([n for n in ('asyncio', 'azure.functions', 'azure.core', 'requests') "
        "if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_the_settings_are_those_of_the_platform() -> None:
    keys: dict[str, Any] = dict(AzurePlatform().keys)

    assert keys["queue_connection"].secret
