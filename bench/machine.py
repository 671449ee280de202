"""Where a run took place: the machine, the versions, and which peers were missing."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from registry import ENVIRONMENTS, HERE, plain_environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry import Peer

PROBE = """
import importlib, json, os, platform, sys
from importlib.metadata import version
_, module, distribution, store = sys.argv
importlib.import_module(module)
if store == "PG_DSN":
    import psycopg
    with psycopg.connect(os.environ[store]) as db:
        store = "PostgreSQL " + db.execute("SHOW server_version").fetchone()[0]
elif not store:
    import sqlite3
    store = "SQLite " + sqlite3.sqlite_version
print(json.dumps({
    "version": version(distribution),
    "runtime": platform.python_implementation() + " " + platform.python_version(),
    "store": store,
}))
"""
NODE_PROBE = """
const { createRequire } = require("node:module");
const load = createRequire(process.argv[1] + "/index.js");
load("@rivetkit/workflow-engine/testing");
const db = new (load("better-sqlite3"))(":memory:");
const described = "/node_modules/@rivetkit/workflow-engine/package.json";
console.log(JSON.stringify({
    version: load(process.argv[1] + described).version,
    runtime: "Node " + process.versions.node,
    store: "SQLite " + db.prepare("SELECT sqlite_version()").pluck().get(),
}));
"""


def probe(peer: Peer) -> dict[str, str]:
    """Give the versions of a peer, or `missing`: why it cannot run."""
    if peer.needs and not os.environ.get(peer.needs):
        return {"missing": f"{peer.needs} is not set (start its server: README.md)"}
    folder = ENVIRONMENTS / peer.environment
    if not (peer.ours or folder.is_dir()):
        where = f"EDGEBENCH_PEERS/{peer.environment}"
        return {"missing": f"it is not installed in {where} (README.md says how)"}
    if peer.node:
        command = [peer.interpreter, "-e", NODE_PROBE, str(folder)]
    else:
        what = [peer.module, peer.distribution, peer.needs or ""]
        command = [peer.interpreter, "-c", PROBE, *what]
    try:
        done = subprocess.run(  # noqa: S603  of the registry
            command, env=plain_environment(), capture_output=True, check=True, text=True
        )
    except OSError:
        return {"missing": f"there is no {peer.interpreter} (README.md says how)"}
    except subprocess.CalledProcessError as failed:
        lines = failed.stderr.strip().splitlines() or [f"exit {failed.returncode}"]
        why = next((line for line in reversed(lines) if "Error" in line), lines[-1])
        return {"missing": f"it does not start: {why.strip()}"}
    found: dict[str, str] = json.loads(done.stdout)
    if peer.needs == "RESTATE_INGRESS":
        found["store"] = f"Restate {restate_version()}"
    return found


def restate_version() -> str:
    package = "restate_npm/node_modules/@restatedev/restate-server/package.json"
    try:
        described = json.loads((ENVIRONMENTS / package).read_text("utf-8"))
    except OSError:
        return "of unknown version"
    return str(described["version"])


def describe(peers: Iterable[Peer], scale: float, turns: int) -> dict[str, Any]:
    """Give what the head of a table says, as one line of the results.

    Args:
        peers: the ones that were asked for; what is missing is among them.
        scale: the factor on each count.
        turns: how often each scenario is to run.
    """
    now = datetime.now(UTC)
    return {
        "run": now.isoformat(timespec="seconds"),
        "scale": scale,
        "turns": turns,
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
        "kernel": f"{platform.system()} {platform.release()}",
        "commit": commit(),
        "files": filesystem(tempfile.gettempdir()),
        "fdatasync_us": round(fdatasync_us(), 1),
        "peers": {peer.name: probe(peer) for peer in peers},
    }


def processor() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def commit() -> str:
    """Give the commit of the checkout, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--match="]
    try:
        done = subprocess.run(  # noqa: S603  constant
            command, cwd=HERE, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def filesystem(folder: str) -> str:
    """Give the kind of file system that a folder is on."""
    best, kind = "", "unknown"
    with Path("/proc/mounts").open(encoding="utf-8") as lines:
        for line in lines:
            _, place, found, *_ = line.split()
            if Path(folder).resolve().is_relative_to(place) and len(place) >= len(best):
                best, kind = place, found
    return kind


def fdatasync_us(seconds: float = 0.3) -> float:
    """Give the median time to append 4 KiB and make them durable, in us."""
    took: list[float] = []
    with tempfile.TemporaryFile(buffering=0) as file:
        ends = perf_counter() + seconds
        while perf_counter() < ends:
            file.write(b"x" * 4096)
            began = perf_counter()
            os.fdatasync(file.fileno())
            took.append(perf_counter() - began)
    return statistics.median(took) * 1e6
