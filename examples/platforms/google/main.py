"""A trial on Cloud Run: it ends after some days, unless the customer buys before."""

from dataclasses import dataclass
from datetime import timedelta

from edgeflow import App, Context, ReceiveTimeout, step

app = App()


@dataclass
class Customer:
    name: str
    days: float = 14


@step
async def mail(customer: Customer, text: str) -> None:
    print(f"to {customer.name}: {text}", flush=True)


@app.handler(id="name")
async def trial(ctx: Context, customer: Customer) -> str:
    """Let somebody try what we sell."""
    await mail(customer, "welcome")
    patience = timedelta(days=customer.days)
    try:
        bought = await ctx.receive("bought", type=str, timeout=patience)
    except ReceiveTimeout:
        await mail(customer, "your trial has ended")
        return "ended"
    await mail(customer, f"thank you for buying {bought.body}")
    return "bought"
