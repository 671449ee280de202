"""Request and response: an account that answers, and remembers.

    uv run examples/request_response.py

Run it again: the account is still there, with its money. Each request is answered
once; the answer leaves when the new balance is durable.
"""

import asyncio

from edgeflow import App, Context, Stop

app = App("sqlite:///request_response.db")


@app.workflow
async def account(ctx: Context, balance: int) -> int:
    async def turn(balance: int) -> int | Stop[int]:
        request = await ctx.receive("deposit", "withdraw", "close")
        if request.name == "close":
            await request.reply({"closed with": balance})
            return Stop(balance)
        amount = int(request.body)
        after = balance + (amount if request.name == "deposit" else -amount)
        if after < 0:
            await request.reply({"refused": f"there are only {balance}"})
            return balance
        await request.reply({"balance": after})
        return after

    return await ctx.loop("requests", turn, state=balance)


async def main() -> None:
    async with app:
        ada = await app.start(account, 0, id="account-of-ada")
        for name, amount in (("deposit", 100), ("withdraw", 30), ("withdraw", 5000)):
            answer = await ada.ask(name, amount, timeout=10)
            print(f"{name:8} {amount:5} {answer}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
