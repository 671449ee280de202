"""Nobody gets in over HTTP unless somebody vouches; what a hook decides holds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, ConfigError, Context, DefinitionError
from edgeflow.platform import Action, Answer, Request
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from edgeflow_memory import MemoryStore
from tests.ingress.place import Place, anyone, error_type, event, http, nobody

if TYPE_CHECKING:
    from edgeflow.platform import Authorize

ACTIONS = [
    ("/", "POST", {"id": "i"}),
    ("/edgeflow/instances/i", "GET", None),
    ("/edgeflow/instances/i/wake", "POST", None),
    ("/edgeflow/instances/later/messages/go", "POST", 1),
    ("/edgeflow/run-due", "POST", None),
    ("/edgeflow", "POST", {"edgeflow": {"wake": "i"}}),
]
"""Each door, as path, method and body."""


class Shop:
    """One handler, and the store under it."""

    def __init__(self, authorize: Authorize | None = None, **config: Any) -> None:
        self.store = RecordingStore(MemoryStore())
        self.app = App(
            self.store, platform=Place(), clock=VirtualClock(), config=config
        )

        async def buy(ctx: Context, event: Any) -> str:
            return "bought"

        self.handler: Any = self.app.handler(id="id", authorize=authorize)(buy)

    async def asked(self, request: Request) -> Answer:
        answer: Answer = await self.handler(request)
        return answer

    @property
    def untouched(self) -> bool:
        return not self.store.calls and not self.app.session.is_open


@pytest.mark.parametrize(("path", "method", "body"), ACTIONS)
async def test_every_door_is_closed_to_http_and_the_log_says_what_opens_it(
    path: str, method: str, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop()

    answer = await shop.asked(http(path, body, method=method))

    assert (answer.status, error_type(answer)) == (403, "Forbidden")
    assert answer.is_refused
    assert shop.untouched
    assert (
        "Give it authorize=…, or set a secret, or ingress = 'platform'" in caplog.text
    )


async def test_an_event_is_let_in_if_the_platform_vouches_for_it() -> None:
    shop = Shop()

    unknown = await shop.asked(event({"id": "i"}, authenticated=False))

    assert unknown.status == 403
    assert shop.untouched
    assert (await shop.asked(event({"id": "i"}))).value == "bought"


@pytest.mark.parametrize("config", [{"ingress": "platform"}, {"secret": "sesame"}])
async def test_what_opens_the_doors_to_http_opens_none_to_events(
    config: dict[str, Any],
) -> None:
    shop = Shop(**config)
    headers = {"authorization": "Bearer sesame"}

    unknown = event({"id": "i"}, authenticated=False, headers=headers)

    assert (await shop.asked(unknown)).status == 403


# --- the hook ---------------------------------------------------------------------


def send(**more: Any) -> dict[str, Any]:
    return {"edgeflow": {"send": {"to": "i", "name": "go", **more}}}


@pytest.mark.parametrize(
    ("request_", "action"),
    [
        (http("/", {"id": "i"}), Action("start", "i", "buy", {"id": "i"})),
        (http("/edgeflow/instances/i", method="GET"), Action("look", "i", "buy")),
        (http("/edgeflow/instances/i/wake"), Action("wake", "i", "buy")),
        (http("/edgeflow/run-due"), Action("run_due", name="buy")),
        (
            http("/edgeflow/run-due", query={"limit": "7"}),
            Action("run_due", name="buy", limit=7),
        ),
        (
            http("/edgeflow/instances/i/messages/go", [1], query={"id": "m"}),
            Action("send", "i", "go", [1], "m"),
        ),
        (
            http("/edgeflow/instances/i/messages/go", idempotency_key="k"),
            Action("send", "i", "go", None, "k"),
        ),
        (event({"id": "i"}), Action("start", "i", "buy", {"id": "i"})),
        (event(send(body=1, id="m")), Action("send", "i", "go", 1, "m")),
        (event({"edgeflow": {"look": "i"}}), Action("look", "i", "buy")),
        (
            event({"edgeflow": {"wake": "i"}}, authenticated=False),
            Action("wake", "i", "buy"),
        ),
    ],
)
async def test_the_hook_sees_the_request_and_what_it_would_do(
    request_: Request, action: Action
) -> None:
    seen: list[tuple[Request, Action]] = []

    def note(request: Request, action: Action) -> bool:
        seen.append((request, action))
        return False

    shop = Shop(note)

    assert (await shop.asked(request_)).status == 403
    assert [each for _, each in seen] == [action]
    assert (seen[0][0].headers, seen[0][0].path) == (request_.headers, request_.path)
    assert shop.untouched


async def test_the_hook_sees_the_event_that_came_over_http() -> None:
    seen: list[Any] = []

    def note(request: Request, action: Action) -> bool:
        seen.append(request.event)
        return False

    shop = Shop(note)

    await shop.asked(http("/", {"id": "i", "token": "t"}))

    assert seen == [{"id": "i", "token": "t"}]


async def test_a_hook_may_be_async() -> None:
    async def who_knows(request: Request, action: Action) -> bool:
        return request.headers.get("x-user") == "ada"

    shop = Shop(who_knows)

    assert (await shop.asked(http("/", {"id": "i"}))).status == 403
    assert (await shop.asked(http("/", {"id": "i"}, x_user="ada"))).status == 200


@pytest.mark.parametrize("answer", [None, 1, "yes", object(), [True]])
async def test_only_true_lets_anybody_in(answer: Any) -> None:
    async def later(request: Request, action: Action) -> Any:
        return answer

    def now(request: Request, action: Action) -> Any:
        return answer

    hooks: tuple[Authorize, ...] = (later, now)
    for hook in hooks:
        shop = Shop(hook)
        assert (await shop.asked(http("/", {"id": "i"}))).status == 403
        assert shop.untouched


async def test_a_hook_that_fails_lets_nobody_in_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def late(request: Request, action: Action) -> bool:
        raise KeyError("the user directory is away")

    def early(request: Request, action: Action) -> bool:
        raise RuntimeError("the user directory is away")

    for hook in (late, early):
        caplog.clear()
        shop = Shop(hook)
        answer = await shop.asked(http("/", {"id": "i"}))

        assert (answer.status, error_type(answer)) == (403, "Forbidden")
        assert shop.untouched
        assert b"directory" not in answer.content
        assert "the user directory is away" in caplog.text
        assert caplog.records[0].levelno == logging.ERROR


async def test_who_is_known_may_wake_what_is_due_whatever_the_hook_says() -> None:
    shop = Shop(nobody, secret="sesame")
    sesame = "Bearer sesame"

    for request, status in (
        (event({"edgeflow": {"wake": "i"}}), 200),
        (event({"edgeflow": {"run_due": None}}), 200),
        (http("/edgeflow/instances/i/wake", authorization=sesame), 200),
        (http("/edgeflow/run-due", authorization=sesame), 200),
        (event({"id": "i"}), 403),
        (event(send()), 403),
        (event({"edgeflow": {"look": "i"}}), 403),
        (http("/", {"id": "i"}, authorization=sesame), 403),
        (http("/edgeflow/instances/i/wake"), 403),
        (http("/edgeflow/run-due"), 403),
    ):
        assert (await shop.asked(request)).status == status, request


@pytest.mark.parametrize("hook", [True, "everybody", 0])
def test_a_hook_that_cannot_be_called_is_refused_where_it_is_given(hook: Any) -> None:
    with pytest.raises(DefinitionError, match="authorize="):
        Shop(hook)


# --- who vouches --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer sesame", 200),
        ("bearer sesame", 200),
        ("Bearer  sesame ", 200),
        ("Bearer Sesame", 403),
        ("Bearer sesam", 403),
        ("Bearer sesame2", 403),
        ("Bearer", 403),
        ("Bearer ", 403),
        ("", 403),
        ("sesame", 403),
        ("Basic sesame", 403),
        ("Bearer sésame", 403),
        ("Bearer \ud800", 403),
        ("Bearer sesame, Bearer other", 403),
    ],
)
async def test_the_shared_secret_opens_every_door(
    authorization: str, status: int
) -> None:
    shop = Shop(secret="sesame")

    answer = await shop.asked(http("/", {"id": "i"}, authorization=authorization))

    assert answer.status == status
    assert shop.untouched is (status == 403)
    for path, method, body in ACTIONS:
        request = http(path, body, method=method, authorization=authorization)
        assert (await shop.asked(request)).status == status


@pytest.mark.parametrize("secret", ["sésame", "🙂", "\udcff", "open sesame", "a\tb"])
def test_a_secret_that_no_header_can_carry_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="visible characters of ASCII"):
        Shop(secret=secret)


@pytest.mark.parametrize("secret", ["sesame\n", " sesame\r\n"])
async def test_a_secret_that_was_read_from_a_file_is_the_same_without_its_newline(
    secret: str,
) -> None:
    shop = Shop(secret=secret)

    request = http("/", {"id": "i"}, authorization="Bearer sesame")

    assert (await shop.asked(request)).status == 200


@pytest.mark.parametrize("hook", [None, anyone])
async def test_a_wrong_token_is_logged_and_not_repeated(
    hook: Authorize | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has it in error looks for the reason there; who guesses is seen there."""
    shop = Shop(hook, secret="sesame")
    said = "a bearer token came that is not the secret of this handler"

    await shop.asked(http("/", {"id": "i"}, authorization="Bearer sesame"))
    assert said not in caplog.text
    await shop.asked(http("/", {"id": "i"}, authorization="Bearer poppy"))

    assert said in caplog.text
    assert "poppy" not in caplog.text
    assert "sesame" not in caplog.text


async def test_without_a_secret_none_is_right() -> None:
    shop = Shop()

    for given in ("Bearer ", "Bearer None", "Bearer null", "Bearer sesame"):
        request = http("/", {"id": "i"}, authorization=given)
        assert (await shop.asked(request)).status == 403


@pytest.mark.parametrize("secret", ["", "  "])
def test_an_empty_secret_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="secret"):
        Shop(secret=secret)


async def test_a_platform_that_authenticates_opens_every_door() -> None:
    shop = Shop(ingress="platform")

    for path, method, body in ACTIONS:
        assert (await shop.asked(http(path, body, method=method))).status == 200


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 200), ("same-origin", 200), ("none", 200)],
)
async def test_what_a_page_of_another_site_sends_is_not_vouched_for(
    site: str, status: int
) -> None:
    """It comes with the cookies of its reader, who knows nothing of it."""
    shop = Shop(ingress="platform")

    for path, method, body in ACTIONS:
        request = http(path, body, method=method, sec_fetch_site=site)
        assert (await shop.asked(request)).status == status
    assert shop.untouched is (status == 403)


async def test_the_secret_and_the_hook_let_in_what_comes_from_another_site() -> None:
    request = http(
        "/", {"id": "i"}, sec_fetch_site="cross-site", authorization="Bearer sesame"
    )
    for shop in (
        Shop(ingress="platform", secret="sesame"),
        Shop(anyone, ingress="platform"),
    ):
        assert (await shop.asked(request)).status == 200


async def test_where_the_platform_authenticates_the_hook_still_decides() -> None:
    shop = Shop(nobody, ingress="platform")

    assert (await shop.asked(http("/", {"id": "i"}))).status == 403
