"""The waker of Google, against Cloud Tasks on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.errors import ConfigError
from edgeflow.platform import Alarm
from edgeflow_google import GooglePlatform
from tests.platforms.google.cloud_tasks import METHODS, QUEUE, CloudTasks, cloud_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeflow.platform import Waker

pytest.importorskip(
    "google.cloud.tasks_v2", reason="the package google-cloud-tasks is not installed"
)
# google-api-core warns of the end of each Python, one package of theirs of another.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:google")


@pytest.fixture(name="service")
def service_fixture() -> Iterator[CloudTasks]:
    with cloud_tasks() as service:
        yield service


def settings(service: CloudTasks | None = None, **more: Any) -> dict[str, Any]:
    given = {} if service is None else {"tasks_endpoint": service.url}
    return {
        "queue": QUEUE,
        "url": "https://shop.example/",
        "prefix": "/edgeflow",
        "secret": None,
        "service_account": None,
        "tasks_endpoint": None,
        **given,
        **more,
    }


def waker(service: CloudTasks, **more: Any) -> Waker:
    found = GooglePlatform().waker(settings(service, **more))
    assert found is not None
    return found


def when_of(task: dict[str, Any]) -> float:
    return datetime.fromisoformat(task["scheduleTime"]).timestamp()


def test_an_alarm_is_a_task_that_posts_to_the_door(service: CloudTasks) -> None:
    when = time.time() + 100
    alarm = Alarm("order-1", "7", when)
    waker(service).arm(alarm)

    task = service.tasks[service.only()]
    request = task["httpRequest"]
    assert request["url"] == "https://shop.example/edgeflow"
    assert METHODS[request["httpMethod"]] == "POST"
    assert json.loads(b64decode(request["body"])) == alarm.event()
    assert when_of(task) == pytest.approx(when, abs=0.01)
    assert "Authorization" not in request["headers"]
    assert "oidcToken" not in request


def test_the_same_alarm_is_one_task(service: CloudTasks) -> None:
    # S43
    when = time.time() + 100
    one = waker(service)
    one.arm(Alarm("order-1", "7", when))
    one.arm(Alarm("order-1", "7", when))
    waker(service).arm(Alarm("order-1", "7", when))

    assert len(service.names) == 1


def test_a_later_frame_is_another_task(service: CloudTasks) -> None:
    one, when = waker(service), time.time() + 100
    one.arm(Alarm("order-1", "7", when))
    one.arm(Alarm("order-1", "8", when))

    assert len(service.tasks) == 2


def test_an_alarm_of_the_past_is_asked_for_at_once(service: CloudTasks) -> None:
    waker(service).arm(Alarm("order-1", "7", time.time() - 100))

    assert "scheduleTime" not in service.tasks[service.only()]


def test_an_alarm_whose_task_may_have_fired_early_rings_again(
    service: CloudTasks,
) -> None:
    # The clock of Cloud Tasks is ahead of ours: its wake found nothing due, and the
    # name of its task stays taken.
    one, alarm = waker(service), Alarm("order-1", "7", time.time() + 1)
    one.arm(alarm)
    first = service.only()
    del service.tasks[first]
    one.arm(alarm)

    assert service.only() != first
    assert when_of(service.tasks[service.only()]) > alarm.when


def test_what_is_too_far_away_is_asked_for_as_late_as_is_possible(
    service: CloudTasks,
) -> None:
    one: Any = waker(service)
    alarm = Alarm("order-1", "7", time.time() + 90 * 24 * 3600)
    for seconds in (100, 110):  # past a full hour: it is asked for once in each
        one.now = lambda past=seconds: time.time() // 3600 * 3600 + past
        one.arm(alarm)

    days = (when_of(service.tasks[service.only()]) - time.time()) / (24 * 3600)
    assert 29.9 < days < 30


def test_the_shared_secret_opens_the_door(service: CloudTasks) -> None:
    waker(service, secret="sesame").arm(Alarm("order-1", "7", 0))

    headers = service.tasks[service.only()]["httpRequest"]["headers"]
    assert headers["Authorization"] == "Bearer sesame"


def test_the_token_of_a_service_account_takes_the_place_of_the_secret(
    service: CloudTasks,
) -> None:
    account = "waker@p.iam.gserviceaccount.com"
    waker(service, secret="sesame", service_account=account).arm(Alarm("a", "7", 0))

    request = service.tasks[service.only()]["httpRequest"]
    assert request["oidcToken"] == {"serviceAccountEmail": account}
    assert "Authorization" not in request["headers"]


def test_a_task_that_cannot_be_made_raises(service: CloudTasks) -> None:
    with pytest.raises(Exception, match="NOT_FOUND"):
        waker(service, queue=f"{QUEUE}-other").arm(Alarm("order-1", "7", 0))


def test_many_threads_arm_at_once(service: CloudTasks) -> None:
    one = waker(service)
    alarms = [Alarm(f"order-{number}", "7", 0) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one.arm, alarms))

    assert len(service.tasks) == 16


def test_without_a_queue_somebody_polls() -> None:
    assert GooglePlatform().waker(settings(queue=None, url=None)) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": None}, "queue is set without url"),
        ({"queue": None}, "url is set without queue"),
        (
            {"queue": None, "url": None, "service_account": "a"},
            "service_account is set",
        ),
        ({"queue": "my-queue"}, "'my-queue' is no queue of Cloud Tasks"),
    ],
)
def test_settings_that_are_incomplete_are_refused(
    given: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        GooglePlatform().waker(settings(**given))


def test_a_missing_client_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.tasks_v2", None)

    with pytest.raises(ConfigError, match=r"pip install 'edgeflow-durable\[google\]'"):
        GooglePlatform().waker(settings())


def test_importing_the_adapter_loads_no_client() -> None:
    code = (
        "import sys, edgeflow_google; edgeflow_google.GooglePlatform().keys; "
        "print([n for n in ('asyncio', 'flask', 'google.auth', 'google.api_core', "
        "'grpc', 'requests') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
