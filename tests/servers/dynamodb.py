"""What stands in for DynamoDB: moto, as a server with its data in memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.servers.server import LOOPBACK, answers

if TYPE_CHECKING:
    from pathlib import Path

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
}
"""What a client wants to be told; nobody checks it."""


class Dynamodb:
    """One server; a killed one has lost everything."""

    def prepare(self, folder: Path) -> None:
        pass

    def command(self, folder: Path, port: int) -> list[str]:
        return [sys.executable, "-m", "tests.servers.moto_in_turn", str(port)]

    def is_ready(self, port: int) -> bool:
        return answers(port, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.")


def url(port: int) -> str:
    """Name the endpoint as a client does."""
    return f"http://{LOOPBACK}:{port}"
