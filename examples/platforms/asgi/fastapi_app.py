"""The shop, mounted in a FastAPI application that starts orders by itself too."""

from fastapi import FastAPI
from shop import Order, checkout
from shop import app as flows

app = FastAPI(lifespan=checkout.lifespan)
app.mount("/checkout", checkout)


@app.post("/orders", status_code=202)
async def order(order: Order) -> dict[str, str]:
    handle = await flows.start(checkout.workflow, order, id=order.order_id)
    return {"id": handle.id}


@app.get("/orders/{order_id}")
async def look(order_id: str) -> dict[str, str]:
    info = await flows.handle(order_id).info()
    return {"id": info.id, "status": info.status}
