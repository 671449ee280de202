"""W1 to W8 as real processes on SQLite, killed at moments that are drawn at random.

In the CI profile the moments are the same each time, and there are few; with
`EDGEFLOW_KILLS=1000` each workflow is killed a thousand times in each mode, and so is
`examples/settle.py` in `tests/crash`.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgeflow.testing.processes import Kill, Program, survives

from .workflows import REFERENCES, Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeflow.engine.settings import Durability

KILLS = int(os.environ.get("EDGEFLOW_KILLS", "7"))
"""How many processes of each workflow are killed in each mode: 56 for each mode."""

WAIT = 0.01
"""The short waits of the workflows, in seconds."""

AT_ONCE = {"W3": 2, "W5": 2, "W6": 2, "W7": 3, "W8": 2}
"""How many steps of a workflow, and of its children, run side by side; else one."""


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with Program(Path(__file__).with_name("workflows.py")) as program:
        yield program


def drawn(what: str, by: signal.Signals = signal.SIGKILL) -> Iterator[Kill]:
    """Kills without end, as they are drawn for this."""
    seed = what if "CI" in os.environ else f"{what} {random.randrange(10**6)}"
    sys.stdout.write(f"the seed of the moments is {seed!r}\n")
    chance = random.Random(seed)
    while True:
        yield Kill.at_random(chance, by=by, within=0.08, most=4)


@pytest.mark.timeout(60 + KILLS)
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("reference", REFERENCES[::-3], ids=str)
async def test_a_reference_workflow_survives_other_signals_too(
    program: Program, tmp_path: Path, reference: Reference, by: signal.Signals
) -> None:
    # O-11, G1, G3, G7, G8, G11
    survival = await survives(
        program,
        reference.main.name,
        WAIT,
        folder=tmp_path,
        kills=drawn(f"{reference} {by.name}", by),
        deaths=1 + KILLS // 3,
        messages=reference.messages,
        ends="failed" if reference.error else "completed",
    )

    assert survival.struck == 1 + KILLS // 3
    assert survival.left["output"] == reference.output
    assert survival.again == 0  # what was begun had the time to end


@pytest.mark.timeout(60 + KILLS)
@pytest.mark.parametrize("mode", ["step", "behind", "suspend"])
@pytest.mark.parametrize("reference", REFERENCES, ids=str)
async def test_a_reference_workflow_survives_sigkill_at_any_moment(
    program: Program, tmp_path: Path, reference: Reference, mode: Durability
) -> None:
    # O-11, G1, G3, G7, G8, G11
    survival = await survives(
        program,
        reference.main.name,
        WAIT,
        folder=tmp_path,
        kills=drawn(f"{reference} {mode}"),
        deaths=KILLS,
        messages=reference.messages,
        ends="failed" if reference.error else "completed",
        durability=mode,
        at_once=AT_ONCE.get(reference.name, 1) if mode == "step" else None,
    )

    assert survival.struck == KILLS
    assert survival.left["status"] == reference.status
    assert survival.left["output"] == reference.output
    assert survival.left["state"] == (reference.state or {})
