"""A nightly digest as a program: cron starts it, and it goes on where it stopped.

    python digest.py '{"day": "2026-11-29", "sources": ["mail", "news", "chat"]}'

The same event again goes on with the same digest. Each minute a second cron job runs
what is due by then: see crontab. `kill -9` it as you like: it goes on after its lease
(`lease` in edgeflow.toml), or at once by `edgeflow run digest.py --id 2026-11-29`.
"""

import asyncio
import sys
from dataclasses import dataclass
from datetime import timedelta

from edgeflow import App, Context, Retry, current_step, step

app = App()  # settings: edgeflow.toml beside this file


@dataclass
class Digest:
    day: str
    sources: list[str]


@step(retry=Retry(attempts=5))
async def fetch(source: str) -> list[str]:
    for _ in range(20):  # stands for slow pages
        if current_step().stopping:
            break  # the process is to end: what we have by now is good enough
        await asyncio.sleep(0.02)
    return [f"{source}: all quiet"]


@step
async def send(day: str, lines: list[str]) -> str:
    print(f"sending the digest of {day}: {len(lines)} lines", file=sys.stderr)
    return current_step().key  # for whoever sends: the same in every attempt


@app.handler(id="day")
async def digest(ctx: Context, event: Digest) -> str:
    """Fetch all sources, wait for stragglers, send one mail."""
    pages = await ctx.map(fetch, event.sources, limit=2)
    await ctx.sleep(timedelta(seconds=1))  # ends this process: exit code 3
    return await send(event.day, [line for page in pages for line in page])


if __name__ == "__main__":
    sys.exit(digest())
