"""Batch drain: events arrive one by one, and are written in batches.

    uv run examples/batch_drain.py

A turn of the loop takes what is there, 25 events at most, and writes a file. It ends
when no event has come for a second. However often it is killed, no event is lost or
written twice: a message is consumed together with the turn that has it, and a batch
that is written again goes into the same file.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

from edgeflow import App, Context, InstanceFinished, Stop, current_step, step

app = App("sqlite:///batch_drain.db")
FOLDER = Path("batches")


@step
def write_batch(events: list[str]) -> str:
    file = FOLDER / f"{current_step().key[:12]}.txt"  # the same in every attempt
    FOLDER.mkdir(exist_ok=True)
    file.write_text("".join(f"{event}\n" for event in events), encoding="utf-8")
    print(f"wrote {len(events)} events to {file}", flush=True)
    return str(file)


@app.workflow
async def drain(ctx: Context) -> int:
    async def turn(written: int) -> int | Stop[int]:
        batch = await ctx.receive_many("event", limit=25, timeout=1)
        if not batch:
            return Stop(written)
        await write_batch([message.body for message in batch])
        return written + len(batch)

    return await ctx.loop("drain", turn, state=0)


async def produce() -> None:
    with suppress(InstanceFinished):  # the program ran before
        for number in range(120):
            event = f"event {number}"
            await app.handle("drain").send("event", event, id=event)


async def main() -> None:
    total, _ = await asyncio.gather(app.run(drain, id="drain"), produce())
    print(total, "events in all")


if __name__ == "__main__":
    asyncio.run(main())
