"""The shop, mounted in a Starlette application."""

from shop import checkout
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route


async def home(_request: object) -> PlainTextResponse:
    return PlainTextResponse("POST your order to /checkout/\n")


app = Starlette(
    routes=[Route("/", home), Mount("/checkout", app=checkout)],
    lifespan=checkout.lifespan,
)
