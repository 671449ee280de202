"""pydantic models and msgspec structs, in the ways that people configure them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest

from edgeflow.errors import DefinitionError, Unencodable
from edgeflow.values import converter, dumps, loads


class Strict(pydantic.BaseModel, strict=True):
    took: timedelta
    price: Decimal
    tags: set[int]
    pair: tuple[int, str]


class Inner(pydantic.BaseModel):
    c: int = pydantic.Field(alias="CC")


class Aliased(pydantic.BaseModel):
    a: int = pydantic.Field(serialization_alias="AA")
    b: int = pydantic.Field(validation_alias="BB")
    inner: list[Inner]


class Blob(pydantic.BaseModel, ser_json_bytes="base64", val_json_bytes="base64"):
    data: bytes


class Closed(pydantic.BaseModel, extra="forbid"):
    a: int = 1

    @pydantic.computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def twice(self) -> int:
        return 2 * self.a


class Open(pydantic.BaseModel, extra="allow"):
    a: int = 1


class Tree(pydantic.BaseModel):
    parts: list[Tree] = []


class Loose(pydantic.BaseModel):
    # Ambiguous for us, but it is pydantic that reads it.
    either: str | Decimal
    at: Annotated[int, pydantic.Field(gt=0)] = 1


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Words(pydantic.RootModel[set[str]]):
    pass


class Odd(pydantic.RootModel[pydantic.AnyUrl]):
    pass


class Keyed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    by: dict[int, bytes]
    more: Keyed | None = None


CASES: list[tuple[object, object]] = [
    (
        Strict,
        Strict(took=timedelta(1, 2, 3), price=Decimal("1.0"), tags={1}, pair=(1, "a")),
    ),
    (Aliased, Aliased.model_validate({"a": 1, "BB": 2, "inner": [{"CC": 3}]})),
    (Blob, Blob(data=b"\xff\x00")),
    (Closed, Closed(a=2)),
    (Open, Open.model_validate({"a": 1, "z": [1]})),
    (list[Open | None], [Open(), None]),
    (Tree | int, Tree(parts=[Tree()])),
    (Loose | None, Loose(either="1")),
    (Numbers | dict[str, int], Numbers([1])),
    (list[Odd], [Odd(pydantic.AnyUrl("http://a/"))]),
    (dict[str, Words], {"a": Words({"b", "a"})}),
    (Keyed, Keyed(by={2: b"a", 1: b"b"}, more=Keyed(by={}))),
]


@pytest.mark.parametrize(("annotation", "value"), CASES)
def test_a_model_comes_back_as_its_library_makes_it(
    annotation: object, value: object
) -> None:
    #
    both = converter(annotation)

    assert both.decode(loads(dumps(both.encode(value)))) == value


def test_a_model_that_has_become_invalid_is_refused_before_it_is_recorded() -> None:
    loose = Loose(either="a")
    loose.at = -1

    with pytest.raises(Unencodable, match=r"\$\.at: .*greater than 0.*not come back"):
        converter(Loose).encode(loose)


def test_a_cyclic_model_is_refused() -> None:
    #
    tree, keyed = Tree(), Keyed(by={})
    tree.parts.append(tree)
    keyed.more = keyed

    for annotation, value in ((Tree, tree), (Any, tree), (Keyed, keyed), (Any, keyed)):
        with pytest.raises(Unencodable, match="cannot dump it"):
            converter(annotation).encode(value)


def test_nan_in_a_model_is_refused() -> None:
    #
    class Measure(pydantic.BaseModel):
        values: list[float]

    with pytest.raises(Unencodable, match=r"\$\.values\[0\]: the float NaN"):
        converter(Measure).encode(Measure(values=[float("nan")]))


@pytest.mark.parametrize("annotation", [Open | dict[str, int], Numbers | list[int]])
def test_a_model_that_may_be_anything_is_ambiguous(annotation: object) -> None:
    #
    with pytest.raises(DefinitionError, match="ambiguous"):
        converter(annotation)


def test_a_user_s_serializer_or_validator_may_fail() -> None:
    class Picky(pydantic.BaseModel):
        kind: Literal["a"] = "a"
        text: str

        @pydantic.field_serializer("text")
        def shout(self, text: str) -> str:
            if not text:
                raise RuntimeError("nothing to shout")
            return text.upper()

    with pytest.raises(Unencodable, match=r"cannot dump it: .*nothing to shout"):
        converter(Picky).encode(Picky(text=""))
    assert converter(Picky).decode({"text": "b"}) == Picky(text="b")
