"""What `settle.py` needs of the world: a file of payments, and a bank.

The bank is an HTTP server of this process that refuses every third request. It moves
money once for each idempotency key, and remembers that in a file of its own.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import threading
import time
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeflow import FatalError, current_step

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

FILE = "bank.db"
LATENCY = 0.03  # seconds that each request takes
RATES = {
    "CHF": "1.04",
    "EUR": "1",
    "GBP": "1.17",
    "JPY": "0.0061",
    "SEK": "0.09",
    "USD": "0.92",
}


def tell(what: str) -> None:
    """Print what a step begins to do; also into the file SETTLE_LOG, if it is set."""
    line = f"  {what}, attempt {current_step().attempt}\n"
    print(line, end="", flush=True)
    if "SETTLE_LOG" in os.environ:
        with Path(os.environ["SETTLE_LOG"]).open("a", encoding="utf-8") as log:
            log.write(line)


def euros(cents: int) -> str:
    return f"{cents / 100:,.2f} EUR"


class Payment(NamedTuple):
    id: str
    shop: str
    amount: int
    """In hundredths of the currency; below zero if it was a refund."""
    currency: str


def read_payments(file: str) -> list[Payment]:
    """Read a file of payments.

    Raises:
        OSError: if it cannot be read.
        FatalError: if there is none in it, or a line is none; names the line.
    """
    with Path(file).open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        try:
            payments = [payment(row) for row in rows]
        except (ArithmeticError, KeyError, TypeError, ValueError, csv.Error):
            place = f"{file}, line {rows.line_num}"
            raise FatalError(f"{place}: this is no payment") from None
    if not payments:
        raise FatalError(f"{file}: there are no payments in it")
    return payments


def payment(row: dict[str | None, Any]) -> Payment:
    if None in row or None in row.values():
        raise ValueError("too many fields, or too few")
    amount = round(Decimal(row["amount"]) * 100)
    return Payment(row["payment"], row["shop"], amount, row["currency"])


class Bank:
    """The client: what the steps of the example find as their resource."""

    def __init__(self, address: tuple[str, int]) -> None:
        """Speak to the server at `address`."""
        self._address = address

    def convert(self, payments: list[Payment]) -> list[int | None]:
        """Give each amount in euro cents; None: the currency is not known."""
        amounts = [(payment.currency, payment.amount) for payment in payments]
        converted: list[int | None] = self._post("/convert", [amounts])
        return converted

    def transfer(self, key: str, shop: str, cents: int) -> None:
        """Pay a shop, once for each `key`."""
        self._post("/transfer", [key, shop, cents])

    def _post(self, path: str, body: object) -> Any:
        with closing(HTTPConnection(*self._address, timeout=5)) as connection:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            if answer.status != 200:  # noqa: PLR2004
                raise ConnectionError(f"the bank says {answer.status} {answer.reason}")
            return json.load(answer)


class Teller(BaseHTTPRequestHandler):
    """The server's side of one request."""

    requests = count(1)

    def do_POST(self) -> None:
        """Answer, or refuse."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(LATENCY)
        if next(self.requests) % 3 == 0:
            self.send_error(503)
            return
        answer: object = None
        if self.path == "/convert":
            answer = convert(*body)
        else:
            transfer(*body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def convert(amounts: list[tuple[str, int]]) -> list[int | None]:
    return [
        round(amount * Decimal(RATES[currency])) if currency in RATES else None
        for currency, amount in amounts
    ]


def transfer(key: str, shop: str, cents: int) -> None:
    with closing(sqlite3.connect(FILE)) as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS transfers (key PRIMARY KEY, shop, cents)"
        )
        row = (key, shop, cents)
        db.execute("INSERT OR IGNORE INTO transfers VALUES (?, ?, ?)", row)


@asynccontextmanager
async def open_bank() -> AsyncGenerator[Bank]:
    """Open the bank for the time of this process, on a free port."""
    with ThreadingTCPServer(("127.0.0.1", 0), Teller) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        try:
            yield Bank(("127.0.0.1", server.server_address[1]))
        finally:
            server.shutdown()
