"""Whether today's code agrees with a history: for tests, and before a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.engine import checking, opening
from edgeflow.stores import store_from_url
from edgeflow.testing.twins import twin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow.app import App


async def assert_replayable(app: App, history: str | Mapping[str, Any]) -> None:
    """Replay a history against the workflows of `app`; no step is entered.

    Args:
        app: has the workflow; its store is only opened to look up an id.
        history: the id of an instance in the app's store, or what
            `edgeflow show ID --json` printed, as a mapping.

    Raises:
        HistoryDiverged: if the body does not ask for what the history holds.
        BodyError: if the instance would be blocked for another reason.
        UnknownInstance: if there is no instance of this id.
        ValueError: if the mapping is no history.
    """
    if not isinstance(history, str):
        app = twin(app, store_from_url("memory:"), app.clock)
    async with app.session.using() as worker:
        if isinstance(history, str):
            journal, _ = await opening.load(app.wiring, history, b"")
        else:
            journal = checking.imported(app.wiring, history.get("journal", history))
        error = await checking.rehearse(worker.plan, journal)
    if error is not None:
        raise error
