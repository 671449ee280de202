"""Random trees, killed at every write (CONFORMANCE G-13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeflow.testing.faults import Fault

from .bench import Bench, retold
from .pieces import MANY, WAITS
from .trees import WRAPS, compact

if TYPE_CHECKING:
    from edgeflow.engine.settings import Durability

    from .bench import Entry

TREES = 200
MODES: list[Durability] = ["step", "step", "behind", "suspend"]


def outcomes(history: list[Entry]) -> list[str]:
    """Give what came out of all operations; not their order, nor who had to stop."""
    return sorted(repr(entry) for entry in history if entry[1] != "cancelled")


def test_the_trees_hold_every_outer_inner_wait_and_failure() -> None:
    # G-13
    texts = " ".join(repr(compact(seed)) for seed in range(TREES))
    for part in (*WRAPS, *MANY):
        assert f"{part}(" in texts, part
    for part in (*WAITS, "fail)", "for ever)"):
        assert part in texts, part


@pytest.mark.parametrize("seed", range(TREES))
async def test_a_tree_gives_the_same_whenever_its_process_dies(seed: int) -> None:
    # G-13 G3 G8
    tree = compact(seed)
    mode = MODES[seed % len(MODES)]
    story = await retold(tree.piece, processes=1, in_order=False)
    smooth = Bench(tree.piece, durability=mode)
    assert (await smooth.finish()).output == story.output
    known = outcomes(await smooth.history())
    assert smooth.faulty.writes > 2

    for write in range(1, smooth.faulty.writes + 1):
        for fault in (Fault(write, "crash_before"), Fault(write, "crash_after")):
            bench = Bench(tree.piece, [fault], mode)
            outcome = await bench.finish()

            assert bench.faulty.struck == [fault], tree
            assert outcome.status == "completed", (tree, fault, outcome)
            assert outcome.output == story.output, (tree, fault)
            assert bench.durable is not None
            for call, count in bench.durable.items():
                assert bench.calls[call] == count, (tree, fault, call)
            assert set(bench.calls) >= set(story.calls)
            assert outcomes(await bench.history()) == known, (tree, fault)
