"""The example of Azure runs as it is, in Azure's own worker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.platforms.azure.storage_queue import storage_queue
from tests.platforms.azure.workers import working
from tests.platforms.serving import wait_for

pytestmark = pytest.mark.timeout(60)

EXAMPLE = Path(__file__).parents[3] / "examples/platforms/azure-functions"
QUEUE = "edgeflow-wakes"


def test_the_example_runs(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.db*"))
    settings = json.loads((folder / "local.settings.json").read_text("utf-8"))

    with storage_queue() as storage:
        variables = settings["Values"] | {"AzureWebJobsStorage": storage.connection}
        with working(folder, **variables) as worker:

            def ask(body: Any, path: str = "") -> Any:
                return worker.http(body, path, function="invoice")["body"]

            assert worker.functions == ["invoice", "invoice_due", "invoice_wakes"]
            asked = ask({"number": "n-1", "customer": "ada"})
            assert asked["awaiting"] == ["paid"]
            assert len(storage.queues[QUEUE]) == 1
            asked = ask(None, "edgeflow/instances/n-1/messages/paid")
            assert asked["status"] == "completed"
            assert ask({"number": "n-1", "customer": "ada"}) == "paid"

            late = {"number": "n-2", "customer": "bob", "days": 1e-6}

            def is_over() -> bool:
                due = worker.begin("invoice_due", trigger="timer")
                assert due.result(15)["ok"]
                return bool(ask(late) == "to the lawyer")

            wait_for(is_over)
    assert "to bob: reminder 3 for n-2" in (folder / "log").read_text("utf-8")
