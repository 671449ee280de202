"""Poll with back-off: ask for a result, less and less often, until it is there.

    uv run examples/polling.py

Between two looks the instance only waits: it may be for days, and the process need
not live that long. The delay is the loop's state; turns that are over are pruned.
"""

import asyncio
import time

from edgeflow import App, Context, Stop, step

app = App("sqlite:///polling.db")


@step
async def order_export() -> float:
    """Order it from a service; this one says when it will be ready."""
    print("ordered an export", flush=True)
    return time.time() + 2.5


@step
async def look(ready_at: float) -> str | None:
    is_ready = time.time() >= ready_at
    print("it is ready" if is_ready else "not yet", flush=True)
    return "https://example.org/export.csv" if is_ready else None


@app.workflow
async def export(ctx: Context) -> str:
    ready_at = await order_export()

    async def turn(delay: float) -> float | Stop[str]:
        url = await look(ready_at)
        if url is not None:
            return Stop(url)
        await ctx.status(f"looking again in {delay:g} s")
        await ctx.sleep(delay)
        return min(2 * delay, 60)

    return await ctx.loop("polling", turn, state=0.2)


if __name__ == "__main__":
    print(asyncio.run(app.run(export, id="export")))
