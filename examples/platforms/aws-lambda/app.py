"""An order on AWS Lambda: it is charged, packed by a person, and shipped.

    python invoke.py '{"order_id": "o-1", "cents": 4200}'

runs it on this machine; README.md says how it is deployed.
"""

from dataclasses import dataclass
from datetime import timedelta

from edgeflow import App, Context, ReceiveTimeout, Retry, current_step, step

app = App()  # settings: edgeflow.toml beside this file, and template.yaml


@dataclass
class Order:
    order_id: str
    cents: int


@step(retry=Retry(attempts=5))
async def charge(order: Order) -> str:
    print(f"charging {order.cents} cents for {order.order_id}")
    return current_step().key  # for whoever charges: the same in every attempt


@charge.undo
async def refund(payment: str) -> None:
    print(f"giving back {payment}")


@step
async def ship(order: Order) -> None:
    print(f"shipping {order.order_id}")


@app.handler(id="order_id")
async def checkout(ctx: Context, order: Order) -> str:
    """Sell something. Between two steps no function runs, and nothing is billed."""
    await charge(order)
    try:
        await ctx.receive("packed", timeout=timedelta(days=3))
    except ReceiveTimeout:
        raise RuntimeError("nobody packed it") from None  # refunds
    await ctx.sleep(timedelta(seconds=1))
    await ship(order)
    return "shipped"
