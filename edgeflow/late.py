"""Dataclasses that cost next to nothing until they are used.

`dataclasses.dataclass` writes and compiles the methods of each class at import, which
takes 0.5 ms and more: of sixty classes that was a third of a cold start. Here
`__init__` is compiled once some instances were made, the other methods need not be
compiled, and fields are worked out for who asks: `dataclasses.fields`, `asdict`.

To a type checker this is `dataclasses.dataclass`, and so it is to everybody else, for
classes without ClassVar, InitVar and `super()`, whose bases are no dataclasses.
"""

from __future__ import annotations

import sys
from functools import partial
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from dataclasses import dataclass, field, replace

__all__ = ["dataclass", "field", "late", "replace"]

T = TypeVar("T")

FIELDS = "__dataclass_fields__"
PARAMS = "__dataclass_params__"

FEW = 32
"""Instances of a class that are made before it is worth to compile what makes them."""


class Field:
    """What a class says of a field, but for its name and type."""

    __slots__ = ("options",)

    def __init__(self, **options: Any) -> None:
        """Take `default`, or `default_factory`, and `compare`."""
        self.options = options

    def make(self) -> Any:
        """Make the default of an instance, by the factory."""
        return self.options["default_factory"]()

    def __repr__(self) -> str:
        return "<factory>"


class Shape:
    """What a class says of its fields."""

    __slots__ = (
        "annotations",
        "defaults",
        "frozen",
        "given",
        "kw_only",
        "names",
        "values",
    )

    def __init__(self, cls: type, *, frozen: bool, kw_only: bool) -> None:
        """Read the annotations and defaults of `cls`."""
        self.annotations: dict[str, Any] = cls.__annotations__
        self.names = tuple(self.annotations)
        self.given = {n: vars(cls)[n] for n in self.names if n in vars(cls)}
        self.frozen = frozen
        self.kw_only = kw_only
        self.defaults: dict[str, Any] = {}
        """For whoever makes an instance; a `Field` if a factory is to be called."""
        compared = list(self.names)
        for name, value in self.given.items():
            options = value.options if isinstance(value, Field) else {"default": value}
            if options.keys() & {"default", "default_factory"}:
                self.defaults[name] = options.get("default", value)
            if not options.get("compare", True):
                compared.remove(name)
        self.values: Callable[[Any], Any] = attrgetter("__class__", *compared)
        """The values that count of an instance, and its class."""

    def init_of(self, cls: type) -> Any:
        """Compile `__init__`; that of a frozen class sets slots by their descriptors.

        That is also faster than `object.__setattr__`, which dataclasses use.
        """
        known: dict[str, Any] = {f"_default_{n}": v for n, v in self.defaults.items()}
        lines: list[str] = []
        for name in self.names:
            value = name
            if isinstance(self.defaults.get(name), Field):
                default = f"_default_{name}"
                value = f"{default}.make() if {name} is {default} else {name}"
            if self.frozen:
                known[f"_set_{name}"] = vars(cls)[name].__set__
                lines.append(f"_set_{name}(self, {value})")
            else:
                lines.append(f"self.{name} = {value}")
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        takes = [f"{n}=_default_{n}" if n in self.defaults else n for n in self.names]
        parameters = ", ".join(["self", *["*"][: self.kw_only], *takes])
        text = (
            f"def make({', '.join(known)}):\n"
            f" def __init__({parameters}):\n  {'; '.join(lines) or 'pass'}\n"
            " return __init__"
        )
        made: dict[str, Any] = {}
        # In the names of its module, as that of a dataclass is: annotations are there.
        names = getattr(sys.modules.get(cls.__module__), "__dict__", {})
        exec(text, names, made)  # noqa: S102  as dataclasses do
        init = made["make"](**known)
        init.__qualname__ = f"{cls.__qualname__}.__init__"
        init.__annotations__ = {**self.annotations, "return": None}
        return init

    def dataclass_of(self, cls: type) -> type:
        """Make a dataclass of the same fields, to have these."""
        import dataclasses  # noqa: PLC0415  costly, and seldom needed

        space: dict[str, Any] = {
            name: dataclasses.field(**value.options)
            if isinstance(value, Field)
            else value
            for name, value in self.given.items()
        }
        space |= {"__annotations__": self.annotations, "__module__": cls.__module__}
        same = dataclasses.dataclass(frozen=self.frozen, kw_only=self.kw_only)
        return same(type(cls.__name__, (), space))


class Late:
    """Stands for an attribute of a class until somebody asks for it."""

    __slots__ = ("make", "name", "owner")

    def __init__(self, make: Callable[[type], Any]) -> None:
        """Have `make` make it, of the class."""
        self.make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        made = self.make(self.owner)
        setattr(self.owner, self.name, made)
        if instance is None or not hasattr(made, "__get__"):
            return made
        # Not by its name: `owner` may have another.
        return made.__get__(instance, owner)


class First(Late):
    """Stands for `__init__`, and fills the first instances itself.

    That takes a tenth of what compiling does, and most classes have few.
    """

    __slots__ = ("count", "shape")

    def __init__(self, shape: Shape) -> None:
        """Fill instances of this shape."""
        super().__init__(shape.init_of)
        self.shape = shape
        self.count = 0

    def __get__(self, instance: object, owner: type) -> Any:
        # `inspect` asks with None, or with the class itself: it wants the signature.
        if self.count >= FEW or not isinstance(instance, self.owner):
            return super().__get__(instance, owner)
        self.count += 1
        return partial(self._fill, instance)

    def _fill(self, instance: Any, /, *args: Any, **given: Any) -> None:
        names = self.shape.names
        placed = {} if self.shape.kw_only else dict(zip(names, args, strict=False))
        values = {**self.shape.defaults, **placed, **given}
        is_right = len(placed) == len(args) and placed.keys().isdisjoint(given)
        if not is_right or values.keys() != set(names):
            init = super().__get__(instance, self.owner)
            init(*args, **given)  # refuses it, in the words of Python
            return
        for name in names:
            value = values[name]
            made = value.make() if isinstance(value, Field) else value
            object.__setattr__(instance, name, made)
        if hasattr(instance, "__post_init__"):
            instance.__post_init__()


def names_of(value: Value) -> Sequence[str]:
    """Name the fields of a value, whose class may be a dataclass made of a late one."""
    for cls in type(value).__mro__:
        if "__late__" in vars(cls):
            break
        if FIELDS in vars(cls):
            import dataclasses  # noqa: PLC0415  costly, and seldom needed

            return [field.name for field in dataclasses.fields(cast("Any", value))]
    return value.__late__.names


class Value:
    """What all late dataclasses do alike; `__late__` says with which fields."""

    __slots__ = ()
    if TYPE_CHECKING:
        __late__: Shape

    @recursive_repr()
    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__late__.names)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        values = self.__late__.values
        return values(self) == values(other)

    def __hash__(self) -> int:
        return hash(self.__late__.values(self))

    def __replace__(self, /, **changes: Any) -> Any:
        names = names_of(self)
        kept = {name: getattr(self, name) for name in names if name not in changes}
        return self.__class__(**kept, **changes)

    def __getstate__(self) -> list[Any]:
        return [getattr(self, name) for name in names_of(self)]

    def __setstate__(self, state: list[Any]) -> None:
        for name, value in zip(names_of(self), state, strict=True):
            object.__setattr__(self, name, value)


class Frozen(Value):
    """One that refuses changes."""

    __slots__ = ()

    def __setattr__(self, name: str, _value: object) -> None:
        refuse(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        refuse(f"cannot delete field {name!r}")


def refuse(change: str) -> NoReturn:
    """Refuse to change what is frozen, as dataclasses do.

    Raises:
        FrozenInstanceError: always.
    """
    from dataclasses import FrozenInstanceError  # noqa: PLC0415  only in trouble

    raise FrozenInstanceError(change)


def late(
    *,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
    unsafe_hash: bool = False,
) -> Callable[[type[T]], type[T]]:
    """Make a class a dataclass, as `dataclasses.dataclass` does with these options.

    Raises:
        TypeError: if `slots` is not True.
    """
    if not slots:
        raise TypeError("say slots=True: there are no late dataclasses without slots")

    def make(cls: type[T]) -> type[T]:
        shape = Shape(cls, frozen=frozen, kw_only=kw_only)
        space = {
            "__init__": First(shape),
            "__late__": shape,
            FIELDS: Late(lambda cls: getattr(shape.dataclass_of(cls), FIELDS)),
            PARAMS: Late(lambda cls: getattr(shape.dataclass_of(cls), PARAMS)),
            "__match_args__": () if kw_only else shape.names,
            **vars(cls),
            "__qualname__": cls.__qualname__,
            "__slots__": shape.names,
        }
        for name in ("__dict__", "__weakref__", *shape.given):
            space.pop(name, None)
        if not (frozen or unsafe_hash):
            space["__hash__"] = None
        others = [base for base in cls.__bases__ if base is not object]
        kind = cast("Callable[..., type[T]]", type(cls))
        return kind(cls.__name__, (*others, Frozen if frozen else Value), space)

    return make


def replaced(value: Any, /, **changes: Any) -> Any:
    """Give a copy of a dataclass, late or not, with some fields changed."""
    if hasattr(value, "__replace__"):  # of dataclasses from 3.13 on
        return value.__replace__(**changes)
    import dataclasses  # noqa: PLC0415  costly, and seldom needed

    return dataclasses.replace(value, **changes)


if not TYPE_CHECKING:
    dataclass, field, replace = late, Field, replaced
