"""Whatever comes in is bounded and checked; nothing that comes in raises anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow import App, Context
from edgeflow.ingress.reading import Reader
from edgeflow.ingress.refusing import Refused
from edgeflow.platform import Request
from edgeflow.store import Limits
from edgeflow.testing.clock import VirtualClock
from edgeflow_memory import MemoryStore
from tests.ingress.place import Place, anyone, asked, error_type, event, http

if TYPE_CHECKING:
    from edgeflow.platform import Action

SETTINGS = {"prefix": "/edgeflow", "max_body": 1000}
STATUSES = {200, 202, 400, 403, 404, 405, 409, 413, 500, 503}


def shop_of(store: MemoryStore | None = None, **config: Any) -> Any:
    app = App(
        store or MemoryStore(), platform=Place(), clock=VirtualClock(), config=config
    )

    @app.handler(id="id", authorize=anyone)
    async def echo(ctx: Context, event: Any) -> Any:
        return event

    return echo


@pytest.fixture
def shop() -> Any:
    return shop_of()


# --- bodies -----------------------------------------------------------------------


async def test_a_body_above_max_body_is_refused_and_one_of_that_size_is_not() -> None:
    body = b'{"id": "i"}'
    for limit, status in ((len(body) - 1, 413), (len(body), 200)):
        shop = shop_of(max_body=limit)

        answer = await asked(shop, http("/", body))

        assert answer.status == status
        if status == 413:
            assert error_type(answer) == "BodyTooLarge"
            assert str(limit) in answer.value["error"]["message"]


@pytest.mark.parametrize("path", ["/", "/edgeflow", "/edgeflow/instances/i/wake"])
async def test_every_door_is_bounded(path: str) -> None:
    answer = await asked(shop_of(max_body=10), http(path, b"1" * 11))

    assert answer.status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"id=i",
        b'{"id": "i",}',
        b'{"id": "i"} {}',
        b'{"id": NaN}',
        b'{"id": Infinity}',
        b'{"id": 1e999}',
        b'{"id": "\xff"}',
        b'{"id": "\\ud800"}',
        b"\xff\xfe{\x00}\x00",
        b"\0",
        b"[" * 500_000,
        b'{"a":' * 200_000,
    ],
    ids=lambda body: body[:12].decode("latin-1"),
)
async def test_a_body_that_is_no_json_is_refused(shop: Any, body: bytes) -> None:
    for path in ("/", "/edgeflow"):
        answer = await asked(shop, http(path, body))

        assert (answer.status, error_type(answer)) == (400, "BadJson")
        assert len(answer.content) < 2000


async def test_an_empty_body_is_no_event(shop: Any) -> None:
    assert (await asked(shop, http("/"))).status == 400


async def test_json_that_is_too_deep_for_a_value_is_refused(shop: Any) -> None:
    body = b'{"id": "i", "x": ' + b"[" * 500 + b"]" * 500 + b"}"

    answer = await asked(shop, http("/", body))

    assert (answer.status, error_type(answer)) == (400, "Undecodable")
    assert "nested deeper" in answer.value["error"]["message"]


@pytest.mark.parametrize(
    "number", ["1" * 400, "-" + "9" * 5000, "1e400", "1" * 300_000]
)
async def test_a_huge_number_is_refused_or_rounded_and_never_a_defect(
    shop: Any, number: str
) -> None:
    answer = await asked(shop, http("/", f'{{"id": "i", "n": {number}}}'.encode()))

    assert (answer.status, error_type(answer)) == (400, "BadJson")


# --- triggers ---------------------------------------------------------------------

LONG = "x" * 256

TRIGGERS: list[Any] = [
    {},
    [],
    "wake",
    0,
    False,
    {"wake": None},
    {"wake": 1},
    {"wake": ""},
    {"wake": "~x"},
    {"wake": LONG},
    {"wake": "a\0"},
    {"wake": "i", "look": "i"},
    {"wake": "i", "more": 1},
    {"wake": "i", "alarm": []},
    {"wake": "i", "alarm": "2"},
    {"wake": "i", "alarm": ["2"]},
    {"wake": "i", "alarm": ["2", 1.5, 1]},
    {"wake": "i", "alarm": ["2", "1.5"]},
    {"wake": "i", "alarm": ["2", None]},
    {"wake": "i", "alarm": ["2", True]},
    {"wake": "i", "alarm": [2, 1.5]},
    {"wake": "i", "alarm": {"key": "2", "when": 1.5}},
    {"wake": "i", "alarm": ["2", 1.5], "more": 1},
    {"wake": None, "alarm": ["2", 1.5]},
    {"look": "i", "alarm": ["2", 1.5]},
    {"sleep": "i"},
    {"look": ["i"]},
    {"run_due": -1},
    {"run_due": True},
    {"run_due": 1.5},
    {"run_due": "1"},
    {"run_due": None, "wake": "i"},
    {"send": {}},
    {"send": []},
    {"send": None},
    {"send": {"to": "i"}},
    {"send": {"name": "go"}},
    {"send": {"to": "i", "name": "go", "from": "me"}},
    {"send": {"to": "i", "name": "go", LONG * 4000: "me"}},
    {"send": {"to": "i", "name": "go"}, "wake": "i"},
    {"send": {"to": None, "name": "go"}},
    {"send": {"to": "~reply/x", "name": "go"}},
    {"send": {"to": "i", "name": ""}},
    {"send": {"to": "i", "name": 1}},
    {"send": {"to": "i", "name": "~cancel/x"}},
    {"send": {"to": "i", "name": "a\0"}},
    {"send": {"to": "i", "name": LONG}},
    {"send": {"to": "i", "name": "go", "id": ""}},
    {"send": {"to": "i", "name": "go", "id": 1}},
    {"send": {"to": "i", "name": "go", "id": "~x"}},
    {"send": {"to": "i", "name": "go", "id": LONG}},
    {"send": {"to": "i", "name": "go", "id": "a\0b"}},
]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda each: repr(each)[:60])
async def test_a_trigger_that_asks_for_nothing_is_refused(
    shop: Any, trigger: Any
) -> None:
    given = {"edgeflow": trigger}

    for request in (event(given), http("/edgeflow", given)):
        answer = await asked(shop, request)

        assert (answer.status, answer.is_refused) == (400, True)
        assert len(answer.content) < 2000


@pytest.mark.parametrize(
    "when", [float("nan"), float("inf"), -float("inf"), 10**400, -(10**400)], ids=str
)
async def test_an_alarm_for_no_time_at_all_is_refused(shop: Any, when: float) -> None:
    """JSON has none of these, but an event of a platform may."""
    given = {"edgeflow": {"wake": "i", "alarm": ["2", when]}}

    answer = await asked(shop, event(given))

    assert (answer.status, error_type(answer)) == (400, "BadTrigger")


@pytest.mark.parametrize("alarm", [None, ["2", 0], ["", 1.5], ["2", 2e300], ["~", -1]])
async def test_a_wake_may_come_by_an_alarm(shop: Any, alarm: Any) -> None:
    answer = await asked(shop, event({"edgeflow": {"wake": "i", "alarm": alarm}}))

    assert (answer.status, answer.value) == (200, {"id": "i", "status": "unknown"})


async def test_a_trigger_of_nothing_is_an_event_and_no_trigger_over_http(
    shop: Any,
) -> None:
    given = {"id": "i", "edgeflow": None}

    assert (await asked(shop, event(given))).value == given
    assert (await asked(shop, http("/edgeflow", given))).status == 400
    assert (await asked(shop, http("/edgeflow", {"wake": "i"}))).status == 400
    assert (await asked(shop, http("/edgeflow", ["wake"]))).status == 400


@pytest.mark.parametrize("name", ["~cancel", LONG, "a\0", "\ud800"])
async def test_a_name_in_a_path_is_checked_as_well(shop: Any, name: str) -> None:
    path = f"/edgeflow/instances/i/messages/{name}"

    assert (await asked(shop, http(path, 1))).status == 400
    assert (
        await asked(
            shop, http("/edgeflow/instances/i/messages/go", 1, query={"id": name})
        )
    ).status == 400
    assert (await asked(shop, http(f"/edgeflow/instances/{name}/wake"))).status == 400


async def test_a_message_above_the_limit_of_the_store_is_refused_413() -> None:
    shop = shop_of(MemoryStore(Limits(max_frame=10_000)))
    send = {"to": "i", "name": "go", "body": "x" * 20_000}

    answer = await asked(shop, event({"edgeflow": {"send": send}}))

    assert (answer.status, error_type(answer)) == (413, "TooLarge")
    assert answer.is_decided


# --- anything at all ----------------------------------------------------------------

STRANGE = ["i", "~", "\0", "\ud800", "a/b", LONG, "9" * 5000]
TEXT = st.sampled_from(STRANGE) | st.text() | st.text(st.characters())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**50) | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)
SEND = st.fixed_dictionaries(
    {}, optional={"to": JSON, "name": JSON, "body": JSON, "id": JSON, "x": JSON}
)
ALARM = JSON | st.tuples(TEXT, st.floats() | st.integers() | st.just(10**400)).map(list)
TRIGGER = (
    JSON
    | st.fixed_dictionaries(
        {}, optional={"wake": JSON, "look": JSON, "run_due": JSON, "send": SEND | JSON}
    )
    | st.fixed_dictionaries({"wake": TEXT, "alarm": ALARM})
)
EVENT = (
    JSON
    | st.fixed_dictionaries({"edgeflow": TRIGGER})
    | st.fixed_dictionaries({"id": JSON})
)
PATHS = [
    "/",
    "/{}",
    "/edgeflow",
    "/edgeflow/",
    "/edgeflow/{}",
    "/edgeflow/run-due",
    "/edgeflow/instances/{}",
    "/edgeflow/instances/{}/wake",
    "/edgeflow/instances/{}/messages/{}",
    "/edgeflow/instances/{}/{}",
]
PATH = st.builds(str.format, st.sampled_from(PATHS), TEXT, TEXT)
KNOWN: dict[str, Any] = {
    "authenticated": st.booleans(),
    "delivery": st.none() | TEXT,
    "seconds_left": st.none() | st.floats(allow_nan=False),
}
HTTP = st.builds(
    Request,
    source=st.just("http"),
    method=st.sampled_from(["GET", "POST", "PUT", "\ud800"]),
    path=PATH,
    headers=st.fixed_dictionaries(
        {},
        optional={
            "authorization": TEXT.map("Bearer {}".format) | TEXT,
            "idempotency-key": TEXT,
            "sec-fetch-site": st.just("cross-site") | TEXT,
        },
    ),
    query=st.fixed_dictionaries({}, optional={"id": TEXT, "limit": TEXT}),
    body=st.binary()
    | st.sampled_from([b"", b"{}", b'{"edgeflow": {"wake": "i"}}', b'{"id": 1}']),
    **KNOWN,
)
REQUEST = HTTP | st.builds(Request, source=st.just("event"), event=EVENT, **KNOWN)


def of_something(event: Any) -> Any:
    """Look for an id as one might who has other events in mind."""
    return event["a"].b[0] + 1


FINDER = st.sampled_from([None, "id", "a.0", "\ud800", of_something])


def read(reader: Reader, request: Request) -> Action | Refused:
    try:
        return reader.read(request)[1]
    except Refused as refusal:
        return refusal


@settings(max_examples=500)
@given(REQUEST, FINDER, FINDER)
def test_a_reader_raises_nothing_but_a_refusal(
    request_: Request, id: Any, input: Any
) -> None:
    reader = Reader(workflow="w", id=id, input=input, settings=SETTINGS)

    found = read(reader, request_)

    if isinstance(found, Refused):
        assert 400 <= found.status < 500
        found.message.encode()
        return
    assert len(found.id) <= 255
    assert not found.id.startswith("~")
    assert found.id or found.kind == "run_due"
    assert len(found.message_id or "") <= 255
    found.id.encode()
    found.name.encode()


@given(REQUEST)
async def test_an_endpoint_raises_nothing(request_: Request) -> None:
    answer = await asked(shop_of(secret="sesame"), request_)

    assert answer.status in STATUSES
    assert answer.status != 503 or request_.seconds_left is not None
    assert b"Traceback" not in answer.content
