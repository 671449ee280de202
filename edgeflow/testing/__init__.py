"""What tests of programs and of adapters need.

`StoreSuite` needs pytest, and `StoreMachine` Hypothesis; the others need nothing but
edgeflow. pytest finds the fixture `flow` by itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.testing.clock import VirtualClock as VirtualClock
    from edgeflow.testing.faults import Crashed as Crashed
    from edgeflow.testing.faults import Fault as Fault
    from edgeflow.testing.faults import FaultyStore as FaultyStore
    from edgeflow.testing.faults import draw_plan as draw_plan
    from edgeflow.testing.flow import Flow as Flow
    from edgeflow.testing.flow import Instance as Instance
    from edgeflow.testing.flow import Stuck as Stuck
    from edgeflow.testing.lives import End as End
    from edgeflow.testing.matrix import MatrixFailed as MatrixFailed
    from edgeflow.testing.matrix import Report as Report
    from edgeflow.testing.matrix import crash_matrix as crash_matrix
    from edgeflow.testing.posts import Post as Post
    from edgeflow.testing.recorder import RecordingStore as RecordingStore
    from edgeflow.testing.replay import assert_replayable as assert_replayable
    from edgeflow.testing.stores.kv import KVSuite as KVSuite
    from edgeflow.testing.stores.machine import StoreMachine as StoreMachine
    from edgeflow.testing.stores.model import StoreModel as StoreModel
    from edgeflow.testing.stores.suite import StoreSuite as StoreSuite

_HOMES = {
    "Crashed": "faults",
    "End": "lives",
    "Fault": "faults",
    "FaultyStore": "faults",
    "Flow": "flow",
    "Instance": "flow",
    "KVSuite": "stores.kv",
    "MatrixFailed": "matrix",
    "Post": "posts",
    "RecordingStore": "recorder",
    "Report": "matrix",
    "StoreMachine": "stores.machine",
    "StoreModel": "stores.model",
    "StoreSuite": "stores.suite",
    "Stuck": "flow",
    "VirtualClock": "clock",
    "assert_replayable": "replay",
    "crash_matrix": "matrix",
    "draw_plan": "faults",
}

__all__ = [
    "Crashed",
    "End",
    "Fault",
    "FaultyStore",
    "Flow",
    "Instance",
    "KVSuite",
    "MatrixFailed",
    "Post",
    "RecordingStore",
    "Report",
    "StoreMachine",
    "StoreModel",
    "StoreSuite",
    "Stuck",
    "VirtualClock",
    "assert_replayable",
    "crash_matrix",
    "draw_plan",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeflow.testing' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
