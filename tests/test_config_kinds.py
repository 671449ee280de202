"""Kinds of settings: what each reads and refuses, and how a value is shown."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.config import (
    BYTES,
    COUNT,
    FLAG,
    KEYS,
    NUMBER,
    PATH,
    POSITIVE_SECONDS,
    SECONDS,
    TEXT,
    choice,
    sources,
)

if TYPE_CHECKING:
    from edgeflow.config import Config, Kind

SECRET = KEYS["secret"].kind
NAN, INF = float("nan"), float("inf")


def with_arguments(**arguments: Any) -> Config:
    found = sources({}, environ={}, directory=Path("/"))
    return found.config("here", arguments=arguments)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (SECONDS, 30, 30.0),
        (SECONDS, 1.5, 1.5),
        (SECONDS, 0, 0.0),
        (SECONDS, "30", 30.0),
        (SECONDS, "1.5", 1.5),
        (SECONDS, " .5 ", 0.5),
        (SECONDS, "500ms", 0.5),
        (SECONDS, "8s", 8.0),
        (SECONDS, "5 m", 300.0),
        (SECONDS, "2h", 7200.0),
        (SECONDS, "30d", 2_592_000.0),
        (SECONDS, timedelta(minutes=1), 60.0),
        (POSITIVE_SECONDS, "1ms", 0.001),
        (BYTES, 0, 0),
        (BYTES, "256KiB", 2**18),
        (BYTES, "1 MiB", 2**20),
        (BYTES, "2GiB", 2**31),
        (BYTES, "5B", 5),
        (BYTES, "5", 5),
        (NUMBER, 0, 0),
        (COUNT, 1, 1),
        (COUNT, "10", 10),
        (FLAG, False, False),
        (FLAG, "TRUE", True),
        (FLAG, "false", False),
        (TEXT, "x", "x"),
        (PATH, "/a/b-c", "/a/b-c"),
        (choice("a", "b"), "b", "b"),
        (SECRET, "s3-same!~", "s3-same!~"),
        (SECRET, " sesame\r\n", "sesame"),
    ],
)
def test_a_kind_reads_what_is_allowed(kind: Kind, given: object, value: object) -> None:
    found = kind.read(given)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        *((SECONDS, value) for value in (-1, True, NAN, INF, -INF, 10**400, None, [1])),
        *((SECONDS, text) for text in ("", "s", "1 week", "-1", "1e3", "nan", "1s 2m")),
        *((SECONDS, text) for text in ("\u0663s", "9" * 400 + "d")),
        *((POSITIVE_SECONDS, value) for value in (0, "0", 0.0, timedelta())),
        *((BYTES, value) for value in (-1, 1.0, True, "1.5MiB", "1MB", "1kib", "-1")),
        *((COUNT, value) for value in (0, "0", 1.0, False, "1KiB", "5B", "", None)),
        *((NUMBER, value) for value in (-1, "-1", 0.0)),
        *((FLAG, value) for value in (0, 1, "1", "yes", None)),
        *((TEXT, value) for value in ("", " ", 1, None, ["a"], {"a": 1})),
        *((PATH, value) for value in ("", "/", "a", "/a/", "//", "/a b", "/a?b", 1)),
        *((choice("a", "b"), value) for value in ("c", "", "A", 1, None, ["a"])),
        *((SECRET, value) for value in ("", "\n", "a b", "a\tb", "ü", "\0", "\x7f", 1)),
        *((KEYS["store"].kind, value) for value in ("", 1, None)),
    ],
)
def test_a_kind_refuses_what_is_not_allowed(kind: Kind, given: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the caller says what is wrong
        kind.read(given)


@pytest.mark.parametrize("key", KEYS)
def test_a_default_is_allowed_and_can_be_written_as_it_is_shown(
    key: str,
) -> None:
    config, meaning = with_arguments(), KEYS[key]
    if meaning.default is None:
        return

    assert meaning.kind.read(meaning.default) == meaning.default
    assert meaning.kind.read(config.text(key)) == config[key]


@pytest.mark.parametrize(
    ("key", "given", "text"),
    [
        ("linger", 0.25, "0.25s"),
        ("linger", 0, "0s"),
        ("keep_finished", 30 * 86_400, "30d"),
        ("keep_finished", 90_000, "90000s"),
        ("max_body", 0, "0B"),
        ("max_body", 1500, "1500B"),
        ("max_body", 3 * 2**30, "3GiB"),
        ("strict_names", True, "true"),
        ("max_parked", 7, "7"),
        ("version", None, "none"),
        ("version", "v1", "v1"),
    ],
)
def test_a_value_is_shown_as_a_person_writes_it(
    key: str, given: object, text: str
) -> None:
    assert with_arguments(**{key: given}).text(key) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://ann:pa@ss/w@host/db", "postgres://ann:***@host/db"),
        ("redis://:pass@host", "redis://:***@host"),
        ("nats://host?token=t0k&tls=1", "nats://host?token=***&tls=1"),
        ("postgres://h/db?user=a&password=p", "postgres://h/db?user=a&password=***"),
        ("postgres://host:5432/db", "postgres://host:5432/db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
    ],
)
def test_a_password_in_a_url_is_not_shown(url: str, shown: str) -> None:
    config = with_arguments(store=url)

    assert config["store"] == url
    assert config.shown("store") == config.text("store") == shown


def test_a_secret_is_not_shown() -> None:
    config = with_arguments(secret="hush")

    assert config["secret"] == "hush"
    assert config.shown("secret") == config.text("secret") == "(set)"
    assert with_arguments().text("secret") == "none"


def test_a_store_itself_may_be_an_argument() -> None:
    class MyStore:
        def commit(self) -> None: ...

    store = MyStore()
    config = with_arguments(store=store)

    assert config["store"] is store
    assert config.shown("store") == "(MyStore)"
