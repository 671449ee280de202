"""How an instance ends in a run: completed, failed, blocked, or put away."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from edgeflow.engine.failures import describe
from edgeflow.engine.journal import Rest
from edgeflow.engine.scope import show
from edgeflow.errors import (
    BodyError,
    DefinitionError,
    HistoryDiverged,
    Suspension,
    ValueRefused,
)
from edgeflow.values import dumps

if TYPE_CHECKING:
    from edgeflow.engine.run import Run

log = logging.getLogger("edgeflow")

ROUNDS = 100
"""How often a body may go on after being told to end, before it is abandoned."""


def conclude(run: Run, task: asyncio.Task[Any] | None) -> Rest:
    """Record how the instance ends; nothing is written yet."""
    if run.violation is None and task is not None and task.done():
        run.violation = _passed_over(run)
        if run.violation is None:
            return _conclude_body(run, task)
    return _block(run)


def _conclude_body(run: Run, task: asyncio.Task[Any]) -> Rest:
    error: BaseException | None
    if task.cancelled():
        error = asyncio.CancelledError("the body cancelled itself")
    else:
        error = task.exception()
    if isinstance(error, (BodyError, DefinitionError)):
        run.violation = error
        return _block(run)
    if error is not None:
        log.info("%s failed", run, exc_info=error)
        run.journal.set_record("end", {"error": describe(error)})
        return Rest("failed")
    run.violation = _leftovers(run)
    if run.violation is not None:
        return _block(run)
    try:
        output = run.encode_output(task.result())
        run.journal.check_size(len(dumps(output)), "$")
    except (ValueRefused, DefinitionError) as why:
        run.violation = BodyError(f"the output of the workflow: {why}")
        return _block(run)
    run.journal.set_record("end", {"output": output})
    return Rest("completed")


def _block(run: Run) -> Rest:
    reason = run.violation or BodyError("the body ended without a result")
    log.error("%s is blocked: %s", run, reason)
    version = run.journal.wiring.version
    run.journal.set_record("end", {"error": describe(reason), "version": version})
    return Rest("blocked")


def _passed_over(run: Run) -> BodyError | None:
    """Say what of its history a body that ended has not asked for, if anything."""
    if run.journal.replay:
        entry = run.journal.replay[0]
        found = f"a completed {entry.path[-1][0]}"
        return HistoryDiverged(show(entry.path), found, "the end of the body")
    for entry in run.journal.under_way():
        if entry.key not in run.waiting:
            found = f"a {entry.path[-1][0]} under way"
            return HistoryDiverged(show(entry.path), found, "nothing of that name")
    return None


def _leftovers(run: Run) -> BodyError | None:
    """Say which operations a body that returned has not awaited, if any."""
    if run.unawaited:
        names = ", ".join(sorted(operation.name for operation in run.unawaited))
        return BodyError(
            f"the body returned without awaiting {names}: await every operation"
        )
    running = [show(op.path) for op in run.waiting.values() if op.kind != "timer"]
    if running:
        return BodyError(
            f"the body returned while {', '.join(running)} still ran: "
            "await or cancel every operation"
        )
    return None


def stop_steps(run: Run) -> None:
    """Cancel the running steps; whatever they do now counts for nothing."""
    for op in list(run.executing.values()):
        op.cut_off = True
        if op.attempt is not None:
            op.attempt.step.stopping.set()
            op.attempt.draft.close()
            op.attempt.cancel()


def close_body(run: Run) -> None:
    """Let every task of the body end: operations raise, nothing is recorded."""
    body, task = run.body, run.task
    ended = task is None or task.done()
    for op in list(run.waiting.values()):
        if not op.future.done():
            op.future.set_exception(Suspension(f"{run} is suspended"))
    for _ in range(ROUNDS):
        body.run_until_idle()
        alive = [task for task in body.tasks if not task.done()]
        if not alive:
            break
        for task in alive:
            task.cancel()
    for task in body.tasks:
        if task.done() and not task.cancelled():
            task.exception()  # seen: nobody need hear that it was never retrieved
    run.waiting.clear()
    if task is not None and not ended and _returned(task):
        log.warning(
            "%s: its body caught the signal of its suspension and returned; what it "
            "returned is ignored, and the instance stays suspended. Catch Exception, "
            "not everything",
            run,
        )


def _returned(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
