"""What tests/mutants breaks is there to be broken, and is found by the matrix."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, Retry, StepError, Stop, current_step, step, workflow
from edgeflow.store import Limits
from edgeflow.testing.faults import KINDS, Fault
from edgeflow.testing.matrix import crash_matrix
from edgeflow_memory import MemoryStore
from tests.mutants.__main__ import Copy, main
from tests.mutants.catalogue import MUTANTS, Mutant

if TYPE_CHECKING:
    from edgeflow import Workflow
    from edgeflow.testing.faults import FaultKind
    from edgeflow.testing.lives import End

ROOT = Path(__file__).parents[2]
HONEST: list[FaultKind] = [kind for kind in KINDS if kind != "lose"]
"""The faults of a store that keeps what it acknowledges."""

PLAIN = Retry(attempts=3, first=60, jitter=0)
QUICK = Retry(attempts=3, first=0.01, jitter=0)

done: list[Any] = []
"""What steps have done outside of edgeflow."""


def app_of(*workflows: Workflow[Any, Any], **options: Any) -> App:
    return App("memory:", workflows=workflows, **options)


@step
async def act(value: Any) -> Any:
    done.append(value)
    return value


@step(retry=PLAIN)
async def flaky(value: Any) -> Any:
    done.append(value)
    if current_step().attempt == 1:
        raise ValueError("not yet")
    return value


# --- the catalogue --------------------------------------------------------------------


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code_and_names_a_test(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text("utf-8").count(mutant.old) == 1
    file, *_, name = mutant.found_by.split("::")
    suite = (ROOT / "edgeflow" / "testing" / "stores").glob("*.py")
    texts = [each.read_text("utf-8") for each in (ROOT / "tests" / file, *suite)]
    assert any(f"def {name.partition('[')[0]}(" in text for text in texts)


def test_no_two_mutants_have_one_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.timeout(120)
def test_a_mutant_that_survives_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    word = '"""Frames: how'
    harmless = Mutant(
        "say it otherwise",
        "edgeflow/engine/frames.py",
        word,
        word.upper(),
        "engine/test_frames.py::test_nothing_at_all_is_damage",
    )

    assert main(mutants=[harmless]) == 1
    assert "| say it otherwise | **it survives** | " in capsys.readouterr().out


def test_a_mutant_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    gone = Mutant("gone", "edgeflow/clock.py", "no such text", "", "test_house.py")
    often = Mutant("often", "edgeflow/clock.py", "self", "", "test_house.py")
    copy = Copy(tmp_path)

    for mutant in (gone, often):
        with (
            pytest.raises(ValueError, match=r"fit tests/mutants/catalogue\.py to the"),
            copy.broken(mutant),
        ):
            pass


# --- what finds them ------------------------------------------------------------------


async def test_a_fault_repeats_one_of_two_steps_at_most() -> None:
    # M-02 O-01, G2
    @workflow
    async def two_steps(ctx: Context) -> list[int]:
        return [await act(1), await act(2)]

    def repeats_one_at_most(_: End) -> bool:
        return len(done) <= 1 + len(set(done))

    await crash_matrix(
        app_of(two_steps),
        two_steps,
        same=repeats_one_at_most,
        reset=done.clear,
        faults=HONEST,
    )


async def test_what_happens_during_a_flush_is_in_the_next_one() -> None:
    # M-09 O-01, G3
    @workflow
    async def at_once(ctx: Context) -> list[Any]:
        async def later(value: int) -> Any:
            await asyncio.sleep(0)
            return await act(value)

        return list(await asyncio.gather(*(later(n) for n in range(4)), flaky(5)))

    report = await crash_matrix(app_of(at_once), at_once, parked=True)
    assert report.end.output == [0, 1, 2, 3, 5]


async def test_a_quick_attempt_waits_for_the_failure_before_it() -> None:
    # B-06 O-01, G7
    @workflow
    async def hasty(ctx: Context) -> Any:
        return await flaky.using(retry=QUICK)("done")

    await crash_matrix(app_of(hasty), hasty)


async def test_a_fault_never_enters_at_most_once_twice() -> None:
    # O-01, G7
    @workflow
    async def careful(ctx: Context) -> Any:
        try:
            return await act.using(at_most_once=True)("paid")
        except StepError as error:
            return error.kind

    report = await crash_matrix(
        app_of(careful),
        careful,
        same=lambda end: (end.status, len(done) <= 1),
        reset=done.clear,
        faults=HONEST,
    )
    assert report.end.output == "paid"


async def test_a_failed_attempt_leaves_no_state() -> None:
    # J-03 O-01, G8
    @step(retry=PLAIN)
    async def count() -> None:
        state = current_step().state
        state["attempts"] = state.get("attempts", 0) + 1
        if current_step().attempt < 3:
            raise ValueError("not yet")

    @workflow
    async def counts(ctx: Context) -> None:
        await count()

    report = await crash_matrix(app_of(counts), counts)
    assert report.end.state == {"attempts": 1}


async def test_a_store_that_delivers_later_loses_no_message() -> None:
    # D-05 O-01, G11
    @workflow
    async def sender(ctx: Context) -> None:
        await ctx.send("archive", "note", await act(1))
        await ctx.sleep(60)
        await ctx.send("archive", "note", await act(2))

    report = await crash_matrix(
        app_of(sender), sender, store=lambda: MemoryStore(Limits(joins_sends=False))
    )
    assert report.end.inboxes == {"archive": [("note", 1), ("note", 2)]}


async def test_a_child_comes_to_be_whatever_goes_wrong() -> None:
    # D-17 O-01, G10
    @workflow
    async def child(ctx: Context) -> Any:
        return await act(1)

    @workflow
    async def parent(ctx: Context) -> Any:
        return await ctx.call(child)

    report = await crash_matrix(app_of(parent, child), parent)
    assert report.end.output == 1


async def test_the_frame_of_another_owner_is_not_ones_own() -> None:
    # M-12 O-10, G4
    @workflow(durability="suspend")
    async def one_step(ctx: Context) -> Any:
        return await act(1)

    no_answer_and_then_another_owner = [Fault(3, "time_out"), Fault(4, "fence")]
    app = app_of(one_step)
    await crash_matrix(app, one_step, only=no_answer_and_then_another_owner)


async def test_what_is_done_keeps_its_order() -> None:
    # K-01 O-01, G5
    @workflow
    async def order(ctx: Context) -> list[str]:
        found: list[str] = []

        async def put(value: str, attempt: Any) -> None:
            found.append(await attempt(value))

        await asyncio.gather(put("late", flaky), put("early", act))
        return found

    report = await crash_matrix(app_of(order), order)
    assert report.end.output == ["early", "late"]


async def test_time_stands_still_on_replay() -> None:
    # C-03 O-01, G5
    @workflow
    async def timed(ctx: Context) -> float:
        began = ctx.now()
        await act(1)
        took = ctx.now() - began
        await flaky(2)
        return took.total_seconds()

    crashes: tuple[FaultKind, ...] = ("crash_before", "crash_after")
    report = await crash_matrix(app_of(timed), timed, faults=crashes)
    assert report.end.output == 0


async def test_a_snapshot_holds_what_is_under_way() -> None:
    # O-10, G7 G15
    @step
    async def heavy(number: int) -> str:
        return f"{number}" * 30_000

    @workflow
    async def heavy_weight(ctx: Context) -> Any:
        async def chain() -> None:
            for number in range(4):
                await heavy(number)

        found, _ = await asyncio.gather(flaky("light"), chain())
        return found

    await crash_matrix(app_of(heavy_weight), heavy_weight)


@step
async def reserve(seat: int) -> int:
    done.append(seat)
    return seat


@reserve.undo
async def release(seat: int) -> None:
    done.append(-seat)


async def test_all_is_undone_newest_first() -> None:
    # I-01 O-09, G8
    @workflow
    async def journey(ctx: Context) -> None:
        async def leg(number: int) -> int | Stop[None]:
            await reserve(number + 1)
            return number + 1 if number < 2 else Stop(None)

        await ctx.loop("legs", leg, state=0, prune_every=1, keep=0)
        raise ValueError("no visa")

    def undone() -> list[int]:
        return list(dict.fromkeys(seat for seat in done if seat < 0))

    await crash_matrix(
        app_of(journey),
        journey,
        ends="failed",
        same=lambda end: (end.status, undone()),
        reset=done.clear,
    )
    assert undone() == [-3, -2, -1]
