"""Whatever becomes of an instance, its caller hears it by a status and plain JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context, Retry, current_step, step
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore
from tests.ingress.place import Place, event

if TYPE_CHECKING:
    from edgeflow import Store
    from edgeflow.platform import Answer

NOW = 1_700_000_000.0


class SoldOut(Exception):
    """What a shop says."""


SOLD_OUT = f"{__name__}.SoldOut"


@dataclass
class Receipt:
    total: Decimal
    at: datetime
    items: tuple[str, ...]


@step(retry=Retry(attempts=2, first=30, jitter=0))
async def flaky() -> str:
    if current_step().attempt == 1:
        raise ConnectionError("the bank is away")
    return "paid"


@step(retry=Retry(attempts=3, first=30, jitter=0))
async def take_back() -> None: ...


@take_back.undo
async def give_back(_: None) -> None:
    raise ConnectionError("the shop is closed")


async def child(ctx: Context) -> str:
    return "grown"


async def body(ctx: Context, event: dict[str, Any]) -> Any:
    match event["do"]:
        case "sleep":
            await ctx.sleep(60)
        case "receive":
            return (await ctx.receive("approval", timeout=600)).body
        case "back off":
            return await flaky()
        case "child":
            return await ctx.call(child_flow, None)
        case "fail":
            raise SoldOut("no more apples")
        case "break a rule":
            current_step()
        case "undo":
            await take_back()
            raise SoldOut("after all")
        case other:
            return other
    return None


workflows = App("memory:")
child_flow = workflows.workflow(name="child")(child)


@pytest.fixture
def app(store: Store) -> App:
    return App(store, workflows=[child_flow], platform=Place(), clock=VirtualClock(NOW))


@pytest.fixture
def handler(app: App) -> Any:
    return app.handler(id="id", name="shop")(body)


async def asked(handler: Any, do: object, instance: str = "i") -> Answer:
    answer: Answer = await handler(event({"id": instance, "do": do}))
    return answer


# P-01  G2
async def test_who_has_finished_is_answered_200_with_the_output(handler: Any) -> None:
    answer = await asked(handler, "apples")

    assert (answer.status, answer.value, answer.content) == (200, "apples", b'"apples"')


# P-01  G1 G10
@pytest.mark.parametrize(
    ("do", "wake_at", "awaiting"),
    [
        ("sleep", NOW + 60, []),
        ("receive", NOW + 600, ["approval"]),
        ("back off", NOW + 30, []),
        ("child", None, []),
    ],
)
async def test_who_is_suspended_is_answered_202_with_what_wakes_it(
    app: App, handler: Any, do: str, wake_at: float | None, awaiting: list[str]
) -> None:
    answer = await asked(handler, do)

    told = {"id": "i", "status": "suspended", "wake_at": wake_at}
    if do == "child":  # what awaits its end has a name of edgeflow's own
        awaiting = answer.value["awaiting"]
        assert len(awaiting) == 1
    assert (answer.status, answer.value) == (202, {**told, "awaiting": awaiting})
    assert answer.is_decided
    info = await app.handle("i").info()
    assert (info.status, info.wake_at) == ("suspended", wake_at)


# P-01  G8
async def test_who_has_failed_is_answered_500_with_type_and_message_only(
    handler: Any,
) -> None:
    for _ in range(2):
        answer = await asked(handler, "fail")

        assert answer.status == 500
        assert answer.value == {
            "id": "i",
            "status": "failed",
            "wake_at": None,
            "awaiting": [],
            "error": {"type": SOLD_OUT, "message": "no more apples"},
        }
        assert answer.is_decided
        assert b"Traceback" not in answer.content


# P-01  S27
async def test_who_was_cancelled_is_answered_409(app: App, handler: Any) -> None:
    await asked(handler, "sleep")
    await app.handle("i").cancel()

    answer = await asked(handler, "sleep")

    assert (answer.status, answer.value["status"]) == (409, "cancelled")
    assert not answer.is_refused


# P-01  S27 G13
async def test_who_is_blocked_is_answered_500_with_the_reason(handler: Any) -> None:
    answer = await asked(handler, "break a rule")

    assert (answer.status, answer.value["status"]) == (500, "blocked")
    assert "current_step() has a meaning in a step only" in answer.content.decode()


# P-01
async def test_who_is_being_undone_is_answered_202_with_its_error(
    handler: Any,
) -> None:
    answer = await asked(handler, "undo")

    assert (answer.status, answer.value["status"]) == (202, "undoing")
    assert answer.value["error"] == {"type": SOLD_OUT, "message": "after all"}
    assert answer.value["wake_at"] == NOW + 30


# P-01  G9
async def test_the_output_is_what_its_annotation_makes_of_it() -> None:
    app = App(MemoryStore(), platform=Place(), clock=VirtualClock(NOW))

    @app.handler(id="id")
    async def buy(ctx: Context, event: dict[str, Any]) -> Receipt:
        return Receipt(Decimal("1.50"), datetime(2026, 1, 2, tzinfo=UTC), ("a", "b"))

    @app.handler(id="id")
    async def wait(ctx: Context, event: dict[str, Any]) -> timedelta:
        return timedelta(seconds=90)

    answer: Answer = await buy(event({"id": "r"}))
    assert answer.value == {
        "total": "1.50",
        "at": "2026-01-02T00:00:00+00:00",
        "items": ["a", "b"],
    }
    assert (await wait(event({"id": "w"}))).value == "P0DT90S"


# P-01  G8
async def test_an_output_that_todays_code_cannot_read_is_no_reason_to_ask_again() -> (
    None
):
    store = MemoryStore()

    async def old(ctx: Context, event: dict[str, Any]) -> str:
        return "two"

    async def new(ctx: Context, event: dict[str, Any]) -> int:
        return 2

    before = App(store, platform=Place(), clock=VirtualClock(NOW))
    assert (await before.handler(id="id", name="w")(old)(event({"id": "i"}))).status

    after = App(store, platform=Place(), clock=VirtualClock(NOW))
    handler = after.handler(id="id", name="w")(new)
    started: Answer = await handler(event({"id": "i"}))
    woken: Answer = await handler(event({"edgeflow": {"wake": "i"}}))

    assert (started.status, woken.status) == (500, 200)
    for answer in (started, woken):
        assert answer.value["status"] == "completed"
        assert answer.value["error"]["type"] == "Undecodable"
        assert b"Traceback" not in answer.content
        assert b'File "' not in answer.content
