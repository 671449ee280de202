"""One life of a program that is run as it is, as `python program.py` would."""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
from typing import TYPE_CHECKING, Any

import edgeflow
from edgeflow import app as home
from edgeflow.testing.processes.watch import Watched, found, left

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeflow.store import Store
    from edgeflow.testing.processes.killer import Killer
    from edgeflow.testing.processes.log import Log


def run_script(
    command: Sequence[str],
    store: Store,
    log: Log,
    killer: Killer,
    began: Callable[[], object],
) -> None:
    """Be this program, whose Apps are watched; tell what was before and is after it.

    Raises:
        SystemExit: if the program fails.
    """
    asyncio.run(_tell("found", store, log))
    watched = _watched(log, killer)
    for module in (edgeflow, home):
        setattr(module, home.App.__name__, watched)
    sys.argv[:] = command
    sys.path.insert(0, os.path.dirname(command[0]))  # noqa: PTH120  as Python does
    began()
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    asyncio.run(_tell("left", store, log))


def _watched(log: Log, killer: Killer) -> type[home.App]:
    class WatchedApp(home.App):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            watched = Watched(self.store, log, killer)
            self.use_store(watched)
            watched.watch(self)

    return WatchedApp


async def _tell(word: str, store: Store, log: Log) -> None:
    app = home.App(store)
    async with app.session.using():
        wiring = app.wiring
        what = await (found(wiring) if word == "found" else left(wiring, log, ()))
        log.write(word, what)
