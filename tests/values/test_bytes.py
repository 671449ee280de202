"""What stands in the journal: JSON, the same bytes in every process."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow.errors import Undecodable, Unencodable
from edgeflow.values import converter, dumps, loads, stdjson, wire

if TYPE_CHECKING:
    from edgeflow.values import Json

PROGRAM = """
import sys, enum, dataclasses, typing, uuid, datetime, decimal, pydantic, msgspec
from edgeflow.values import converter, dumps

@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    name: str = "a"

class Model(pydantic.BaseModel):
    tags: set[str]
    deep: dict[str, list[frozenset[str]]]
    points: set[Point] = set()

class Struct(msgspec.Struct):
    tags: set[str]

words = {f"w{n}" for n in range(50)}
mixed = words | {1, 2.5, None, True, b"x", (1, 2), frozenset(words)}
values = [
    (typing.Any, mixed),
    (set[str], words),
    (frozenset[Point], frozenset(Point(n, str(n)) for n in range(20))),
    (set[uuid.UUID | datetime.date], {uuid.UUID(int=n) for n in range(20)}),
    (dict[str, set[str]], {"b": words, "a": words}),
    (Model, Model(tags=words, deep={"a": [words]}, points={Point(1), Point(2, "b")})),
    (Struct, Struct(words)),
    (pydantic.RootModel[set[str]], pydantic.RootModel[set[str]](words)),
    (typing.Any, [Model(tags=words, deep={}), Struct(words), Point(1)]),
]
for annotation, value in values:
    sys.stdout.buffer.write(dumps(converter(annotation).encode(value)) + b"\\n")
"""


def run(program: str, seed: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    return done.stdout


def test_equal_values_give_equal_bytes_in_two_processes() -> None:
    #
    one, other = run(PROGRAM, "1"), run(PROGRAM, "2")

    assert one.count(b"\n") == 9
    assert one == other


def test_equal_values_give_equal_bytes_twice() -> None:
    #
    words = list(map(str, range(100)))
    both = converter(set[str])

    backwards = words[::-1]
    one, other = set(words), set(backwards)

    assert dumps(both.encode(one)) == dumps(both.encode(other))


def test_a_dict_keeps_its_order() -> None:
    #
    for annotation in (Any, dict[str, int]):
        both = converter(annotation)
        assert list(both.decode(loads(dumps(both.encode({"b": 1, "a": 2}))))) == [
            "b",
            "a",
        ]


def test_nothing_is_imported_at_import_but_what_is_needed() -> None:
    program = (
        "import sys, edgeflow.values\n"
        "print(*sorted({'orjson', 'json', 'pydantic', 'msgspec', 'attr', 'asyncio',"
        " 'datetime', 'decimal', 'uuid'} & sys.modules.keys()))"
    )

    assert run(program, "0").strip() == b""


def test_data_that_names_a_type_imports_and_makes_nothing() -> None:
    #
    program = """
import sys
from typing import TYPE_CHECKING, Any
from edgeflow.values import converter, loads
data = loads(b'{"__class__": "antigravity.X", "type": "fractions.Fraction",'
    b' "py/object": "colorsys.Y", "$type": "wave.Z"}')
loaded = set(sys.modules)
for annotation in (Any, dict, dict[str, str], dict[str, Any] | list[Any]):
    assert converter(annotation).decode(data) == data
print(*sorted((set(sys.modules) - loaded) & {"antigravity", "fractions", "colorsys",
    "wave", "pickle"}))
"""
    assert run(program, "0").strip() == b""


def test_bytes_are_json_and_no_pickle() -> None:
    #
    data = dumps(converter(Any).encode({"a": (1, b"x", {2})}))

    assert json.loads(data) == {"a": [1, "eA==", [2]]}
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)


@pytest.fixture(params=["orjson", "json"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "json":
        monkeypatch.setitem(sys.modules, "orjson", None)
    monkeypatch.setattr(wire, "_found", [])
    expected: Any = (
        stdjson if request.param == "json" else importlib.import_module("orjson")
    )
    assert wire.find_library()[:2] == (expected.dumps, expected.loads)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"b": [1, None], "a": True}, b'{"b":[1,null],"a":true}'),
        ("ü\u2028\x00", '"ü\u2028\\u0000"'.encode()),
        (2**64 - 1, b"18446744073709551615"),
        (-(2**63), b"-9223372036854775808"),
        (-0.0, b"-0.0"),
        (5e-324, b"5e-324"),
        (1.0, b"1.0"),
        (0.1, b"0.1"),
    ],
)
def test_plain_values_have_compact_bytes_with_either_library(
    value: Json, data: bytes
) -> None:
    assert dumps(value) == data
    assert repr(loads(data)) == repr(value)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("value", ["\ud800", object()])
def test_what_is_not_plain_json_has_no_bytes_with_either_library(value: Json) -> None:
    with pytest.raises(Unencodable, match="not plain JSON"):
        dumps(value)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"NaN", b"\xff", b'"\\ud800"', b"1e999", b"-Infinity", b"9" * 400],
)
def test_bytes_that_are_not_json_are_undecodable_with_either_library(
    data: bytes,
) -> None:
    with pytest.raises(Undecodable, match="not JSON"):
        loads(data)


@pytest.mark.usefixtures("_library")
def test_an_int_of_foreign_json_beyond_the_limits_is_a_float_with_either_library() -> (
    None
):
    assert repr(loads(b"[18446744073709551616, -9223372036854775809]")) == (
        "[1.8446744073709552e+19, -9.223372036854776e+18]"
    )
    assert loads(b"1" * 25) == float("1" * 25)
