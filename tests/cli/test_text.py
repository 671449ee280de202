"""Words for a terminal: durations, times, widths, nothing that it would obey."""

from __future__ import annotations

import pytest

from edgeflow.cli._text import brief, cells, clean, cut, pad
from edgeflow.cli._times import ago, ahead, moment, span, waiting

DAY = 86400.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 ms"),
        (0.0004, "0 ms"),
        (0.12, "120 ms"),
        (1, "1.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3599.6, "1 h"),
        (7199, "2 h"),
        (7260, "2 h 1 min"),
        (2 * DAY - 25, "2 d"),
        (1.5 * DAY, "1 d 12 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_past_and_future_are_told_from_now() -> None:
    assert ago(100.0, 100.4) == "now"
    assert ago(95.5, 100.0) == "4 s ago"
    assert ahead(103.0, 100.0) == "in 3.0 s"
    assert ahead(100.0, 100.0) == "due now"
    assert ahead(40.0, 100.0) == "due 1 min ago"


def test_a_time_has_its_date_on_another_day_only() -> None:
    now = 1_700_000_000.0

    assert len(moment(now, now)) == len("22:13:20")
    assert len(moment(now + 3 * DAY, now)) == len("2023-11-17 22:13:20")
    assert moment(1e30, now) == "at no time that a calendar knows"


def test_what_an_instance_waits_for_is_said_in_words() -> None:
    assert waiting(None, ("a", "b"), 0.0) == "message a or b"
    assert waiting(None, (), 0.0) == "due now"
    assert waiting(5.0, (), 100.0) == "due 1 min 35 s ago"
    assert waiting(200.0, (), 100.0, clock=False) == "wakes in 1 min 40 s"
    assert waiting(200.0, ("a",), 100.0, clock=False) == (
        "message a, or wakes in 1 min 40 s"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain ü 日本", "plain ü 日本"),
        ("two\n  lines\r\n\n", "two lines"),
        ("a\tb", "a b"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m\u202e", r"\x9b31m\u202e"),
        ("\ud800", r"\ud800"),
    ],
)
def test_clean_text_is_one_line_that_commands_nothing(text: str, line: str) -> None:
    assert clean(text) == line


def test_widths_are_columns_and_not_characters() -> None:
    assert cells("日本") == 4
    assert cells("u\u0308") == 1
    assert pad("日", 4) == "日  "
    assert cut("日本語", 6) == "日本語"
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"
    assert cut("abc", 1) == "…"
    assert cut("abc", 0) == ""


def test_a_value_is_short_json() -> None:
    assert brief({"a": [1, "ü"]}, 80) == '{"a": [1, "ü"]}'
    assert brief("x" * 100, 6) == '"xxxx…'
    assert brief("\x9b", 80) == r'"\x9b"'
