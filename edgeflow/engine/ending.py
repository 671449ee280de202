"""How an instance ends in a run: completed, failed, blocked, or put away."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from edgeflow.engine import undo
from edgeflow.engine.composing import Rest
from edgeflow.engine.failures import describe
from edgeflow.engine.loop import make_loop
from edgeflow.engine.scope import show
from edgeflow.engine.timers import Timers
from edgeflow.errors import (
    BodyError,
    DefinitionError,
    HistoryDiverged,
    Suspension,
    ValueRefused,
)
from edgeflow.values import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeflow.engine.run import Run
    from edgeflow.engine.scope import Path
    from edgeflow.store import Status

log = logging.getLogger("edgeflow")

ROUNDS = 100
"""How often a body may go on after being told to end, before it is abandoned."""


def conclude(run: Run, task: asyncio.Task[Any] | None) -> Rest:
    """Record how the instance ends, or what it does first; nothing is written yet."""
    if run.journal.undo:
        return _conclude_undo(run, task)
    if run.journal.cancel:
        return _fall(run, "cancelled", {})
    if run.violation is None and task is not None and task.done():
        run.violation = passed_over(run)
        if run.violation is None:
            return _conclude_body(run, task)
    return _block(run)


def _conclude_body(run: Run, task: asyncio.Task[Any]) -> Rest:
    error: BaseException | None
    if task.cancelled():
        error = asyncio.CancelledError("the body cancelled itself")
    else:
        error = task.exception()
    if isinstance(error, SystemExit):  # replay would end each process anew
        error = BodyError("the body raised SystemExit: raise an Exception, or return")
    if isinstance(error, (BodyError, DefinitionError)):
        run.violation = error
        return _block(run)
    if error is not None:
        log.info("%s failed", run, exc_info=error)
        causes = list(dict.fromkeys(_causes(error)))
        return _fall(run, "failed", {"error": describe(error), "causes": causes})
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


def _fall(run: Run, to: Status, end: dict[str, Any]) -> Rest:
    """End as `to`; but first undo what is to be undone."""
    journal = run.journal
    if not undo.owed(journal):
        journal.set_record("end", end)
        return Rest(to)
    journal.set_record("undo", {"to": to, "end": end})
    now, lease = run.clock.now(), run.settings.lease
    return Rest("undoing", due=now, lease=lease, resting=False)


def _conclude_undo(run: Run, task: asyncio.Task[Any] | None) -> Rest:
    if run.violation is None and task is not None and not task.cancelled():
        error = task.exception()
        if error is None:
            return _undone(run)
        if not isinstance(error, (BodyError, DefinitionError)):
            error = BodyError(f"its undoing failed: {error!r}")
        run.violation = error
    return _block(run)


def _undone(run: Run) -> Rest:
    journal = run.journal
    to: Status = "cancelled" if journal.cancel else journal.undo["to"]
    end: dict[str, Any] = {} if to == "cancelled" else dict(journal.undo["end"])
    if errors := undo.errors(journal):
        end["undo_errors"] = errors
    journal.set_record("end", end)
    return Rest(to)


def _causes(error: BaseException | None) -> Iterator[Path]:
    """Yield the paths of the entries whose failure an exception tells of."""
    seen: set[int] = set()
    rest = [error]
    while rest:
        error = rest.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        path: Path | None = getattr(error, "__edgeflow_path__", None)
        if path is not None:
            yield path
        rest += [error.__cause__, error.__context__]
        rest += getattr(error, "exceptions", ())  # of a group


def _block(run: Run) -> Rest:
    reason = run.violation or BodyError("the body ended without a result")
    if not run.silent:
        log.error("%s is blocked: %s", run, reason)
    version = run.journal.wiring.version
    run.journal.set_record("end", {"error": describe(reason), "version": version})
    return Rest("blocked")


def passed_over(run: Run) -> BodyError | None:
    """Say what of its history a body that ended has not asked for, if anything."""
    for entry in run.journal.replay:
        asked = entry.key in run.waiting or entry.key in run.skipped
        if not (asked or run.is_removed(entry.key)):
            found = f"a completed {entry.path[-1][0]}"
            return HistoryDiverged(show(entry.path), found, "the end of the body")
    try:
        run.verify()
    except HistoryDiverged as error:
        return error
    return None


def _leftovers(run: Run) -> BodyError | None:
    """Say which operations a body that returned has not awaited, if any."""
    if run.unawaited:
        names = ", ".join(sorted(each.name for each in run.unawaited.values()))
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
        alive = [each for each in body.tasks if not each.done()]
        if not alive:
            break
        for each in alive:
            each.cancel()
    for each in body.tasks:
        if each.done() and not each.cancelled():
            each.exception()  # seen: nobody need hear that it was never retrieved
    run.waiting.clear()
    if task is not None and not ended and _returned(task):
        log.warning(
            "%s: its body caught the signal of its suspension and returned; what it "
            "returned is ignored, and the instance stays suspended. Catch Exception, "
            "not everything",
            run,
        )


def leave_body(run: Run) -> None:
    """Let the body end for good, in a run that goes on: with what it undoes."""
    stop_steps(run)
    run.over = run.body.closing = True
    close_body(run)
    run.over = run.cancelling = False
    run.violation = None
    for rest in (run.asked, run.settled, run.executing, run.receivers, run.skipped):
        rest.clear()
    run.unawaited.clear()
    run.journal.replay.clear()
    run.journal.kept.clear()
    run.timers = Timers()
    run.flusher.close_gates()
    run.body = make_loop(run, run.body.now, run.journal.start["birth"])


def _returned(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
