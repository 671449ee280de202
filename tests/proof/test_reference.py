"""The reference workflows come to the same end whatever goes wrong (CONFORMANCE O).

Every write of each is struck by every usual fault, in mode "step" and by replay; in
each other way, and by the rarer faults, so many of them as EDGEFLOW_MATRIX says: a
number, or "all".
"""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, step, workflow
from edgeflow.testing.faults import KINDS, FaultKind
from edgeflow.testing.matrix import crash_matrix
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.conftest import STORES, make_store

from .workflows import REFERENCES, Reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgeflow.engine.settings import Durability
    from edgeflow.store import Store
    from edgeflow.testing.matrix import Report

MODES: tuple[Durability, ...] = ("step", "behind", "suspend")
WAYS = {"by replay": False, "parked": True}
MATRIX = os.environ.get("EDGEFLOW_MATRIX", "8")
CASES = None if MATRIX == "all" else int(MATRIX)
"""How many faults to try where not all are tried; None: all."""
RARE: tuple[FaultKind, ...] = ("time_out", "late", "lose", "tear")
USUAL = tuple(kind for kind in KINDS if kind not in RARE)

references = pytest.mark.parametrize("reference", REFERENCES, ids=str)
modes = pytest.mark.parametrize("mode", MODES)
ways = pytest.mark.parametrize("way", WAYS)


async def crash(
    reference: Reference,
    mode: Durability = "step",
    way: str = "by replay",
    *,
    store: Callable[[], Store] = MemoryStore,
    **options: Any,
) -> Report:
    """Let a reference workflow go through the matrix, and find its end as expected."""
    app = App("memory:", workflows=reference.workflows, durability=mode)
    report = await crash_matrix(
        app,
        reference.main,
        reference.input,
        messages=reference.messages,
        ends=reference.status,
        parked=WAYS[way],
        store=store,
        **options,
    )
    end = report.end
    assert (end.status, end.output) == (reference.status, reference.output)
    assert (end.error["message"] if end.error else "") == reference.error
    assert end.state == (reference.state or {})
    assert [one for each in end.answers.values() for one in each] == [
        *reference.answers
    ]
    assert [body for _, body in end.inboxes.get("ledger", ())] == [*reference.notes]
    assert not end.inboxes.get("it")
    return report


@pytest.mark.timeout(300)
@references
@modes
@ways
async def test_a_fault_at_any_write_changes_nothing(
    reference: Reference, mode: Durability, way: str
) -> None:
    # O-01, G3 G5 G7 G8 G10 G11 G12
    kinds = KINDS
    if (mode, way) == ("step", "by replay"):
        report = await crash(reference, faults=USUAL)
        assert 8 <= report.writes <= 25
        assert report.cases == len(USUAL) * report.writes
        kinds = RARE
    await crash(reference, mode, way, faults=kinds, sample=CASES, seed=len(mode + way))


@pytest.mark.parametrize("kind", STORES)
@references
async def test_no_fault_changes_anything_on_any_store(
    reference: Reference, kind: str, tmp_path: Path
) -> None:
    # O-01, G3 G5 G7 G8 G10 G11 G12
    numbers = count()

    def fresh() -> Store:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return make_store(kind, folder)

    for mode, way in zip(MODES, (*WAYS, "by replay"), strict=True):
        await crash(reference, mode, way, store=fresh, sample=3, seed=len(mode))


@pytest.mark.parametrize("name", ["W1", "W2", "W4"])
@modes
async def test_two_faults_in_one_run_change_nothing(
    name: str, mode: Durability
) -> None:
    # O-10, G3 G5 G7
    (reference,) = [each for each in REFERENCES if each.name == name]
    report = await crash(reference, mode, sample=0, pairs=20)
    assert report.cases == 20


@step
async def heavy(number: int) -> str:
    return f"{number}" * 30_000


@workflow(name="heavy")
async def heavy_weight(ctx: Context, wait: float) -> list[int]:
    sizes = [len(await heavy(number)) for number in range(3)]
    await ctx.sleep(wait)
    return [*sizes, len(await heavy(3))]


class Snapshots(RecordingStore):
    """Counts the snapshots that replace something."""

    total = 0

    def __init__(self) -> None:
        super().__init__(MemoryStore())

    async def commit(self, instance: str, commit: Any) -> Any:
        Snapshots.total += commit.snapshot and commit.seq > 1
        return await super().commit(instance, commit)


async def test_a_fault_while_a_snapshot_is_written_changes_nothing() -> None:
    # O-10, N-13, G3 G15
    before = Snapshots.total
    reference = Reference("heavy", (heavy_weight,), [30_000] * 4)
    report = await crash(reference, store=Snapshots)
    assert report.cases == 10 * report.writes
    assert Snapshots.total - before >= report.cases
