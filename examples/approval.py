"""Approval gate: a payment waits for a person, for two days at most.

    uv run examples/approval.py

The program plays the person too. To be that person yourself, add --wait: it says how.
Kill it while it waits, and give the command again: the two days go on.
"""

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from edgeflow import App, Context, InstanceFinished, ReceiveTimeout, step

app = App("sqlite:///approval.db")


@dataclass
class Decision:
    by: str
    approved: bool


@step
async def pay(invoice: str, euros: int) -> None:
    print(f"paying {euros} EUR for {invoice}", flush=True)


@app.workflow
async def pay_invoice(ctx: Context, euros: int) -> str:
    try:
        answer = await ctx.receive("decision", type=Decision, timeout=timedelta(days=2))
    except ReceiveTimeout:
        return "nobody decided in time"
    if not answer.body.approved:
        return f"declined by {answer.body.by}"
    await pay(ctx.id, euros)
    return f"paid, approved by {answer.body.by}"


async def main(invoice: str) -> str:
    paying = asyncio.create_task(app.run(pay_invoice, 420, id=invoice))
    if "--wait" in sys.argv:
        decision = """'{"by": "you", "approved": true}'"""
        command = f"edgeflow send {invoice} decision {decision} --app {__file__}"
        print(f"uv run {command}", flush=True)
    else:
        print(f"May {invoice} be paid?", flush=True)
        await asyncio.sleep(1)
        with suppress(InstanceFinished):  # it was, when the program ran before
            yes = Decision(by="Ada", approved=True)
            await app.handle(invoice).send("decision", yes, id="by-ada")
    return await paying


if __name__ == "__main__":
    print(asyncio.run(main("invoice-7")))
