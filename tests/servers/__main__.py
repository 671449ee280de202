"""`python -m tests.servers` installs the servers that the tests start.

Where all of them are there it does nothing. It knows Debian and its like, and needs
root there, by itself or through sudo; elsewhere it says what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.server import PLACES

PACKAGES = {
    "initdb": "postgresql",
    "redis-server": "redis-server",
    "nats-server": "nats-server",
}


def main() -> int:
    """Install what is missing, or say what is."""
    missing = sorted({p for name, p in PACKAGES.items() if not _is_there(name)})
    if not missing:
        return 0
    root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if shutil.which("apt-get") is None or (root and shutil.which("sudo") is None):
        print(f"the tests need these servers: install {', '.join(missing)}")  # noqa: T201  a program
        return 1
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], install):
        subprocess.run([*root, *command], check=True, env=quiet)
    return 0


def _is_there(name: str) -> bool:
    places = [str(p) for place in PLACES for p in Path("/").glob(place[1:])]
    path = os.pathsep.join([os.environ.get("PATH", ""), *places])
    return shutil.which(name, path=path) is not None


if __name__ == "__main__":
    sys.exit(main())
