"""Late dataclasses are dataclasses: the same to everybody, and made for who asks."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

import pytest

from edgeflow import late

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MAKERS = {"at once": dataclasses, "late": late}


@pytest.fixture(params=[0, late.FEW], ids=["compiled", "few"], autouse=True)
def _few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether an instance is made by what is compiled for its class, or not yet."""
    monkeypatch.setattr(late, "FEW", request.param)


def both(define: Callable[[Any], Any]) -> tuple[Any, Any]:
    """What `define` makes of the module that is given, with either one."""
    return define(dataclasses), define(late)


def frozen(module: Any) -> Any:
    @module.dataclass(frozen=True, slots=True)
    class Point:
        """A place."""

        x: int
        y: int = 2
        names: list[str] = module.field(default_factory=lambda: ["a"])

        @property
        def both(self) -> tuple[int, int]:
            return self.x, self.y

    return Point


def keyword(module: Any) -> Any:
    @module.dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        """By keywords, in any order."""

        a: int = 1
        b: int

    return Named


def open_to_changes(module: Any) -> Any:
    @module.dataclass(slots=True)
    class Open:
        """May be changed."""

        x: int
        y: int = 0

    return Open


def hashed(module: Any) -> Any:
    @module.dataclass(slots=True, unsafe_hash=True)
    class Hashed:
        """May be changed, and is hashed."""

        x: int

    return Hashed


def unlike(module: Any) -> Any:
    @module.dataclass(frozen=True, slots=True)
    class Unlike:
        """Not all of it counts."""

        x: int
        note: str = module.field(default="", compare=False)
        more: list[int] = module.field(default_factory=list[int], compare=False)

    return Unlike


def checking(module: Any) -> Any:
    @module.dataclass(frozen=True, slots=True)
    class Checked:
        """Looks at its values."""

        x: int

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError(self.x)

    return Checked


def generic(module: Any) -> Any:
    @module.dataclass(frozen=True, slots=True)
    class Box(Generic[T]):
        """Holds one."""

        value: T

    return Box


def empty(module: Any) -> Any:
    @module.dataclass(frozen=True, slots=True)
    class Empty:
        """Holds nothing."""

    return Empty


@late.dataclass(frozen=True, slots=True)
class Kept:
    """At the top of a module, for pickle."""

    x: int
    y: tuple[str, ...] = ()


SHAPES = (
    (frozen, [(1,), (1, 3), (1, 3, ["b"]), (2,)]),
    (open_to_changes, [(1,), (1, 0), (1, 3)]),
    (hashed, [(1,), (2,)]),
    (generic, [(1,), ("a",)]),
    (unlike, [(1,), (1, "a"), (1, "a", [1]), (2,)]),
    (empty, [()]),
)


@pytest.mark.parametrize(("define", "calls"), SHAPES)
def test_instances_look_and_compare_alike(
    define: Callable[[Any], Any], calls: list[tuple[Any, ...]]
) -> None:
    classes = both(define)
    one, other = ([cls(*call) for call in calls] for cls in classes)

    assert list(map(repr, one)) == [repr(each).replace("late", "") for each in other]
    assert [[a == b for b in one] for a in one] == [
        [a == b for b in other] for a in other
    ]
    assert [a != b for a, b in zip(one, other, strict=True)] == [True] * len(calls)
    assert all(a.__eq__(1) is NotImplemented for a in (*one, *other))
    for at_once, afterwards in zip(one, other, strict=True):
        assert dataclasses.asdict(afterwards) == dataclasses.asdict(at_once)
        assert dataclasses.astuple(afterwards) == dataclasses.astuple(at_once)


def test_what_is_frozen_or_asks_for_it_has_a_hash() -> None:
    late_point, late_hashed = keyword(late), hashed(late)

    assert hash(late_point(b=1)) == hash(late_point(b=1, a=1))
    assert hash(late_hashed(1)) == hash(late_hashed(1))
    for module in (dataclasses, late):
        with pytest.raises(TypeError, match="unhashable type: 'Open'"):
            hash(open_to_changes(module)(1))


def test_each_instance_has_a_default_of_its_own_from_a_factory() -> None:
    cls = frozen(late)
    one, other = cls(1), cls(1)

    assert one.names == other.names == ["a"]
    assert one.names is not other.names


@pytest.mark.parametrize("module", MAKERS.values(), ids=MAKERS)
def test_a_frozen_one_refuses_every_change(module: Any) -> None:
    point = frozen(module)(1)

    with pytest.raises(dataclasses.FrozenInstanceError, match="assign to field 'x'"):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="delete field 'x'"):
        del point.x
    assert point.x == 1


@pytest.mark.parametrize("module", MAKERS.values(), ids=MAKERS)
def test_one_that_is_not_can_be_changed_but_has_no_other_attributes(
    module: Any,
) -> None:
    thing = open_to_changes(module)(1)
    thing.x = 5

    assert (thing.x, thing.y) == (5, 0)
    assert not hasattr(thing, "__dict__")
    with pytest.raises(AttributeError):
        thing.z = 1


@pytest.mark.parametrize(
    ("args", "given"),
    [((), {"y": 1}), ((1, 2, 3, 4), {}), ((1,), {"z": 1}), ((1,), {"x": 1})],
)
def test_a_wrong_call_is_refused_in_the_same_words(
    args: tuple[Any, ...], given: dict[str, Any]
) -> None:
    said: list[str] = []
    for cls in both(frozen):
        with pytest.raises(TypeError) as refused:
            cls(*args, **given)
        said.append(str(refused.value).replace("frozen.<locals>.", ""))

    assert said[0] == said[1]


@pytest.mark.parametrize(
    "define", [frozen, keyword, open_to_changes, unlike, checking, generic]
)
def test_it_is_described_alike(define: Callable[[Any], Any]) -> None:
    at_once, made = both(define)

    assert str(inspect.signature(made)) == str(inspect.signature(at_once))
    assert made.__match_args__ == at_once.__match_args__
    assert made.__doc__ == at_once.__doc__
    assert made.__qualname__ == at_once.__qualname__
    assert made.__slots__ == at_once.__slots__
    assert dataclasses.is_dataclass(made)
    shown = [
        [(f.name, f.type, f.default, f.kw_only) for f in dataclasses.fields(cls)]
        for cls in (at_once, made)
    ]
    assert shown[0] == shown[1]
    is_frozen: list[bool] = [
        getattr(cls, "__dataclass_params__").frozen  # noqa: B009  no type has it
        for cls in (at_once, made)
    ]
    assert is_frozen == [define is not open_to_changes] * 2


def test_the_names_in_its_annotations_are_those_of_its_module() -> None:
    assert get_type_hints(Kept.__init__) == {
        "x": int,
        "y": tuple[str, ...],
        "return": type(None),
    }


@pytest.mark.parametrize("replace", [late.replace, dataclasses.replace])
def test_a_copy_can_have_other_values(replace: Callable[..., Any]) -> None:
    for module in (dataclasses, late):
        point = frozen(module)(1)

        assert replace(point, y=7).both == (1, 7)
        with pytest.raises(TypeError, match="'z'"):
            replace(point, z=7)
    assert replace(keyword(late)(b=1), a=2).a == 2


def test_it_can_be_matched() -> None:
    match Kept(1, ("a",)):
        case Kept(1, y=("a",)):
            pass
        case _:
            pytest.fail("no match")


def test_what_looks_at_its_values_does_so() -> None:
    cls = checking(late)

    assert cls(1).x == 1
    with pytest.raises(ValueError, match="-1"):
        cls(-1)


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy])
def test_it_can_be_copied(twin: Callable[[Any], Any]) -> None:
    point = frozen(late)(1, 2, ["z"])

    assert twin(point) == point
    assert (twin(point).names is point.names) == (twin is copy.copy)


def test_it_can_be_unpickled_where_none_was_made_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = pickle.dumps(Kept(1, ("a",)))
    monkeypatch.setattr(Kept, "__init__", None)

    found = pickle.loads(data)

    assert (found.x, found.y) == (1, ("a",))


def test_a_class_may_build_on_it() -> None:
    base = open_to_changes(late)

    class Wider(base):  # type: ignore[misc, valid-type]
        def __init__(self, x: int, z: int) -> None:
            super().__init__(x)  # pyright: ignore[reportUnknownMemberType]
            self.z = z

    first, second = Wider(1, 2), Wider(3, 4)

    assert (first.x, first.z, second.x, second.z) == (1, 2, 3, 4)
    assert base(5).x == 5


def test_a_dataclass_may_build_on_it() -> None:
    for base in both(frozen):

        @dataclasses.dataclass(frozen=True, slots=True)
        class Wider(base):  # type: ignore[misc, valid-type]
            z: int = 9

        assert Wider(1, z=3).z == 3
        assert [f.name for f in dataclasses.fields(Wider)] == ["x", "y", "names", "z"]


@pytest.mark.parametrize(
    "twin",
    [
        copy.copy,
        copy.deepcopy,
        late.replace,
        dataclasses.replace,
    ],
    ids=["copy", "deepcopy", "replace", "dataclasses.replace"],
)
def test_a_dataclass_that_builds_on_it_is_copied_with_its_own_fields(
    twin: Callable[[Any], Any],
) -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Wider(frozen(late)):  # type: ignore[misc]
        z: int = 0
        w: str = "unset"

    found = twin(Wider(1, z=3, w="mine"))

    assert (found.x, found.z, found.w) == (1, 3, "mine")


def test_hints_name_the_fields_and_nothing_else() -> None:
    assert get_type_hints(keyword(late)).keys() == {"a", "b"}


def test_it_is_made_though_its_module_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = frozen(late)
    monkeypatch.delitem(sys.modules, __name__, raising=False)

    assert [cls(n).x for n in range(3)] == [0, 1, 2]
    with pytest.raises(TypeError):
        cls(bogus=1)


def test_without_slots_it_is_refused() -> None:
    with pytest.raises(TypeError, match="say slots=True"):
        late.late(frozen=True)


def test_nothing_is_compiled_before_it_is_used_again_and_again() -> None:
    cls: type[Any] = frozen(late)
    made: list[Any] = []
    compiled: list[bool] = []
    for number in range(late.FEW + 2):
        made.append(cls(number, y=number, names=["b"]))
        compiled.append(inspect.isfunction(vars(cls)["__init__"]))

    assert compiled == [False] * late.FEW + [True, True]
    assert [each.both for each in made] == [(n, n) for n in range(late.FEW + 2)]
    assert made[0] == cls(0, 0, ["b"])
    assert isinstance(vars(cls)["__dataclass_fields__"], late.Late)


def test_dataclasses_are_not_even_imported() -> None:
    script = (
        "import sys; from edgeflow.errors import ErrorInfo; from edgeflow.late import "
        "replace; error = replace(ErrorInfo('a', 'b'), message='c'); hash(error); "
        "print(error == ErrorInfo('a', 'c'), 'dataclasses' in sys.modules)"
    )

    shown = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import sys; sys.path[:] = {sys.path!r}; {script}",
        ],
        check=True,
        capture_output=True,
        text=True,
    )

    assert shown.stdout.split() == ["True", "False"]
