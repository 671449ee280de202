"""What a handler has over HTTP: doors below a prefix, and all else is an event."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, ConfigError, Context, current_step
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.ingress.place import Place, anyone, asked, error_type, event, http

if TYPE_CHECKING:
    from edgeflow.platform import Request

SESAME = "Bearer sesame"


def shop_of(**config: Any) -> Any:
    """A handler that waits for a message, and is open to all."""
    app = App(MemoryStore(), platform=Place(), clock=VirtualClock(), config=config)

    @app.handler(id="id", authorize=anyone)
    async def approve(ctx: Context, event: Any) -> Any:
        await ctx.status("waiting")
        return (await ctx.receive("approval")).body

    return approve


@pytest.fixture
def shop() -> Any:
    return shop_of(secret="sesame")


# P-04  G11
async def test_an_instance_is_looked_at_sent_to_and_looked_at_again(shop: Any) -> None:
    await asked(shop, http("/anything", {"id": "i"}))
    look = http("/edgeflow/instances/i", method="GET")

    before = await asked(shop, look)
    sent = await asked(shop, http("/edgeflow/instances/i/messages/approval", [1]))
    after = await asked(shop, look)

    assert (before.status, before.value["status"]) == (200, "suspended")
    assert before.value["awaiting"] == ["approval"]
    assert before.value["progress"] == "waiting"
    assert "output" not in before.value
    assert sent.value["sent"] is True
    assert (sent.status, sent.value["status"]) == (200, "completed")
    assert (after.value["status"], after.value["output"]) == ("completed", [1])
    assert after.value["workflow"] == "approve"


# P-04  G11
@pytest.mark.parametrize("by", ["query", "header", "event"])
async def test_a_message_of_one_id_is_delivered_once(shop: Any, by: str) -> None:
    path = "/edgeflow/instances/i/messages/approval"
    send = {"to": "i", "name": "approval", "body": 1, "id": "m"}
    request = {
        "query": http(path, 1, query={"id": "m"}, authorization=SESAME),
        "header": http(path, 1, idempotency_key="m", authorization=SESAME),
        "event": event({"edgeflow": {"send": send}}),
    }[by]

    answers = [await asked(shop, request) for _ in range(2)]

    assert [answer.value["sent"] for answer in answers] == [True, False]
    assert [answer.status for answer in answers] == [200, 200]


# S24
async def test_what_is_sent_to_an_unknown_instance_is_kept_until_it_starts(
    shop: Any,
) -> None:
    path = "/edgeflow/instances/i/messages/approval"
    sent = await asked(shop, http(path, "yes", authorization=SESAME))

    assert (sent.status, sent.value) == (
        200,
        {"id": "i", "status": "unknown", "sent": True},
    )
    assert (await asked(shop, http("/", {"id": "i"}))).value == "yes"


# S24  G14
async def test_what_is_sent_to_one_that_has_ended_is_a_conflict(shop: Any) -> None:
    path = "/edgeflow/instances/i/messages/approval"
    await asked(shop, http("/", {"id": "i"}))
    await asked(shop, http(path, "yes"))

    late = await asked(shop, http(path, "no"))

    assert (late.status, error_type(late)) == (409, "InstanceFinished")
    assert late.is_decided
    assert not late.is_refused


# S40
async def test_an_unknown_instance_is_not_found_but_may_be_woken(shop: Any) -> None:
    path = "/edgeflow/instances/i"
    look = await asked(shop, http(path, method="GET", authorization=SESAME))
    wake = await asked(shop, http(f"{path}/wake", authorization=SESAME))

    assert (look.status, error_type(look)) == (404, "UnknownInstance")
    assert (wake.status, wake.value) == (200, {"id": "i", "status": "unknown"})


def doors(instance: str) -> dict[str, Request]:
    """What beside a start names an instance."""
    path = f"/edgeflow/instances/{instance}"
    return {
        "look": http(path, method="GET"),
        "wake": http(f"{path}/wake"),
        "send": http(f"{path}/messages/approval", "yes"),
        "send by JSON": http(
            "/edgeflow",
            {"edgeflow": {"send": {"to": instance, "name": "approval"}}},
        ),
    }


class Two:
    """Two handlers of one app: the first is open to all, the second is not."""

    def __init__(self) -> None:
        self.store = RecordingStore(MemoryStore())
        config = {"secret": "sesame"}
        self.app = App(
            self.store, platform=Place(), clock=VirtualClock(), config=config
        )

        @self.app.handler(id="id", authorize=anyone)
        async def mine(ctx: Context, event: Any) -> Any:
            return (await ctx.receive("approval")).body

        @self.app.handler(id="id")
        async def theirs(ctx: Context, event: Any) -> Any:
            return (await ctx.receive("approval")).body

        self.mine: Any = mine
        self.theirs: Any = theirs

    async def start(self) -> None:
        await asked(self.mine, event({"id": "mine"}))
        await asked(self.theirs, event({"id": "theirs"}))


DOORS = ["look", "wake", "send", "send by JSON"]


# P-04
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("instance", ["theirs", "nobody's"])
async def test_who_was_let_in_by_the_hook_alone_finds_the_handlers_own_instances_only(
    door: str, instance: str
) -> None:
    """The other handler has a hook of its own, and it may be stricter."""
    two = Two()
    await two.start()
    written = len(two.store.commits)

    answer = await asked(two.mine, doors(instance)[door])

    assert (answer.status, error_type(answer)) == (404, "UnknownInstance")
    assert len(two.store.commits) == written
    assert "send" not in two.store.calls
    assert (await asked(two.mine, doors("mine")[door])).status == 200


# P-04
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "known", [{"authenticated": True}, {"headers": {"authorization": SESAME}}], ids=str
)
async def test_who_is_known_finds_the_instances_of_all_handlers(
    door: str, known: dict[str, Any]
) -> None:
    two = Two()
    await two.start()

    answer = await asked(two.mine, replace(doors("theirs")[door], **known))

    assert answer.status == 200
    assert answer.value["status"] == ("completed" if "send" in door else "suspended")


# P-04
async def test_what_is_refused_says_no_more_of_anothers_instance_than_of_none() -> None:
    two = Two()
    await two.start()

    answers = [
        await asked(two.mine, doors(instance)["look"])
        for instance in ("theirs", "nobody")
    ]

    theirs, nobodys = (answer.value["error"]["message"] for answer in answers)
    assert theirs.replace("theirs", "nobody") == nobodys


# S40
async def test_who_wakes_one_that_has_failed_or_is_blocked_has_succeeded() -> None:
    app = App(MemoryStore(), platform=Place(), clock=VirtualClock())

    @app.handler(id="id")
    async def fail(ctx: Context, event: dict[str, Any]) -> None:
        if event["blocked"]:
            current_step()  # breaks a rule
        raise ValueError("no")

    for name, status in (("f", "failed"), ("b", "blocked")):
        given = {"id": name, "blocked": status == "blocked"}
        assert (await asked(fail, event(given))).status == 500

        woken = await asked(fail, event({"edgeflow": {"wake": name}}))

        assert (woken.status, woken.value["status"]) == (200, status)
        assert woken.value["error"]["message"]


@pytest.mark.parametrize("instance", ["a/b", "a b%20c", "50%", "ü", "a/b/"])
async def test_an_id_may_be_any_text_and_is_decoded_just_once(
    shop: Any, instance: str
) -> None:
    """The path comes decoded, so that an id with slashes has them in it."""
    await asked(shop, http("/", {"id": instance}))
    path = f"/edgeflow/instances/{instance}"

    looked = await asked(shop, http(path, method="GET"))
    woken = await asked(shop, http(f"{path}/wake"))
    sent = await asked(shop, http(f"{path}/messages/approval", 1))

    assert (looked.status, looked.value["id"]) == (200, instance)
    assert woken.value["status"] == "suspended"
    assert (sent.value["id"], sent.value["status"]) == (instance, "completed")


async def test_an_id_that_looks_like_a_door_is_for_the_door_that_takes_json(
    shop: Any,
) -> None:
    await asked(shop, http("/", {"id": "i/wake"}))

    by_path = await asked(shop, http("/edgeflow/instances/i/wake", method="GET"))
    by_json = await asked(shop, http("/edgeflow", {"edgeflow": {"look": "i/wake"}}))

    assert by_path.status == 405
    assert (by_json.status, by_json.value["id"]) == (200, "i/wake")


@pytest.mark.parametrize(
    "path",
    [
        "/edgeflow/nothing",
        "/edgeflow/instances",
        "/edgeflow/instances/",
        "/edgeflow//",
        "/edgeflow/run-due/now",
        "/edgeflow/\ud800",
    ],
)
async def test_an_unknown_door_is_not_found(shop: Any, path: str) -> None:
    answer = await asked(shop, http(path))

    assert (answer.status, error_type(answer)) == (404, "NotFound")


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/", "GET", "POST"),
        ("/", "DELETE", "POST"),
        ("/edgeflow", "GET", "POST"),
        ("/edgeflow", "PUT", "POST"),
        ("/edgeflow/instances/i", "POST", "GET or HEAD"),
        ("/edgeflow/instances/i", "DELETE", "GET or HEAD"),
        ("/edgeflow/instances/i/wake", "GET", "POST"),
        ("/edgeflow/instances/i/messages/go", "PUT", "POST"),
        ("/edgeflow/run-due", "PUT", "GET or POST"),
        ("/edgeflow/instances/\ud800/wake", "GET", "POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_one(
    shop: Any, path: str, method: str, allowed: str
) -> None:
    answer = await asked(shop, http(path, method=method))

    assert (answer.status, error_type(answer)) == (405, "MethodNotAllowed")
    assert allowed in answer.value["error"]["message"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", ["/", "/edgeflows", "/a/edgeflow", "//edgeflow/x"])
async def test_what_is_not_below_the_prefix_is_an_event_though_it_look_like_ours(
    shop: Any, path: str, method: str
) -> None:
    given = {"id": "i", "edgeflow": {"wake": "other"}}

    answer = await asked(shop, http(path, given, method=method))

    assert (answer.status, answer.value["id"]) == (202, "i")


async def test_the_prefix_is_what_the_configuration_says() -> None:
    shop = shop_of(prefix="/a/b")
    await asked(shop, http("/edgeflow/run-due", {"id": "i"}))

    look = await asked(shop, http("/a/b/instances/i", method="GET"))

    assert look.value["status"] == "suspended"
    assert (await asked(shop, http("/a/b/nothing"))).status == 404


@pytest.mark.parametrize("prefix", ["/", "", "edgeflow", "/edgeflow/"])
def test_a_prefix_that_would_hide_the_handler_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        shop_of(prefix=prefix)


# C-09
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/edgeflow/run-due", "/edgeflow/run-due/"])
async def test_what_is_due_is_run_up_to_a_limit(path: str, method: str) -> None:
    clock, store = VirtualClock(), MemoryStore()
    app = App(store, platform=Place(), clock=clock)

    @app.handler(id="id", authorize=anyone)
    async def nap(ctx: Context, event: Any) -> None:
        await ctx.sleep(60)

    for name in ("a", "b", "c"):
        await asked(nap, event({"id": name}))
    clock.advance(60)

    ran = [
        (await asked(nap, http(path, method=method, query=query))).value["ran"]
        for query in ({"limit": "0"}, {"limit": "2"}, {}, {})
    ]

    assert ran == [0, 2, 1, 0]


@pytest.mark.parametrize("limit", ["", "-1", "many", "1.5", "²", "9" * 5000, "0x1"])
async def test_a_limit_that_is_no_number_is_refused(shop: Any, limit: str) -> None:
    answer = await asked(shop, http("/edgeflow/run-due", query={"limit": limit}))

    assert (answer.status, error_type(answer)) == (400, "BadLimit")
    assert len(answer.content) < 200
