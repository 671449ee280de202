"""What the README says of fleets is done, with PostgreSQL."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.platforms.serving import wait_for
from tests.servers.postgres import url

if TYPE_CHECKING:
    from tests.servers.server import Server

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).parent / "edgeflow")
SHOP = """
from edgeflow import App, Context, step

app = App("sqlite:///shop.db")

@step
async def charge(order: str) -> str:
    print("charged", file=open("effects", "a"))
    return order

@app.workflow
async def sell(ctx: Context, order: str) -> str:
    paid = await charge(order)
    await ctx.receive("shipped")
    return paid
"""


@pytest.mark.timeout(90)
def test_the_commands_for_fleets_work_one_after_the_other(
    tmp_path: Path, postgres_server: Server
) -> None:
    # P-02 N-01: an instance that waits in a file goes on in a fleet
    readme = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (commands,) = [block for block in blocks if block.startswith("edgeflow doctor")]
    ours = f"{url(postgres_server.port)}?ns={tmp_path.name}"
    lines = commands.replace("postgres://db.internal/shop", ours).splitlines()
    doctor, serve, copy = (line.replace("edgeflow", COMMAND, 1) for line in lines)
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")

    def run(line: str) -> str:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.returncode, done.stderr
        return done.stdout + done.stderr

    assert "tried out: a second start" in " ".join(run(doctor).split())
    subprocess.run(
        [COMMAND, "run", "shop:sell", "--id", "o-1", "--input", '"o-1"', "--once"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert "1 copied" in run(copy)
    run(f"{COMMAND} send o-1 shipped --store '{ours}'")
    with subprocess.Popen(
        [*serve.split(), "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as worker:
        wait_for(lambda: "completed" in run(f"{COMMAND} ls --store '{ours}'"), 30)
        worker.send_signal(signal.SIGTERM)

    assert worker.returncode == 0
    assert (tmp_path / "effects").read_text("utf-8") == "charged\n"
