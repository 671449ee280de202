"""S6: what it takes to import a peer, and to make a first step durable.

python coldstart.py PEER ...
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from registry import ENVIRONMENTS, PEERS, plain_environment
from workload import emit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry import Peer

IMPORTS = 10
FIRSTS = 5
LATE = 60
"""Seconds that one process may take."""
RSS = "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
NODE_RSS = "console.log(process.memoryUsage().rss / 1024)"
# An editable installation has hardly any files: its size would say nothing.
CLOSURE = """
import json, os, re, sys
from importlib.metadata import distribution, PackageNotFoundError
try:
    from pip._vendor.packaging.requirements import Requirement
except ImportError:
    from packaging.requirements import Requirement
seen, todo, editable = {}, [(sys.argv[1], ())], False
while todo:
    name, extras = todo.pop()
    try:
        dist = distribution(name)
    except PackageNotFoundError:
        continue
    key = re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower()
    if key in seen and not extras:
        continue
    editable |= '"editable": true' in (dist.read_text("direct_url.json") or "")
    seen[key] = sum(
        os.path.getsize(path)
        for file in dist.files or ()
        if os.path.isfile(path := file.locate()) and not str(file).endswith(".pyc")
    )
    for wanted in map(Requirement, dist.requires or ()):
        if wanted.marker is None or any(
            wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        ):
            todo.append((wanted.name, tuple(wanted.extras)))
print(json.dumps([len(seen) - 1, None if editable else sum(seen.values())]))
"""


class Imports:
    """The processes that import a peer, and those that do not."""

    def __init__(self, peer: Peer) -> None:
        program, self.node = peer.interpreter, peer.node
        if self.node:
            root = ENVIRONMENTS / peer.environment / "index.js"
            load = f"require('module').createRequire('{root}')('{peer.module}');"
            self.bare = [program, "-e", "0"]
            self.full = [program, "-e", load]
            self.bare_rss = [program, "-e", NODE_RSS]
            self.full_rss = [program, "-e", load + NODE_RSS]
        else:
            self.bare = [program, "-c", "pass"]
            self.full = [program, "-c", f"import {peer.module}"]
            self.bare_rss = [program, "-c", RSS]
            self.full_rss = [program, "-c", f"import {peer.module};{RSS}"]
        self.used = [program, "-c", peer.uses or f"import {peer.module}"]
        self.asyncio = [program, "-c", "import asyncio"]

    def times(self) -> Iterator[tuple[str, float]]:
        spent(self.full)  # so that bytecode and the files are there
        bare: list[tuple[float, float]] = []
        full: list[tuple[float, float]] = []
        used: list[tuple[float, float]] = []
        loop: list[tuple[float, float]] = []
        for _ in range(IMPORTS):
            bare.append(spent(self.bare))
            full.append(spent(self.full))
            if not self.node:
                used.append(spent(self.used))
                loop.append(spent(self.asyncio))
        wall, cpu = medians(bare)
        full_wall, full_cpu = medians(full)
        yield "interpreter_ms", wall
        yield "import_ms", full_wall - wall
        yield "import_cpu_ms", full_cpu - cpu
        if loop:
            yield "used_import_cpu_ms", medians(used)[1] - cpu
            yield "asyncio_import_cpu_ms", medians(loop)[1] - cpu
            sums = [own_time(self.full) - own_time(self.bare) for _ in range(FIRSTS)]
            yield "importtime_ms", statistics.median(sums) / 1e3

    def memory(self) -> float:
        """Give what importing adds, in MiB."""
        full, bare = (float(output(c)) for c in (self.full_rss, self.bare_rss))
        return (full - bare) / 1024


def spent(command: list[str]) -> tuple[float, float]:
    """Run a program; give its time on the wall and of the processor, in ms."""
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603  of the registry
        command, env=plain_environment(), stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return took * 1e3, (used.ru_utime + used.ru_stime) * 1e3


def medians(samples: list[tuple[float, float]]) -> tuple[float, float]:
    walls, cpus = zip(*samples, strict=True)
    return statistics.median(walls), statistics.median(cpus)


def output(command: list[str]) -> bytes:
    return subprocess.check_output(command, env=plain_environment(), timeout=LATE)  # noqa: S603  as above


def own_time(command: list[str]) -> int:
    """Give the sum of what each module takes by itself, in us."""
    program, *code = command
    done = subprocess.run(  # noqa: S603  as above
        [program, "-X", "importtime", *code],
        env=plain_environment(),
        stderr=subprocess.PIPE,
        check=True,
        text=True,
    )
    times = (
        line.split(":")[1].split("|")[0].strip()
        for line in done.stderr.splitlines()
        if "|" in line
    )
    return sum(int(each) for each in times if each.isdecimal())


def closure(peer: Peer) -> tuple[int, int | None]:
    """Give how many packages a peer brings, and the bytes of all; None: unknown."""
    if peer.node:
        return node_closure(ENVIRONMENTS / peer.environment, peer.distribution)
    found = output([peer.interpreter, "-c", CLOSURE, peer.distribution])
    count, size = json.loads(found)
    return count, size


def node_closure(root: Path, first: str) -> tuple[int, int]:
    seen: dict[str, int] = {}
    todo = [first]
    while todo:
        name = todo.pop()
        folder = root / "node_modules" / name
        if name in seen or not folder.is_dir():
            continue
        seen[name] = sum(f.lstat().st_size for f in folder.rglob("*") if f.is_file())
        described = json.loads((folder / "package.json").read_text("utf-8"))
        todo += described.get("dependencies", {})
    return len(seen) - 1, sum(seen.values())


def first_steps(peer: Peer) -> Iterator[tuple[str, float]]:
    """Start processes that make one step durable."""
    firsts: list[float] = []
    ends: list[float] = []
    for _ in range(FIRSTS):
        with tempfile.TemporaryDirectory(prefix="edgebench-") as data:
            began = time.time()
            out = subprocess.check_output(  # noqa: S603  as above
                [*peer.command, "first"],
                env=peer.started_with(data, began),
                timeout=LATE,
            )
            ends.append(time.time() - began)
        firsts += [
            json.loads(line)["value"]
            for line in out.splitlines()
            if b"first_step_s" in line
        ]
    yield "first_step_s", statistics.median(firsts)
    yield "process_s", statistics.median(ends)


def measure(peer: Peer) -> Iterator[tuple[str, float]]:
    """Give each metric of S6 and its value."""
    imports = Imports(peer)
    yield from imports.times()
    yield "import_rss_mib", imports.memory()
    count, size = closure(peer)
    yield "dependencies", count
    if size is not None:
        yield "installed_mib", size / 2**20
    yield from first_steps(peer)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        for metric, value in measure(PEERS[each]):
            emit(each, "s6", metric, value)
