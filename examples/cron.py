"""Cron bridge: a program that runs what is due, and ends.

    uv run examples/cron.py

Give the command again and again, as cron would, every minute, with this line:

    * * * * * cd /srv/reminders && uv run cron.py

Each call begins the reminders of the day, if nobody did, and drives every instance
that is due. No process stays; what waits costs nothing. `edgeflow run-due --app
cron.py` does the same without a program of your own.
"""

import asyncio
from datetime import UTC, datetime

from edgeflow import App, Context, step

app = App("sqlite:///cron.db")


@step
async def remind(what: str, time: int) -> None:
    print(f"reminder {time}: {what}", flush=True)


@app.workflow
async def reminders(ctx: Context, what: str) -> str:
    for time in (1, 2, 3):
        await remind(what, time)
        await ctx.sleep(1)
    return "reminded three times"


async def main() -> None:
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    handle = await app.start(reminders, "water the plants", id=today)
    for outcome in await app.run_due():
        print(f"ran one: {outcome.status}")
    info = await handle.info()
    if info.wake_at is None:
        print(f"{today}: {info.output}")
    else:
        print(f"{today}: due at {datetime.fromtimestamp(info.wake_at, UTC):%H:%M:%S}")


if __name__ == "__main__":
    asyncio.run(main())
