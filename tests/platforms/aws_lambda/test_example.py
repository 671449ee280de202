"""The orders of examples/platforms/aws-lambda, as its README has them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeflow.config import KEYS
from edgeflow_lambda import LambdaPlatform
from tests.platforms.aws_lambda.environment import MANAGED, Environment

EXAMPLE = Path(__file__).parents[3] / "examples/platforms/aws-lambda"
ORDER = {"order_id": "o-1", "cents": 4200}
PACKED = {"edgeflow": {"send": {"to": "o-1", "name": "packed", "id": "p-1"}}}
DUE = {"edgeflow": {"run_due": None}}


@pytest.fixture(autouse=True)
def _copy(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)


def invoke(folder: Path, event: Any) -> tuple[list[str], Any]:
    """Give what the steps print, and the answer."""
    done = subprocess.run(
        [sys.executable, "invoke.py", json.dumps(event)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *lines, answer = done.stdout.splitlines()
    return lines, json.loads(answer)


def test_an_order_goes_on_with_each_command(tmp_path: Path) -> None:
    charged, waits = invoke(tmp_path, ORDER)
    _, sent = invoke(tmp_path, PACKED)
    shipped: list[str] = []
    while not shipped:
        shipped, _ = invoke(tmp_path, DUE)
    again, output = invoke(tmp_path, ORDER)

    assert charged == ["charging 4200 cents for o-1"]
    assert (waits["status"], waits["awaiting"]) == ("suspended", ["packed"])
    assert (sent["status"], sent["sent"]) == ("suspended", True)
    assert shipped == ["shipping o-1"]
    assert (again, output) == ([], "shipped")


def test_the_readme_gives_these_commands() -> None:
    readme = (EXAMPLE / "README.md").read_text("utf-8")
    given = re.findall(r"\$ python invoke.py '(.*)'", readme)

    assert list(map(json.loads, given)) == [ORDER, PACKED, DUE, ORDER]


def test_the_real_runtime_runs_it_as_the_template_says(tmp_path: Path) -> None:
    template = (EXAMPLE / "template.yaml").read_text("utf-8")
    handler = re.findall(r"Handler: (\S+)", template)
    variables = {"EDGEFLOW_STORE": "files:///store", "PYTHONPATH": str(tmp_path)}

    with Environment(tmp_path, MANAGED, variables, handler=handler[0]) as env:
        assert env.call(ORDER)["status"] == "suspended"
        assert env.call(PACKED)["sent"]
        while env.call(DUE) != {"ran": 1}:
            pass
        assert env.call(ORDER) == "shipped"


def test_the_template_sets_what_is_a_setting() -> None:
    template = (EXAMPLE / "template.yaml").read_text("utf-8")
    names = re.findall(r"EDGEFLOW_(\w+):", template)

    assert names
    assert {name.lower() for name in names} <= {*KEYS, *LambdaPlatform.keys}
    assert "FunctionResponseTypes: [ReportBatchItemFailures]" in template
