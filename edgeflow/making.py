"""Making a worker of what an app decides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgeflow.engine.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.journal import Wiring
    from edgeflow.engine.plan import Plan
    from edgeflow.engine.settings import Settings
    from edgeflow.registry import Registry


def maker(
    wiring: Wiring, registry: Registry, settings: Settings, plan: Plan
) -> Callable[[Callable[[], Any]], Worker]:
    """Give what makes a worker; it is told how to get the live objects of the process.

    `settings` are those of a workflow that has none of its own.
    """

    def make(resources: Callable[[], Any]) -> Worker:
        def settings_of(name: str) -> Settings:
            known = registry.get(name)
            return replace(
                settings,
                sent=worker.ring,
                born=worker.families.born,
                resources=resources(),
                durability=(known and known.durability) or settings.durability,
            )

        worker = Worker(wiring, replace(plan, settings=settings_of))
        return worker

    return make
