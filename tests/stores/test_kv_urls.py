"""URLs of backends are shown without what is secret in them."""

from __future__ import annotations

import pytest

from edgeflow.errors import ConfigError
from edgeflow.stores import store_from_url
from edgeflow_kv._urls import parse
from edgeflow_kv.nats._url import parse as parse_servers


@pytest.mark.parametrize("sign", ["/", "#", "?", "@", ":", "\N{FULLWIDTH SOLIDUS}", ""])
@pytest.mark.parametrize(
    "text",
    [
        "redis://me:hush{}hash@host/x",
        "redis://:hush{}hash@host/x",
        "redis://me:12{}hash@host/x",
        "rediss://me:hush{}hash@host/x?no=1",
        "nats://me:hush{}hash@host/x",
        "nats://me:12{}hash@host/x",
        "nats://hush{}hash@host/x",
        "nats://hush{}hash@host,other/x",
        "dynamodb://me:hush{}hash@table/x",
    ],
)
def test_a_password_with_a_sign_that_should_be_quoted_is_not_shown(
    text: str, sign: str
) -> None:
    with pytest.raises(ConfigError, match=r"write |no option") as refused:
        store_from_url(text.format(sign))

    assert "hush" not in str(refused.value)
    assert "hash" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_address_does_not_show_who_one_is() -> None:
    assert "hush" not in repr(parse("redis://me:hush@host", "redis://host"))
    for login in ("hush", "me:hush"):
        assert "hush" not in repr(parse_servers(f"nats://{login}@host,other"))
