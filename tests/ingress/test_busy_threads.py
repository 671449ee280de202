"""Steps that fill all their threads hold up no flush: alarms have their own."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from edgeflow import App, Context, step
from edgeflow_memory import MemoryStore
from tests.ingress.place import Alarms, Place, event

if TYPE_CHECKING:
    from edgeflow.platform import Answer

MOST = 64
"""How many steps run in threads at once."""
PATIENCE = 12.0
"""Seconds after which a step would end by itself."""


async def test_a_run_whose_steps_hold_all_threads_is_answered_in_time() -> None:
    # P-04 G10: in real time, as threads are
    began, took, answer, alarms = await busy(seconds_left=0.5)
    if began < MOST:  # the machine is busy
        began, took, answer, alarms = await busy(seconds_left=5.0)

    assert began == MOST
    assert took < PATIENCE / 2
    assert (answer.status, answer.value["status"]) == (202, "suspended")
    assert {alarm.instance for alarm in alarms.diary} == {"i"}


async def busy(seconds_left: float) -> tuple[int, float, Answer, Alarms]:
    """An invocation whose steps hold all threads.

    Returns:
        How many steps began, the seconds it took, its answer, and its alarms.
    """
    alarms, inside, gate = Alarms(), threading.Semaphore(0), threading.Event()

    @step
    def hold(n: int) -> None:
        inside.release()
        gate.wait(PATIENCE)

    async def hold_all(ctx: Context, event: dict[str, Any]) -> None:
        await ctx.map(hold, list(range(MOST)))

    app = App(MemoryStore(), platform=Place(waker=alarms), margin=0.1, config={})
    handler = app.handler(id="id")(hold_all)
    began_at = time.monotonic()
    try:
        answer: Answer = await handler(event({"id": "i"}, seconds_left=seconds_left))
        took = time.monotonic() - began_at
        began = sum(inside.acquire(blocking=False) for _ in range(MOST))
    finally:
        gate.set()
        await app.session.part()
    return began, took, answer, alarms
