"""`check`: what a deployment would block, said before it is deployed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Command: TypeAlias = Callable[..., Any]

CODE = """
import os
from pathlib import Path

from edgeflow import App, Context, step
from edgeflow.testing.clock import VirtualClock

app = App(clock=VirtualClock(float(os.environ["NOW"])))


@step
async def effect(name: str) -> str:
    with Path("effects").open("a") as effects:
        effects.write(name)
    return name


@app.workflow
async def order(ctx: Context) -> str:
    ctx.log.info("replayed")
    print("replayed")
    await effect.using(name="{step}")("{step}")
    await ctx.receive("go")
    return "done"


@app.workflow
async def other(ctx: Context) -> str:
    await effect("x")
    await ctx.receive("go")
    return "done"
"""


@pytest.fixture
def deploy(project: Path) -> Callable[[str], None]:
    """Write the code in which the workflow `order` begins with this step."""

    def write(step: str) -> None:
        # Its length differs for each step, so that no old byte code is taken for it.
        (project / "jobs.py").write_text(CODE.format(step=step), "utf-8")

    return write


def run(edgeflow: Command, workflow: str, *instances: str) -> None:
    for instance in instances:
        done = edgeflow("run", f"jobs.py:{workflow}", "--id", instance, "--once")
        assert done.code == 3


def test_check_names_what_would_be_blocked_and_why(
    edgeflow: Command, deploy: Callable[[str], None], project: Path
) -> None:
    # K-17, G13
    deploy("charge")
    run(edgeflow, "order", "o1", "o2")
    run(edgeflow, "other", "x1")
    before = (project / "effects").read_text()
    shown = edgeflow("show", "o1", "--json").value
    deploy("charge_it")

    done = edgeflow("check", "jobs.py:app")

    assert done.code == 1
    lines = done.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "■ o1  order",
        "■ o2  order",
    ]
    assert "differ at charge[0]: the journal holds a completed step" in lines[1]
    assert done.err.splitlines()[-1] == "checked 3 instances: 2 would be blocked"
    assert (project / "effects").read_text() == before, "no step is entered"
    assert edgeflow("show", "o1", "--json").value == shown, "nothing is written"


def test_check_is_content_with_the_code_that_runs(
    edgeflow: Command, deploy: Callable[[str], None]
) -> None:
    deploy("charge")
    run(edgeflow, "order", "o1")

    done = edgeflow("check", "jobs.py")

    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1] == "checked 1 instance: none would be blocked"


def test_check_leaves_finished_instances_out(
    edgeflow: Command, deploy: Callable[[str], None]
) -> None:
    deploy("charge")
    run(edgeflow, "order", "o1")
    edgeflow("send", "o1", "go")
    assert edgeflow("wake", "o1", "--app", "jobs.py").code == 0
    deploy("charge_it")

    done = edgeflow("check", "jobs.py:app")

    assert done.code == 0
    assert done.err.splitlines()[-1] == "checked 0 instances: none would be blocked"


def test_check_looks_at_blocked_instances_too(
    edgeflow: Command, deploy: Callable[[str], None]
) -> None:
    # G13
    deploy("charge")
    run(edgeflow, "order", "o1")
    deploy("charge_it")
    edgeflow("send", "o1", "go")
    assert edgeflow("wake", "o1", "--app", "jobs.py").code == 1
    assert edgeflow("check", "jobs.py:app").code == 1

    deploy("charge")
    done = edgeflow("check", "jobs.py:app", "--json")

    assert done.code == 0
    assert done.value == {
        "id": "o1",
        "workflow": "order",
        "status": "blocked",
        "would_block": False,
        "reason": None,
    }


def test_check_json_is_a_line_for_each_instance(
    edgeflow: Command, deploy: Callable[[str], None]
) -> None:
    deploy("charge")
    run(edgeflow, "order", "o1")
    run(edgeflow, "other", "x1")
    deploy("charge_it")

    done = edgeflow("check", "jobs.py:app", "--json")

    found = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 1
    assert [(each["id"], each["would_block"]) for each in found] == [
        ("o1", True),
        ("x1", False),
    ]
    assert "charge[0]" in found[0]["reason"]
    assert found[1]["reason"] is None


def test_check_lets_an_instance_end_that_is_cancelled(
    edgeflow: Command, deploy: Callable[[str], None]
) -> None:
    deploy("charge")
    run(edgeflow, "order", "o1")
    assert edgeflow("cancel", "o1").code == 0
    assert edgeflow("show", "o1", "--json").value["info"]["status"] == "suspended"
    deploy("charge_it")

    done = edgeflow("check", "jobs.py:app", "--json")

    assert done.code == 0
    assert not done.value["would_block"]


def test_check_can_look_at_one_workflow(
    edgeflow: Command, deploy: Callable[[str], None]
) -> None:
    deploy("charge")
    run(edgeflow, "order", "o1")
    run(edgeflow, "other", "x1")
    deploy("charge_it")

    assert edgeflow("check", "jobs.py:app", "--workflow", "other").code == 0
    assert edgeflow("check", "jobs.py:app", "--workflow", "order").code == 1


def test_check_names_a_workflow_that_is_not_there(
    edgeflow: Command, deploy: Callable[[str], None], project: Path
) -> None:
    deploy("charge")
    run(edgeflow, "order", "o1")
    text = (project / "jobs.py").read_text("utf-8")
    renamed = text.replace("async def order", "async def purchase")
    (project / "jobs.py").write_text(renamed, "utf-8")

    done = edgeflow("check", "jobs.py:app")

    assert done.code == 1
    assert "no workflow is called 'order' here" in done.out


def test_check_wants_an_app(edgeflow: Command, project: Path) -> None:
    assert project.is_dir()
    for words in ([], ["jobs.py:helper"], ["nowhere.py:app"]):
        done = edgeflow("check", *words)
        assert done.code == 2
        assert done.error


def test_check_does_not_create_a_store(edgeflow: Command, project: Path) -> None:
    done = edgeflow("check", "jobs.py:app", "--store", "sqlite:///none.db")

    assert done.code == 1
    assert "there is no such store" in done.error
    assert not (project / "none.db").exists()
