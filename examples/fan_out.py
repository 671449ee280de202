"""Fan-out and fan-in: count the words of many files, four at a time, and add up.

    uv run examples/fan_out.py [FOLDER]

Kill it half-way and give the same command again: what was counted is not counted
again. A file that is no text is borne, and reported.
"""

import asyncio
import sys
import time
from pathlib import Path

from edgeflow import App, Context, FatalError, step

app = App("sqlite:///fan_out.db")
PAUSE = 0.1  # seconds, so that there is something to see, and to kill


@step
def list_files(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).glob("*") if path.is_file())


@step
def count_words(file: str) -> int:
    time.sleep(PAUSE)
    try:
        words = len(Path(file).read_text(encoding="utf-8").split())
    except UnicodeDecodeError:
        raise FatalError("this is no text") from None
    print(f"{words:8} {Path(file).name}\n", end="", flush=True)  # one of four threads
    return words


@step
async def add_up(counts: list[int | None]) -> int:
    return sum(count or 0 for count in counts)


@step
async def name_unread(files: list[str], counts: list[int | None]) -> list[str]:
    found = zip(files, counts, strict=True)
    return [Path(file).name for file, count in found if count is None]


@app.workflow
async def survey(ctx: Context, folder: str) -> str:
    files = await list_files(folder)
    counts = await ctx.map(count_words, files, limit=4, max_failed=len(files))
    found = await ctx.join(total=add_up(counts), unread=name_unread(files, counts))
    names = ", ".join(found["unread"]) or "none"
    return f"{found['total']:8} in {len(files)} files; no text: {names}"


if __name__ == "__main__":
    folder = str(Path(sys.argv[1] if sys.argv[1:] else Path(asyncio.__file__).parent))
    print(asyncio.run(app.run(survey, folder, id=folder)))
