"""Random trees in the crash matrix (CONFORMANCE G-13)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from edgeflow import App
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.matrix import crash_matrix
from edgeflow_memory import MemoryStore

from .bench import Bench, retold
from .pieces import MANY, WAITS
from .trees import WRAPS, compact

if TYPE_CHECKING:
    from edgeflow.engine.settings import Durability

TREES = 200
MODES: list[Durability] = ["step", "step", "behind", "suspend"]
MATRIX = os.environ.get("EDGEFLOW_MATRIX", "8")
CASES = None if MATRIX == "all" else int(MATRIX)
"""How many faults to try in each tree; None: each kind at each write."""


def test_the_trees_hold_every_outer_inner_wait_and_failure() -> None:
    # G-13
    texts = " ".join(repr(compact(seed)) for seed in range(TREES))
    for part in (*WRAPS, *MANY):
        assert f"{part}(" in texts, part
    for part in (*WAITS, "fail)", "for ever)"):
        assert part in texts, part


class Endless(VirtualClock):
    """A step that waits by it never ends: it is there to lose a race."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("seed", range(TREES))
async def test_a_tree_gives_the_same_whatever_goes_wrong(seed: int) -> None:
    # G-13 G3 G8
    tree = compact(seed)
    story = await retold(tree.piece, processes=1, in_order=False)
    bench = Bench(tree.piece)
    bench.clock = Endless()
    received = [label for label, _ in story.trace if label.endswith("go")]
    report = await crash_matrix(
        App("memory:", workflows=[bench.code], durability=MODES[seed % len(MODES)]),
        bench.code,
        messages=[(label, label) for label in received],
        parked=seed % 3 == 0,
        sample=CASES,
        seed=seed,
        same=lambda end: (end.status, end.output),
        store=MemoryStore,
    )
    assert (report.end.status, report.end.output) == ("completed", story.output), tree
    assert report.writes > 2
