"""Four processes, one store, many instances, and processes that end at any moment.

`EDGEFLOW_FLEET=2000` says how many instances there are (default: a few, by store), and
has the figures written down, too. `EDGEFLOW_FLEET_ENDS` says how many processes end
before their time (default: 10, or one for each 50 instances), a third of them by
SIGTERM, the others by SIGKILL. `EDGEFLOW_FLEET_SEED` repeats when.
"""

from __future__ import annotations

import json
import os
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.fleet import Voyage, sail
from tests.servers import postgres, redis

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.server import Server

FULL = os.environ.get("EDGEFLOW_FLEET")
SEED = os.environ.get("EDGEFLOW_FLEET_SEED", "4" if "CI" in os.environ else "")


@dataclass(frozen=True)
class Sea:
    """What a fleet sails on."""

    members: int
    """How many instances, unless it is said."""
    lease: float = 2.0
    """Seconds after which what a killed process ran is taken over."""


SEAS = {
    "sqlite": Sea(120),
    "files": Sea(24, lease=6.0),  # each write is some syncs: slower than the others
    "postgres": Sea(80, lease=4.0),
    "redis": Sea(40, lease=6.0),
}
ENDS = int(os.environ.get("EDGEFLOW_FLEET_ENDS", str(max(10, int(FULL or 0) // 50))))
LIMIT = 90.0 + int(FULL or 0) / 2


def url_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Name an empty store."""
    match kind:
        case "sqlite":
            return f"sqlite:///{folder}/fleet.db"
        case "files":
            return f"files:///{folder}/fleet"
        case _:
            server: Server = request.getfixturevalue(f"{kind}_server")
            port = server.port
            place = postgres.url(port) if kind == "postgres" else redis.url(port)
            return f"{place}?ns=fleet{os.urandom(4).hex()}"


def write_down(config: pytest.Config, kind: str, figures: dict[str, Any]) -> None:
    """Print the figures; if the fleet is a big one, keep them where pytest keeps."""
    line = json.dumps({"store": kind, **figures})
    sys.stdout.write(f"{line}\n")
    if FULL is not None:
        path = config.cache.mkdir("fleet") / "figures.jsonl"
        with path.open("a", encoding="utf-8") as results:
            results.write(f"{line}\n")
        sys.stdout.write(f"written to {path}\n")


@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("kind", SEAS)
async def test_a_fleet_whose_processes_end_loses_and_repeats_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    # N-15 N-16 G3 G4 G7 G8 G10 G11
    seed = int(SEED or random.randrange(10**6))
    sea = SEAS[kind]
    members = int(FULL or sea.members)
    words = f"EDGEFLOW_FLEET={members} EDGEFLOW_FLEET_ENDS={ENDS}"
    again = f"{words} EDGEFLOW_FLEET_SEED={seed} uv run pytest tests/fleet -k {kind}"
    sys.stdout.write(f"{again}\n")
    voyage = Voyage(
        url=url_of(kind, request, tmp_path),
        folder=tmp_path,
        members=members,
        ends=ENDS,
        lease=sea.lease,
        seed=seed,
        limit=LIMIT,
    )

    landfall = await sail(voyage)

    write_down(request.config, kind, {"seed": seed, **landfall.figures})
    assert not landfall.complaints, "\n".join([*landfall.complaints[:20], again])
