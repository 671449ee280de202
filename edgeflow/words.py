"""The operations behind the words of a context, each imported when it is first used.

A body uses few of them, and a cold start pays for each module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.engine.ops.block import put_away
    from edgeflow.engine.ops.change import Removal, VersionOp
    from edgeflow.engine.ops.checkpoint import CheckpointOp
    from edgeflow.engine.ops.child import CallOp, StartOp, Target
    from edgeflow.engine.ops.instant import SendOp, StatusOp
    from edgeflow.engine.ops.join import JoinOp
    from edgeflow.engine.ops.loop import LoopOp
    from edgeflow.engine.ops.map import MapOp, map_keys, map_limits
    from edgeflow.engine.ops.race import RaceOp
    from edgeflow.engine.ops.receive import ReceiveManyOp, ReceiveOp
    from edgeflow.engine.ops.scope import ScopeBlock
    from edgeflow.engine.ops.sleep import SleepOp

_HOMES = {
    "CallOp": "child",
    "CheckpointOp": "checkpoint",
    "JoinOp": "join",
    "LoopOp": "loop",
    "MapOp": "map",
    "RaceOp": "race",
    "ReceiveManyOp": "receive",
    "ReceiveOp": "receive",
    "Removal": "change",
    "ScopeBlock": "scope",
    "SendOp": "instant",
    "SleepOp": "sleep",
    "StartOp": "child",
    "StatusOp": "instant",
    "Target": "child",
    "VersionOp": "change",
    "map_keys": "map",
    "map_limits": "map",
    "put_away": "block",
}

__all__ = [
    "CallOp",
    "CheckpointOp",
    "JoinOp",
    "LoopOp",
    "MapOp",
    "RaceOp",
    "ReceiveManyOp",
    "ReceiveOp",
    "Removal",
    "ScopeBlock",
    "SendOp",
    "SleepOp",
    "StartOp",
    "StatusOp",
    "Target",
    "VersionOp",
    "map_keys",
    "map_limits",
    "put_away",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeflow.words' has no attribute {name!r}")
    home = import_module(f"edgeflow.engine.ops.{_HOMES[name]}")
    value = globals()[name] = getattr(home, name)
    return value
