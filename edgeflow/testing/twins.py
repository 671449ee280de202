"""Twins: another process of an app, on a store and a clock of the test."""

# An App is made again of what it was made of, which is nobody else's business.
# ruff: noqa: SLF001
# pyright: reportPrivateUsage=false

from __future__ import annotations

from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any

from edgeflow.app import App

if TYPE_CHECKING:
    from edgeflow.clock import Clock
    from edgeflow.engine.observing import Witness
    from edgeflow.store import Store


class Steady(Random):
    """No jitter, and for each seed the same bytes whenever they are asked for."""

    def __init__(self, seed: object) -> None:
        """Give the bytes of this seed: anything with a repr that does not change."""
        super().__init__()
        self._seed = seed

    def random(self) -> float:
        return 0.5

    def randbytes(self, n: int) -> bytes:
        return sha256(repr(self._seed).encode()).digest()[:n]


def twin(
    app: App,
    store: Store,
    clock: Clock,
    witness: Witness | None = None,
    seed: object = None,
    **options: Any,
) -> App:
    """Make an app with the workflows and options of `app`, and nothing of its memory.

    Args:
        app: whose lifespan and observers it has too.
        store: what it works on.
        clock: by which it goes.
        witness: sees the attempts of its steps.
        seed: of its token, and of the keys in what it starts; two processes that
            work on one store need different ones. Default: not predictable, as is
            then the jitter of retries.
        options: that are others than those of `app`.
    """
    made = App(
        store,
        clock=clock,
        workflows=app.workflows,
        observers=app._observers.all,
        **{**app._options, **options},
    )
    made.wiring.witness = witness
    if seed is not None:
        made._random = Steady(seed)
    return made
