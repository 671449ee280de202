"""Timeout with fallback: a slow oracle against the clock, in a race.

    uv run examples/fallback.py

The loser of a race is really stopped: the request of the oracle is cancelled at once,
not left to run behind the scenes, and a loser that has not begun never does.
"""

import asyncio

from edgeflow import App, Context, step

app = App("sqlite:///fallback.db")


@step
async def ask_the_oracle(question: str) -> str:
    print(f"oracle: {question} Let me think.", flush=True)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("oracle: I was told to stop", flush=True)
        raise
    return "42"


@step
async def guess(question: str) -> str:
    return f"{question} Perhaps 7."


@app.workflow
async def answer(ctx: Context, question: str) -> str:
    winner = await ctx.race(oracle=ask_the_oracle(question), late=ctx.sleep(1))
    if winner.name == "late":
        return f"{await guess(question)} (A guess: the oracle took too long.)"
    return str(winner.value)


if __name__ == "__main__":
    question = "What is six times nine?"
    print(asyncio.run(app.run(answer, question, id="six-times-nine")))
