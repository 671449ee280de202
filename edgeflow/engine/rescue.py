"""The emergency path: what is dirty is written from a thread, without the loop."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edgeflow.engine.composing import Place, alarms_of, compose
from edgeflow.errors import StoreUnavailable
from edgeflow.store import SyncCommit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow.engine.composing import Rest
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.run import Run
    from edgeflow.store import Commit, Store

log = logging.getLogger("edgeflow")


RESCUES = 20
RESCUE_PAUSE = 0.002
"""How often, and how many seconds apart, a thread looks for a moment of rest."""


def rescue(store: Store, runs: Iterable[Run]) -> None:
    """Make the outcomes of these runs durable, and give the instances back.

    What the loop is writing at this moment is written once: the number of its frame
    and the token decide who was first. Without a store that can, nothing is done.
    """
    if not isinstance(store, SyncCommit):
        return
    for run in runs:
        try:
            if run.resting is not None or run.over:
                continue  # all of it is durable, or was dropped
            rest = run.rest_now(stuck=True)
            for commit in rescued(run.journal, rest):
                store.commit_sync(run.id, commit)
                arm = run.journal.wiring.arm
                if arm is not None:
                    arm.at_last(alarms_of(run.id, commit, rest))
        except StoreUnavailable as error:  # each further try would wait as long
            log.warning("what is not durable is done again: %s", error)
            return
        except Exception as error:  # the others may still be saved
            log.warning("%s: what is not durable is done again: %s", run, error)


def rescued(journal: Journal, rest: Rest) -> list[Commit]:
    """Give the commits that the store lacks; nothing is taken.

    For a thread, while the event loop is stuck in code of others, or slow: the one in
    flight, which may be written, and one of what is dirty. None, if the engine is
    caught in the middle of a change: that is done again later.
    """
    wholeness = journal.wholeness
    for _ in range(RESCUES):
        before, flying = (wholeness.turns, journal.mark), journal.in_flight
        lines, outbox = journal.lines.dirty(), journal.outbox.copy()
        place = Place(
            after=journal.seq if flying is None else flying.last,
            prev=journal.prev if flying is None else flying.last,
            deaths=0 if lines else journal.deaths + 1,
        )
        commit = compose(journal, rest, lines, outbox, place)
        if wholeness.is_whole and before == (wholeness.turns, journal.mark):
            return [commit] if flying is None else [flying, commit]
        time.sleep(RESCUE_PAUSE)
    return []
