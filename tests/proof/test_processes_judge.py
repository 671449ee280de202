"""What processes did, judged by what was durable: each wrong is told from right."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest

from edgeflow.testing.processes.judge import Effect, Judge

Lines: TypeAlias = list[list[Any]]
Step: TypeAlias = tuple[str, str, int]
"""Its name, its status, and how many attempts it made."""


def began(attempt: int = 1, name: str = "a") -> list[Any]:
    return ["began", "it", [name, 0], f"{name}[0]", attempt]


def asked(frame: int, *steps: Step) -> list[Any]:
    return ["asked", frame, "it", frame, [], records(steps)]


def written(frame: int, *steps: Step) -> Lines:
    return [asked(frame, *steps), ["acked", frame]]


def found(frame: int, *steps: Step) -> list[Any]:
    return ["found", {"it": {"seq": frame, "entries": records(steps)}}]


def records(steps: tuple[Step, ...]) -> list[Any]:
    return [[[name, 0], f"{name}[0]", status, n] for name, status, n in steps]


DONE: Step = ("a", "completed", 1)
FAILED: Step = ("a", "retrying", 1)
MEANT: Step = ("a", "started", 1)
"""The intent of an attempt of a step that is at_most_once."""

FINE: dict[str, list[Lines]] = {
    "one step after the other": [[began(), *written(1, DONE), began(name="b")]],
    "a killed start is made again": [[began()], [found(1), began()]],
    "so is one whose outcome was not written": [
        [*written(1), began(), asked(2, DONE)],
        [found(1), began()],
    ],
    "a failure counts once it is written": [
        [began(), *written(1, FAILED), began(2)],
        [found(1, FAILED), began(2), *written(2, ("a", "completed", 2))],
        [found(2, ("a", "completed", 2)), began(name="b")],
    ],
    "it was written, and nobody was told": [
        [began(), asked(1, FAILED)],
        [found(1, FAILED), began(2)],
    ],
    "an intent is written, and then the attempt is made": [
        [*written(1, MEANT), began(), *written(2, FAILED)],
        [found(2, FAILED), *written(3, ("a", "started", 2)), began(2)],
    ],
    "what is pruned is not found any more": [
        [began(), *written(1, DONE)],
        [found(2), began(name="b")],
    ],
}

WRONG: dict[str, list[Lines]] = {
    "a[0] of it begins again, though it is completed": [
        [began(), *written(1, DONE)],
        [found(1), began()],
    ],
    "a[0] of it begins again, though it is at_most_once": [
        [*written(1, MEANT), began()],
        [found(1, MEANT), began()],
    ],
    "a[0] of it makes attempt 1, and 1 failed attempts are durable": [
        [began(), *written(1, FAILED)],
        [found(1), began()],
    ],
    "a[0] of it makes attempt 2, and 0 failed attempts are durable": [
        [began(), asked(1, FAILED), began(2)],
    ],
    "a[0] of it makes attempt 1 twice in one process": [[began(), began()]],
    "it: frame 2 was acknowledged, frame 1 is the last": [
        [*written(1), *written(2)],
        [found(1)],
    ],
    "a[0] of it is failed after 1 attempts, and was completed after 1": [
        [found(1, DONE)],
        [found(1, ("a", "failed", 1))],
    ],
    "a[0] of it is retrying after 1 attempts, and was retrying after 2": [
        [*written(2, ("a", "retrying", 2))],
        [found(2, FAILED)],
    ],
}


def judged(lives: list[Lines]) -> Judge:
    judge = Judge()
    for lines in lives:
        judge.hear(lines)
    return judge


@pytest.mark.parametrize("lives", FINE.values(), ids=FINE)
def test_what_is_fine_is_let_pass(lives: list[Lines]) -> None:
    # O-11, G7, G8
    assert judged(lives).complaints == []


@pytest.mark.parametrize(("why", "lives"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_is_said(why: str, lives: list[Lines]) -> None:
    # O-12, G7, G8
    assert judged(lives).complaints == [why]


def test_what_was_in_flight_and_what_is_begun_again_is_told() -> None:
    judge = Judge()
    one, two = Effect("it", "a[0]", 1), Effect("it", "b[0]", 1)

    judge.hear([began(), asked(1, DONE), began(name="b"), ["acked", 1]])
    assert judge.in_flight == [two]
    judge.hear([found(1, DONE), began(name="b")])

    assert judge.in_flight == judge.again == [two]
    assert one not in judge.again
