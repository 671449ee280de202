"""Reminders on Vercel: each is sent when it is due, though no process lives so long."""

from dataclasses import dataclass
from datetime import timedelta

from edgeflow import App, Context, step

reminders = App()


@dataclass
class Reminder:
    id: str
    text: str
    seconds: float
    times: int = 1


@step
async def send(text: str) -> None:
    print(f"to you: {text}", flush=True)


@reminders.handler(id="id")
async def remind(ctx: Context, reminder: Reminder) -> str:
    """Send a text several times, with pauses before each."""
    for _ in range(reminder.times):
        await ctx.sleep(timedelta(seconds=reminder.seconds))
        await send(reminder.text)
    return f"sent {reminder.times} times"


app = remind  # the name that Vercel looks for
