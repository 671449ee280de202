"""The reminders of examples/platforms/vercel, under uvicorn and Vercel's runtime."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.asgi.servers import UVICORN, serving
from tests.platforms.serving import SECRET, wait_for
from tests.platforms.vercel.runtime import CRON_SECRET, running

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/platforms/vercel"
SECRETS = {"EDGEFLOW_SECRET": SECRET, "CRON_SECRET": CRON_SECRET}
REMINDER = {"id": "r-1", "text": "Water the plants", "seconds": 0.2, "times": 2}


@pytest.fixture(autouse=True)
def _copy(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)


def remind(ask: Callable[..., Any]) -> None:
    """Order two reminders, and be the cron that `vercel.json` asks for."""
    settings = json.loads((EXAMPLE / "vercel.json").read_text("utf-8"))
    (cron,) = settings["crons"]
    reply = ask("POST", "/", REMINDER, SECRET)
    assert (reply.status, reply.value["status"]) == (202, "suspended")

    ran = 0

    def both_were_sent() -> bool:
        nonlocal ran
        ran += ask("GET", cron["path"], None, CRON_SECRET).value["ran"]
        look = ask("GET", "/edgeflow/instances/r-1", None, SECRET)
        return bool(look.value["status"] == "completed")

    wait_for(both_were_sent)
    assert ran == 2
    assert ask("POST", "/", REMINDER, SECRET).value == "sent 2 times"


def test_the_reminders_are_sent_under_uvicorn(tmp_path: Path) -> None:
    with serving(tmp_path, UVICORN, "index:app", VERCEL="1", **SECRETS) as server:
        remind(server.ask)
        log = server.log()

    assert log.count("to you: Water the plants\n") == 2


def test_the_reminders_are_sent_in_the_runtime(tmp_path: Path) -> None:
    with running(tmp_path, "index", **SECRETS) as function:
        remind(lambda *asked: function.ask(*asked[:3], bearer=asked[3]))


def test_the_example_is_short() -> None:
    assert (EXAMPLE / "index.py").read_text("utf-8").count("\n") < 60


def test_the_program_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs/platforms/vercel.md").read_text("utf-8")
    codes = re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)
    program, settings = (text for kind, text in codes if kind in {"python", "json"})
    (tmp_path / "index.py").write_text(program, "utf-8")

    with serving(tmp_path, UVICORN, "index:app", VERCEL="1", **SECRETS) as server:
        reply = server.post("/", {"order_id": "o-9"})
        (cron,) = json.loads(settings)["crons"]
        swept = server.ask("GET", cron["path"], secret=CRON_SECRET)

    assert (reply.status, reply.value) == (200, "o-9 is paid")
    assert (swept.status, swept.value) == (200, {"ran": 0})
