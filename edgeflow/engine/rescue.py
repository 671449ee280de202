"""The emergency path: what is dirty is written from a thread, without the loop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edgeflow.engine.composing import alarms_of
from edgeflow.errors import StoreUnavailable
from edgeflow.store import SyncCommit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeflow.engine.run import Run
    from edgeflow.store import Store

log = logging.getLogger("edgeflow")


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
            for commit in run.journal.rescued(rest):
                store.commit_sync(run.id, commit)
                arm = run.journal.wiring.arm
                if arm is not None:
                    arm.at_last(alarms_of(run.id, commit, rest))
        except StoreUnavailable as error:  # each further try would wait as long
            log.warning("what is not durable is done again: %s", error)
            return
        except Exception as error:  # the others may still be saved
            log.warning("%s: what is not durable is done again: %s", run, error)
