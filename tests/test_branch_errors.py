"""`JoinError` and `RaceError` as groups: split, `except*`, nested in each other."""

from __future__ import annotations

import pytest

from edgeflow import JoinError, RaceError


def nested() -> JoinError:
    inner = JoinError({"c": KeyError("c"), "d": OSError("d")})
    return JoinError({"a": inner, "b": ValueError("b")})


def test_a_part_of_a_nested_group_keeps_the_names_of_its_branches() -> None:
    # E-02 E-04
    found, rest = nested().split(KeyError)

    assert isinstance(found, JoinError)
    assert isinstance(rest, JoinError)
    assert list(found.errors) == ["a"]
    assert list(rest.errors) == ["a", "b"]
    inner = found.errors["a"]
    assert isinstance(inner, JoinError)
    assert [repr(each) for each in inner.errors.values()] == ["KeyError('c')"]


def test_except_star_sees_what_lies_in_a_block_within_a_block() -> None:
    # E-02 E-04
    seen: list[str] = []

    def body() -> None:
        try:
            raise nested()
        except* KeyError as group:
            seen.extend(map(str, group.exceptions))

    with pytest.raises(JoinError) as left:
        body()

    assert len(seen) == 1
    assert list(left.value.errors) == ["a", "b"]


def test_one_error_of_two_branches_and_the_words_for_items_are_kept() -> None:
    # E-02 E-12
    error = ValueError("both")
    found = JoinError({"0": error, "1": error}, "items").subgroup(ValueError)
    race = RaceError({"a": error}).subgroup(lambda each: each is error)

    assert isinstance(found, JoinError)
    assert found.errors == {"0": error, "1": error}
    assert found.message == "items failed: '0', '1'"
    assert isinstance(race, RaceError)
