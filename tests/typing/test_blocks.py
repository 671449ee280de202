"""What type checkers infer of blocks; pytest runs it too."""

# pyright: reportUnnecessaryTypeIgnoreComment=true
# So that both checkers see that what is ignored here is an error to them.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from edgeflow import App, Context, JoinError, RaceError, Stop, Winner, step
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore

app = App(MemoryStore(), clock=VirtualClock())


@dataclass
class Cart:
    items: list[str]


@step
async def length(text: str) -> int:
    return len(text)


@step
def half(number: int) -> float:
    return number / 2


async def both(text: str) -> bytes:
    await length(text)
    return text.encode()


@app.workflow
async def blocks(ctx: Context, texts: list[str]) -> int:
    joined = await ctx.join(a=length("a"), b=half(2), c=both("c"))
    assert_type(joined, dict[str, Any])
    won = await ctx.race(a=length("a"), late=ctx.sleep(60))
    assert_type(won, Winner)
    assert_type(won.name, str)
    assert_type(won.value, Any)

    assert_type(await ctx.map(length, texts), list[int])
    assert_type(await ctx.map(half, [1, 2], limit=1, key=str), list[float])
    assert_type(await ctx.map(both, texts, min_ok=1), list[bytes | None])
    assert_type(await ctx.map(both, texts, max_failed=1), list[bytes | None])
    await ctx.map(both, ["a"], key=len)

    async def count(n: int) -> int | Stop[str]:
        return n + 1 if n < 2 else Stop("two")

    async def fill(cart: Cart) -> Cart | Stop[Cart]:
        return Stop(cart) if cart.items else Cart(["one"])

    async def until_none(n: int) -> int | Stop[None]:
        return Stop() if n else 1

    async def once(_: str) -> Stop[bytes]:
        return Stop(b"once")

    assert_type(await ctx.loop("count", count, state=0), str)
    assert_type(await ctx.loop("fill", fill, state=Cart([])), Cart)
    assert_type(await ctx.loop("once", once, state="", keep=2, prune_every=1), bytes)
    await ctx.loop("none", until_none, state=0)
    assert_type(Stop(1).value, int)

    async with ctx.scope("named") as nothing:
        assert_type(nothing, None)
    return len(joined)


async def test_blocks_run_as_they_are_typed() -> None:
    assert await app.run(blocks, ["a", "b"]) == 3


def errors_of(error: JoinError | RaceError) -> dict[str, Exception]:
    assert_type(error.errors, dict[str, Exception])
    return error.errors


def never_called(ctx: Context) -> None:
    async def count(n: int) -> int | Stop[str]:
        return n

    ctx.loop("n", count, state="text")  # type: ignore[arg-type, unused-coroutine]
    ctx.map(length, [1])  # type: ignore[arg-type, unused-coroutine]
    ctx.join(a=1)  # type: ignore[arg-type, unused-coroutine]
