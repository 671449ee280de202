"""Settle a week of card payments: add them up, get an approval, pay the shops.

    uv run examples/settle.py

Kill it when you like, `kill -9` included, and give the same command again: it goes
on where it was, and no shop is paid twice.
"""

import argparse
import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bank import Bank, euros, open_bank, read_payments, tell

from edgeflow import App, Context, EdgeflowError, Retry, current_step, step

CHUNK = 25
DATA = str(Path(__file__).parent / "data" / "payments.csv")
REPORT = "settlement.txt"
RETRY = Retry(attempts=10, first=0.1)

app = App(lifespan=open_bank)  # its memory is ./edgeflow.db


@dataclass
class Job:
    file: str
    count: int  # of payments in it
    pace: float  # seconds between two chunks of them


@dataclass
class Approval:
    by: str


@app.workflow
async def settle(ctx: Context, job: Job) -> str:
    totals: dict[str, int] = {}
    for start in range(0, job.count, CHUNK):
        totals = await add_up(job.file, start)
        done = min(start + CHUNK, job.count)
        await ctx.status(f"{euros(sum(totals.values()))} of {done} payments")
        await ctx.sleep(job.pace)
    approval = await ctx.receive("approval", type=Approval)
    await ctx.status(f"approved by {approval.body.by}")
    await ctx.sleep(3 * job.pace)  # time to think better of it
    await asyncio.gather(*(pay(shop, cents) for shop, cents in totals.items()))
    return await write_report()


@step(retry=RETRY)
def add_up(file: str, start: int) -> dict[str, int]:
    """Add a chunk of payments to the totals of the shops, in euro cents."""
    payments = read_payments(file)[start : start + CHUNK]
    tell(f"add_up payments {start + 1} to {start + len(payments)}")
    bank: Bank = current_step().resources
    state = current_step().state  # its changes become durable with the result
    totals: dict[str, int] = state.setdefault("totals", {})
    aside: list[str] = state.setdefault("aside", [])
    for payment, cents in zip(payments, bank.convert(payments), strict=True):
        if cents is None:
            aside.append(f"{payment.id} in {payment.currency}")
        else:
            totals[payment.shop] = totals.get(payment.shop, 0) + cents
    return totals


@step(retry=RETRY)
def pay(shop: str, cents: int) -> None:
    """Pay a shop. The key is the same in every attempt, so the bank pays once."""
    tell(f"pay {shop} {euros(cents)}")
    bank: Bank = current_step().resources
    bank.transfer(current_step().key, shop, cents)


@step
def write_report() -> str:
    """Write the report, in whole or not at all."""
    tell(f"write_report {REPORT}")
    state = current_step().state
    lines = [f"{shop:20}{euros(cents):>16}" for shop, cents in state["totals"].items()]
    lines += [f"set aside: {payment}" for payment in state["aside"]]
    report = "\n".join(lines) + "\n"
    new = Path(f"{REPORT}.new")
    new.write_text(report, encoding="utf-8")
    new.replace(REPORT)
    return report


async def approve(name: str, *, wait: bool) -> None:
    """Approve what the workflow asks for, or tell how to."""
    info = await app.handle(name).info()
    while "approval" not in info.awaiting:
        await asyncio.sleep(0.1)
        info = await app.handle(name).info()
    print(f"To be approved: {info.progress}", flush=True)
    if wait:
        command = f"""uv run edgeflow send {name} approval '{{"by": "you"}}'"""
        print(f"  {command}", flush=True)
    else:
        await app.handle(name).send("approval", {"by": "the example"}, id="approval")


async def main(name: str, job: Job, *, wait: bool) -> str:
    handle = await app.start(settle, job, id=name)  # or find what an earlier run left
    info = await handle.info()
    print(f"Settling {name!r}, {info.progress or 'new'}; I am process {os.getpid()}.")
    approving = asyncio.create_task(approve(name, wait=wait))
    report = await app.run(settle, job, id=name)
    approving.cancel()
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Settle card payments.")
    parser.add_argument("file", nargs="?", default=DATA, help="payments as CSV")
    parser.add_argument("--id", help="of the settlement (default: the file's name)")
    parser.add_argument("--pace", type=float, default=0.3, help="seconds a chunk")
    parser.add_argument("--wait", action="store_true", help="for an approval by you")
    args = parser.parse_args()
    try:
        job = Job(args.file, len(read_payments(args.file)), args.pace)
        name = args.id or Path(args.file).stem
        print(asyncio.run(main(name, job, wait=args.wait)))
        print(f"Written to {Path(REPORT).resolve()}")
    except (OSError, EdgeflowError) as error:
        sys.exit(f"settle.py: {error}")
    except KeyboardInterrupt:
        sys.exit("settle.py: stopped; the same command goes on")
