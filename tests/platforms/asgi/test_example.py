"""The shop of examples/platforms/asgi, as its README has it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.platforms.asgi.servers import UVICORN, serving
from tests.platforms.serving import wait_for

if TYPE_CHECKING:
    from tests.platforms.asgi.servers import Running

pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/platforms/asgi"
DEAR = {"order_id": "o-1", "euros": 500}
CHEAP = {"order_id": "o-2", "euros": 5}


@pytest.fixture(autouse=True)
def _copy(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)


def wait_until_shipped(shop: Running, mount: str, order: str) -> None:
    look = f"{mount}edgeflow/instances/{order}"
    wait_for(lambda: shop.ask("GET", look, secret="").value["status"] == "completed")
    assert shop.ask("GET", look, secret="").value["output"] == "shipped"


@pytest.mark.parametrize(
    ("app", "mount"),
    [
        ("shop:checkout", "/"),
        ("starlette_app:app", "/checkout/"),
        ("fastapi_app:app", "/checkout/"),
    ],
)
def test_what_is_dear_waits_for_a_person_who_knows_the_secret(
    app: str, mount: str, tmp_path: Path
) -> None:
    with serving(tmp_path, UVICORN, app) as shop:
        dear = shop.post(mount, DEAR, secret="")
        cheap = shop.post(mount, CHEAP, secret="")
        assert (dear.status, dear.value["awaiting"]) == (202, ["approval"])
        assert (cheap.status, cheap.value["awaiting"]) == (202, [])
        wait_until_shipped(shop, mount, "o-2")

        approval = f"{mount}edgeflow/instances/o-1/messages/approval"
        assert shop.post(approval, body=True, secret="").status == 403
        assert shop.post(approval, body=True).status == 200
        wait_until_shipped(shop, mount, "o-1")

        log = shop.log()
    for order, euros in (("o-1", 500), ("o-2", 5)):
        assert log.count(f"charging {euros} EUR for {order}\n") == 1
        assert log.count(f"shipping {order}\n") == 1


def test_a_route_of_the_framework_starts_orders_too(tmp_path: Path) -> None:
    with serving(tmp_path, UVICORN, "fastapi_app:app") as shop:
        ordered = shop.post("/orders", CHEAP)
        assert (ordered.status, ordered.value) == (202, {"id": "o-2"})
        wait_for(lambda: shop.ask("GET", "/orders/o-2").value["status"] == "completed")


def test_the_example_is_short_and_its_readme_names_its_files() -> None:
    readme = (EXAMPLE / "README.md").read_text("utf-8")

    for file in EXAMPLE.glob("*.py"):
        assert file.read_text("utf-8").count("\n") < 60, file
        assert f"{file.stem}:" in readme


def test_the_program_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs/platforms/asgi.md").read_text("utf-8")
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(code, "utf-8")

    for app, path in (("shop:checkout", "/"), ("site_app:app", "/checkout/")):
        with serving(tmp_path, UVICORN, app) as shop:
            reply = shop.post(path, {"order_id": "o-9"})
        assert (reply.status, reply.value) == (200, "o-9 is paid")
