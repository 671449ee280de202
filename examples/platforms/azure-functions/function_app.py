"""Invoices on Azure Functions: who does not pay is reminded, three times."""

from dataclasses import dataclass
from datetime import timedelta

import azure.functions as func

from edgeflow import App, Context, ReceiveTimeout, step

invoices = App()


@dataclass
class Bill:
    number: str
    customer: str
    days: float = 14


@step
async def mail(bill: Bill, text: str) -> None:
    print(f"to {bill.customer}: {text} {bill.number}", flush=True)


@invoices.handler(id="number")
async def invoice(ctx: Context, bill: Bill) -> str:
    """Collect money."""
    await mail(bill, "please pay")
    for reminder in range(1, 4):
        try:
            await ctx.receive("paid", timeout=timedelta(days=bill.days))
        except ReceiveTimeout:
            await mail(bill, f"reminder {reminder} for")
        else:
            return "paid"
    return "to the lawyer"


app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.route(route="invoice/{*path}")(invoice)

# By this queue edgeflow has itself woken; the timer finds what a wake-up has missed.
wakes = app.queue_trigger("req", "edgeflow-wakes", connection="AzureWebJobsStorage")  # pyright: ignore[reportUnknownMemberType]  it takes untyped options
app.function_name("invoice_wakes")(wakes(invoice))
due = app.timer_trigger(arg_name="req", schedule="0 * * * * *")
app.function_name("invoice_due")(due(invoice))
