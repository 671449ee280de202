"""For every annotation and every value of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.errors import DefinitionError, Unencodable
from edgeflow.values import converter, dumps, loads
from tests.values.annotations import annotated, json_values

if TYPE_CHECKING:
    from edgeflow.values import Json


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_value_comes_back_through_its_bytes(data: st.DataObject) -> None:
    # R-01 R-10
    annotation, values = data.draw(annotated)
    value = data.draw(values)
    both = converter(annotation)

    encoded = dumps(both.encode(value))
    back = both.decode(loads(encoded))

    assert back == value
    assert type(back) is type(value)
    assert dumps(both.encode(back)) == encoded


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_plain_json_comes_back_as_it_is(value: Json) -> None:
    #
    both = converter(Any)

    assert repr(both.decode(loads(dumps(both.encode(value))))) == repr(value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_union_is_refused_or_keeps_its_members_apart(data: st.DataObject) -> None:
    #
    members = data.draw(st.lists(annotated, min_size=2, max_size=3))
    try:
        both = converter(Union[tuple(each[0] for each in members)])  # noqa: UP007
    except DefinitionError:
        return
    value = data.draw(st.one_of([each[1] for each in members]))

    back = both.decode(loads(dumps(both.encode(value))))

    assert back == value
    assert type(back) is type(value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_without_annotation_a_value_becomes_json_or_is_refused(
    data: st.DataObject,
) -> None:
    #
    both = converter(Any)
    try:
        encoded = both.encode(data.draw(data.draw(annotated)[1]))
    except Unencodable as error:
        assert "key" in error.why or "keys" in error.why  # noqa: PT017
        return

    assert both.encode(encoded) == encoded
    assert loads(dumps(encoded)) == encoded


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1e308, 0.1 + 0.2])
def test_a_float_keeps_every_bit(value: float) -> None:
    #
    back = converter(float).decode(loads(dumps(converter(float).encode(value))))

    assert math.copysign(1, back) == math.copysign(1, value)
    assert back.hex() == value.hex()
