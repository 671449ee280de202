"""Real processes on SQLite that are killed and started again until they have ended.

    with Program("shop.py") as program:
        kills = [Kill("in_commit", 2), Kill("after_step", 1), Kill("suspended")]
        await survives(program, "fulfil", {"id": "o-1"}, folder=tmp_path, kills=kills)

Where `crash_matrix` says that a process has ended, here it is gone: with its memory,
its threads and its connection, in the middle of whatever it did. What its steps do
is written down outside of edgeflow, and held against what was durable when they did.

It needs `os.fork`: Linux or macOS.
"""

from __future__ import annotations

from edgeflow.testing.processes.instance import Life, Victim
from edgeflow.testing.processes.judge import Effect
from edgeflow.testing.processes.killer import Kill
from edgeflow.testing.processes.program import Lost, Program
from edgeflow.testing.processes.survival import Survival, survives

__all__ = [
    "Effect",
    "Kill",
    "Life",
    "Lost",
    "Program",
    "Survival",
    "Victim",
    "survives",
]
