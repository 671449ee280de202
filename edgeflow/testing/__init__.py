"""What tests of programs and of adapters need.

`StoreSuite` needs pytest; the others need nothing but edgeflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.testing.clock import VirtualClock as VirtualClock
    from edgeflow.testing.faults import Crashed as Crashed
    from edgeflow.testing.faults import Fault as Fault
    from edgeflow.testing.faults import FaultyStore as FaultyStore
    from edgeflow.testing.recorder import RecordingStore as RecordingStore
    from edgeflow.testing.replay import assert_replayable as assert_replayable
    from edgeflow.testing.store_suite import StoreSuite as StoreSuite

__all__ = [
    "Crashed",
    "Fault",
    "FaultyStore",
    "RecordingStore",
    "StoreSuite",
    "VirtualClock",
    "assert_replayable",
]

_HOMES = {
    "VirtualClock": "clock",
    "RecordingStore": "recorder",
    "StoreSuite": "store_suite",
    "assert_replayable": "replay",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'edgeflow.testing' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'faults')}"), name)
