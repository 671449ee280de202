"""The judge of fleets finds what is wrong: evidence is made up, one flaw at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.figures import latencies
from tests.fleet.judge import End, Life, Verdict, Wanted, judge

if TYPE_CHECKING:
    from edgeflow.testing.processes.log import Line

KEYS = {1: "one", 2: "two"}
WANTED = {"m": Wanted([(1, 1), (2, 2)], [("hello", 0)])}
OUTPUT: dict[str, Any] = {
    "done": [[[1, 1], "one"], [[2, 2], "two"]],
    "got": [["id-0", "hello", 0]],
}
END = End("completed", OUTPUT)


def opened(seq: int) -> Line:
    return ["opened", 0.0, "m", seq, "running"]


def step(number: int, attempt: int = 1) -> list[Line]:
    """A step whose attempt becomes durable."""
    return [
        begun(number, attempt),
        ["ends", 0.0, "m", [number, attempt], KEYS[number]],
        ["asks", 0.0, "m", "running"],
        ["wrote", 0.0, "m", 0, "running"],
        ["durable", 0.0, "m", [number, attempt]],
    ]


def begun(number: int, attempt: int = 1, key: str = "") -> Line:
    return ["begins", 0.0, "m", [number, attempt], key or KEYS[number]]


REST: list[Line] = [
    ["asks", 0.0, "m", "suspended"],
    ["wrote", 0.0, "m", 0, "suspended"],
]
ALL = [opened(1), *step(1), *step(2), *step(2, 2)]


def judged(*lives: list[Line], end: End | None = END) -> Verdict:
    names = [Life(f"life {n}", lines, ended=1.0) for n, lines in enumerate(lives, 1)]
    return judge(names, {} if end is None else {"m": end}, WANTED)


def test_what_is_right_is_praised() -> None:
    assert judged(ALL).complaints == []


def test_what_was_in_flight_may_begin_again_elsewhere() -> None:
    verdict = judged([opened(1), *step(1), begun(2)], [opened(4), *ALL[6:]])

    assert verdict.complaints == []
    assert verdict.repeated == {"taken from the living": 1}


def test_an_owner_that_was_overtaken_may_begin_what_was_its_next() -> None:
    late = [opened(1), *step(1), begun(2)]
    earlier = [opened(4), *step(2), *step(2, 2)]

    assert judged(earlier, late).complaints == []


def test_a_parked_instance_may_die_of_what_it_began_after_its_rest() -> None:
    first = [opened(1), *step(1), *REST, begun(2)]

    assert judged(first, [opened(4), *ALL[6:]]).complaints == []


AGAIN: dict[str, tuple[list[list[Line]], str]] = {
    "what came before": (
        [ALL, [opened(9), *step(1)]],
        "life 2 begins (1, 1) though (2, 2) had begun",
    ),
    "an attempt that has failed": (
        [ALL, [opened(9), *step(2)]],
        "life 2 begins (2, 1) though (2, 2) had begun",
    ),
    "what is durable": (
        [ALL, [opened(9), begun(2, 2)]],
        "life 2 begins (2, 2), which life 1 had made durable",
    ),
    "twice under one OPEN": (
        [[*ALL, begun(2, 2)]],
        "life 1 begins a step twice under one OPEN",
    ),
    "without an OPEN": ([ALL[1:]], "life 1 begins [1, 1] without an OPEN"),
    "though it rested": (
        [[opened(1), *step(1), begun(2), *REST], [opened(4), *ALL[6:]]],
        "life 2 begins (2, 1) again, though life 1 had begun it and come to rest",
    ),
    "under another key": (
        [[opened(1), *step(1), begun(2)], [opened(4), begun(2, 1, "x"), *ALL[7:]]],
        "(2, 1) has two keys",
    ),
}


@pytest.mark.parametrize("flaw", AGAIN)
def test_a_step_that_is_begun_again_is_found(flaw: str) -> None:
    lives, words = AGAIN[flaw]

    assert words in "\n".join(judged(*lives).complaints)


ENDS: dict[str, tuple[End | None, str]] = {
    "blocked": (End("blocked"), "m: it is blocked"),
    "stuck": (End("suspended"), "m: it is suspended"),
    "gone": (None, "m: it is lost"),
    "another step": (
        replace(END, output=OUTPUT | {"done": OUTPUT["done"][:1]}),
        "m: its steps gave [((1, 1), 'one')]",
    ),
    "another key": (
        replace(END, output=OUTPUT | {"done": [[[1, 1], "x"], [[2, 2], "two"]]}),
        "m: its steps gave",
    ),
    "a lost message": (
        replace(END, output=OUTPUT | {"got": []}),
        "m: messages: [\"('hello', 0)\"] are lost",
    ),
    "a strange message": (
        replace(END, output=OUTPUT | {"got": [*OUTPUT["got"], ["id-1", "x", 1]]}),
        "[\"('x', 1)\"] were not sent",
    ),
    "one id twice": (
        replace(END, output=OUTPUT | {"got": OUTPUT["got"] * 2}),
        "m: messages: some were received twice",
    ),
    "a doubled message": (
        replace(END, output=OUTPUT | {"got": [*OUTPUT["got"], ["id-1", "hello", 0]]}),
        "m: messages: some were received twice",
    ),
    "an unread message": (replace(END, unread=1), "m: 1 messages are left"),
}


@pytest.mark.parametrize("flaw", ENDS)
def test_a_wrong_end_is_found(flaw: str) -> None:
    end, words = ENDS[flaw]

    assert words in "\n".join(judged(ALL, end=end).complaints)


def test_an_instance_that_nobody_started_is_found() -> None:
    verdict = judge([Life("life 1", ALL)], {"m": END}, {})

    assert verdict.complaints == ["m: nobody started it"]


def test_how_instances_are_lost_is_counted() -> None:
    lives = [
        Life("rests", [opened(1), *step(1), *REST], ended=9.0),
        Life("dies", [opened(4), begun(2)], ended=-1.0),
        Life("lives", [opened(5), begun(2)], ended=9.0),
        Life("ends", [opened(6), *ALL[6:]], ended=9.0),
    ]

    verdict = judge(lives, {"m": END}, WANTED)

    assert verdict.counts == {
        "first": 1,
        "moved": 1,
        "taken from the dead": 1,
        "taken from the living": 1,
    }
    assert verdict.repeated == {"taken from the dead": 1, "taken from the living": 1}


def test_a_message_is_late_from_when_it_was_both_sent_and_awaited() -> None:
    lines: list[Line] = [
        ["waits", 1.0, "m", "hello"],
        ["received", 5.0, "m", "hello", 3.0],
        ["waits", 6.0, "m", "ticket"],
        ["received", 7.0, "m", "ticket", 3.0],
        ["woke", 9.0, "m", 8.5],
        ["claimed", 9.0, "", 0.25, 3],
    ]

    late = latencies([Life("life 1", lines)])

    assert {kind: figures["longest"] for kind, figures in late.items()} == {
        "beside": 1.0,
        "claim": 0.25,
        "message": 2.0,
        "wake": 0.5,
    }
