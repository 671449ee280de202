"""A shop behind any ASGI server: what is dear, a person has to approve."""

from dataclasses import dataclass
from datetime import timedelta

from edgeflow import App, Context, ReceiveTimeout, step
from edgeflow.platform import Action, Request

app = App()
DEAR = 100  # euros


@dataclass
class Order:
    order_id: str
    euros: int


@step
async def charge(order: Order) -> None:
    print(f"charging {order.euros} EUR for {order.order_id}", flush=True)


@step
async def ship(order: Order) -> None:
    print(f"shipping {order.order_id}", flush=True)


def may(request: Request, action: Action) -> bool:
    """Let anyone order, and look; all else takes the secret."""
    return request.authenticated or action.kind in {"start", "look"}


@app.handler(id="order_id", authorize=may)
async def checkout(ctx: Context, order: Order) -> str:
    """Sell something."""
    if order.euros > DEAR:
        try:
            answer = await ctx.receive("approval", type=bool, timeout=timedelta(days=2))
        except ReceiveTimeout:
            return "nobody approved it in time"
        if not answer.body:
            return "declined"
    await charge(order)
    await ctx.sleep(timedelta(seconds=1))  # or days: whoever ordered has their answer
    await ship(order)
    return "shipped"
