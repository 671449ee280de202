"""What the scripts of all peers share: the work, the clock, the output.

Nothing heavy is imported here: it is a part of a cold start (S6).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

BEGAN = float(os.environ.get("EDGEBENCH_T0", "0")) or time.time()
"""When this process was started, in s since the epoch, as who started it says."""
SCALE = float(os.environ.get("EDGEBENCH_SCALE", "1"))
CRASHED = 42
"""Exit code of a process that ends in the middle, as planned."""

clock = time.perf_counter


class Record(TypedDict):
    """What each trivial step returns: about 32 bytes of JSON."""

    i: int
    s: str


class LoopState(TypedDict):
    """What a turn of S5 takes and gives: about 100 bytes of JSON."""

    i: int
    total: int
    note: str


LOOP_START: LoopState = {"i": 0, "total": 0, "note": "n" * 64}


def record(i: int) -> Record:
    """Do the work of a step."""
    return {"i": i, "s": "0123456789abcdef"}


def loop_state(state: LoopState) -> LoopState:
    """Do the work of a turn."""
    return {
        "i": state["i"] + 1,
        "total": state["total"] + state["i"],
        "note": state["note"],
    }


def scaled(count: int, least: int = 1) -> int:
    """Give how many of something to do in this run."""
    return max(least, int(count * SCALE))


def data_dir() -> str:
    """Give the folder for the data of this run: new, unless who started us has one."""
    path = os.environ.get("EDGEBENCH_DATA")
    if not path:
        import tempfile  # noqa: PLC0415  who starts us gives a folder

        path = os.environ["EDGEBENCH_DATA"] = tempfile.mkdtemp(prefix="edgebench-")
    return path


class Timed:
    """`with Timed() as t:` gives t.wall and t.cpu (of all threads), in seconds."""

    def __enter__(self) -> Self:
        self.wall, self.cpu = clock(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = clock() - self.wall, time.process_time() - self.cpu


def emit(peer: str, scenario: str, metric: str, value: float, **more: Any) -> None:
    """Print one result as a line of JSON."""
    line = {"peer": peer, "scenario": scenario, "metric": metric}
    print(json.dumps({**line, "value": round(value, 6), **more}), flush=True)


def percentiles(samples: Iterable[float]) -> tuple[float, float]:
    """Give the median and the 99th percentile."""
    found = sorted(samples)
    return found[len(found) // 2], found[min(len(found) - 1, int(len(found) * 0.99))]


def rss_mib(*, peak: bool = False) -> float:
    """Give the memory of this process, now or at most, in MiB; on Linux."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  pathlib is slow to import
        line = next(line for line in status if line.startswith(wanted))
    return int(line.split()[1]) / 1024


def stored_bytes(path: str) -> int:
    """Give the size of all files in a folder."""
    return sum(
        os.path.getsize(os.path.join(folder, name))  # noqa: PTH118, PTH202  as above
        for folder, _, names in os.walk(path)
        for name in names
    )


def crashed(phase: str, *args: object) -> None:
    """Run a phase of this script in a process that ends in the middle, as planned.

    Raises:
        SystemExit: if it ends in another way.
    """
    command = [sys.executable, sys.argv[0], phase, *map(str, args)]
    environment = {**os.environ, "EDGEBENCH_DATA": data_dir()}
    code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603  this script
    if code != CRASHED:
        raise SystemExit(f"{phase} ended with {code}, not with the planned crash")


def main(scenarios: Mapping[str, Callable[..., None]]) -> None:
    """Run what the command line names: `script.py <scenario> [arguments]`."""
    match sys.argv[1:]:
        case [name, *args] if name in scenarios:
            scenarios[name](*args)
        case _:
            raise SystemExit(f"usage: {sys.argv[0]} {' | '.join(scenarios)}")
