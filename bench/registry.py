"""Which peers there are: where each lives, what it runs, what it needs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = Path(os.environ.get("EDGEBENCH_PEERS") or HERE / ".peers").resolve()
"""The folder of the peers' environments."""
SCENARIOS = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "parked")
OURS = ("edgeflow-", "floor-")
"""What names of peers of ours begin with."""


@dataclass(frozen=True, eq=False)
class Peer:
    """One engine, as one script runs it."""

    name: str
    environment: str
    """A folder of `ENVIRONMENTS`."""
    script: str
    module: str
    """What a user imports; S6 measures that."""
    distribution: str
    scenarios: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """For its process; `{run}` is a name that is new for each."""
    needs: str | None = None
    """A variable that says where its server is."""
    uses: str | None = None
    """What a program begins with, where importing the module alone loads hardly any."""
    floor: str = "floor-hop-full"
    """What it is compared to in the plot."""

    @property
    def ours(self) -> bool:
        return self.name.startswith(OURS)

    @property
    def node(self) -> bool:
        return self.script.endswith(".mjs")

    @property
    def interpreter(self) -> str:
        """Give what runs the script; the one that runs us, for ours without one."""
        if self.node:
            return which("node") or "node"
        own = ENVIRONMENTS / self.environment / "bin" / "python"
        return sys.executable if self.ours and not own.exists() else str(own)

    @property
    def command(self) -> list[str]:
        return [self.interpreter, str(HERE / self.script)]

    def started_with(self, data: str, began: float) -> dict[str, str]:
        """Give the variables of its process.

        Args:
            data: the folder for its data.
            began: when the process is started, in s since the epoch.
        """
        run = os.path.basename(data).replace("-", "_")  # noqa: PTH119  a text
        variables = {
            key: value.format(run=run) for key, value in self.variables.items()
        }
        return (
            plain_environment()
            | variables
            | {
                "EDGEBENCH_DATA": data,
                "EDGEBENCH_T0": str(began),
            }
        )


def plain_environment() -> dict[str, str]:
    """Give the variables of each process: ours, with `workload`, and with bytecode."""
    variables = {**os.environ, "PYTHONPATH": str(HERE)}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def without(left_out: Collection[str]) -> tuple[str, ...]:
    return tuple(s for s in SCENARIOS if s not in left_out and s != "parked")


def floor(kind: str, *left_out: str) -> Peer:
    return Peer(
        f"floor-{kind}",
        environment="edgeflow",  # so that both have the same aiosqlite and orjson
        script="peers/floor_peer.py",
        module="aiosqlite",
        distribution="aiosqlite",
        scenarios=without(left_out),
        variables={"EDGEBENCH_FLOOR": kind},
        floor=f"floor-{kind}",
    )


def edgeflow(store: str, *left_out: str, floor: str = "floor-hop-full") -> Peer:
    return Peer(
        f"edgeflow-{store}",
        environment="edgeflow",
        script="edgeflow_peer.py",
        module="edgeflow",
        distribution="edgeflow-durable",
        scenarios=tuple(s for s in SCENARIOS if s not in left_out),
        variables={"EDGEBENCH_EDGEFLOW": store},
        needs="PG_DSN" if store == "postgres" else None,
        uses="from edgeflow import App, Context, step, workflow",
        floor=floor,
    )


def dbos(kind: str, *left_out: str, needs: str | None = None, **variables: str) -> Peer:
    return Peer(
        f"dbos-{kind}",
        environment="dbos",
        script="peers/dbos_peer.py",
        module="dbos",
        distribution="dbos",
        scenarios=without({"s2", *left_out}),
        variables=variables,
        needs=needs,
    )


def langgraph(mode: str, *left_out: str) -> Peer:
    return Peer(
        f"langgraph-{mode}",
        environment="langgraph",
        script="peers/langgraph_peer.py",
        module="langgraph.func",
        distribution="langgraph-checkpoint-sqlite",
        scenarios=without({"s7", *left_out}),
        variables={"EDGEBENCH_DURABILITY": mode},
    )


def aws(store: str, *left_out: str, floor: str = "floor-hop-full") -> Peer:
    return Peer(
        f"aws-local-{store}",
        environment="aws",
        script="peers/aws_peer.py",
        module="aws_durable_execution_sdk_python",
        distribution="aws-durable-execution-sdk-python",
        scenarios=without({"s2", *left_out}),
        variables={"EDGEBENCH_AWS_STORE": store},
        floor=floor,
    )


def rivet(driver: str, *left_out: str, floor: str = "floor-memory") -> Peer:
    return Peer(
        f"rivet-{driver}",
        environment="rivet",
        script="peers/rivet_peer.mjs",
        module="@rivetkit/workflow-engine",
        distribution="@rivetkit/workflow-engine",
        scenarios=without(left_out),
        variables={
            "EDGEBENCH_RIVET_DRIVER": driver,
            "EDGEBENCH_RIVET_MODULES": str(ENVIRONMENTS / "rivet"),
        },
        floor=floor,
    )


SERVER = os.environ.get("PG_DSN", "").rpartition("/")[0]

PEERS = {
    peer.name: peer
    for peer in (
        floor("memory", "s6"),
        floor("inthread-full", "s2", "s6"),
        floor("tick-full", "s2", "s6"),
        floor("tick-normal", "s2", "s6"),
        floor("hop-full"),
        floor("hop-normal", "s2", "s6"),
        edgeflow("memory", floor="floor-memory"),
        edgeflow("sqlite-full"),
        edgeflow("sqlite-normal", floor="floor-hop-normal"),
        edgeflow("postgres"),
        dbos("sqlite"),
        dbos("sqlite-wal", "s4", "s5", "s6", EDGEBENCH_DBOS_WAL="1"),
        dbos("pg", needs="PG_DSN", EDGEBENCH_DBOS_URL=f"{SERVER}/{{run}}"),
        langgraph("sync", "s2"),
        langgraph("async", "s1"),
        langgraph("exit", "s1", "s4", "s6"),
        aws("memory", floor="floor-memory"),
        aws("sqlite", "s6"),
        Peer(
            "resonate-local",
            environment="resonate",
            script="peers/resonate_peer.py",
            module="resonate.resonate",
            distribution="resonate-sdk",
            scenarios=without({"s2"}),
            floor="floor-memory",
        ),
        Peer(
            "absurd-pg",
            environment="absurd",
            script="peers/absurd_peer.py",
            module="absurd_sdk",
            distribution="absurd-sdk",
            scenarios=without({"s2"}),
            needs="PG_DSN",
        ),
        Peer(
            "restate",
            environment="restate",
            script="peers/restate_peer.py",
            module="restate",
            distribution="restate-sdk",
            scenarios=without({"s2"}),
            needs="RESTATE_INGRESS",
        ),
        rivet("memory", "s6"),
        rivet("testing", "s4", "s5", "s6", "s8"),
        rivet("sqlite", floor="floor-hop-full"),
    )
}
